//! A census as lines for people.

use std::fmt;

use super::{Census, Named, SourceCensus};

impl fmt::Display for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let covered =
            if self.complete { "every source named, to its end" } else { "NOT WHOLE, see below" };
        writeln!(f, "census of {} ({}): {covered}", self.name, self.key)?;
        writeln!(f, "from {} to {}", self.begun_at, self.ended_at)?;
        for (version, named) in &self.versions {
            writeln!(f, "{}", line(version, named))?;
        }
        for (name, source) in &self.sources {
            writeln!(f, "{name}: {}", source.coverage())?;
            source.tell(f)?;
        }
        writeln!(f, "not seen:")?;
        for what in &self.not_seen {
            writeln!(f, "  {what}")?;
        }
        Ok(())
    }
}

impl SourceCensus {
    fn coverage(&self) -> String {
        match &self.reason {
            None => format!("looked at to its end, from {} to {}", self.begun_at, self.ended_at),
            Some(reason) => format!("cut off after {} places: {reason}", self.scanned),
        }
    }

    fn tell(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "  scanned {} = empty {} + envelopes {} + bare keys {} + foreign {} + malformed {} + unreadable {}",
            self.scanned,
            self.empty,
            self.envelopes,
            self.bare_keys,
            self.foreign,
            self.malformed,
            self.unreadable
        )?;
        for (version, named) in &self.versions {
            writeln!(f, "  {}", line(version, named))?;
        }
        if self.wraps_beyond > 0 {
            writeln!(f, "  and {} wraps of further versions", self.wraps_beyond)?;
        }
        if self.damaged_headers > 0 {
            writeln!(f, "  {} damaged headers beside whole ones", self.damaged_headers)?;
        }
        for (kind, places) in self.findings.kinds() {
            for place in places {
                writeln!(f, "  {kind}: {} ({})", place.locator, place.reason)?;
            }
        }
        Ok(())
    }
}

fn line(version: &str, named: &Named) -> String {
    format!("{version}: {} places, {} wraps", named.places, named.wraps)
}
