//! What makes evidence: pure rules over what was reported and what the service knows itself.
//!
//! Invariants: a rule that cannot be judged is not met; every rule that is not met is told, with its remedy. The
//! service's own facts (state, counters) are not taken from the report. Times of scans and gates are the runner's
//! clock: it must agree with the service's within a minute, or what it reports lies in the future and is refused.

use std::{collections::BTreeSet, time::Duration};

use claviger_kms::{
    ScanFacts, SourceFacts, SubmitEvidence, Timestamp, VersionMetadata, VersionState, VersionUsage,
};

/// What the service knows itself.
pub(super) struct Known<'a> {
    pub(super) facts: &'a VersionMetadata,
    pub(super) usage: &'a VersionUsage,
    pub(super) now: Timestamp,
    /// How long nobody may have tried to use the version, while it was disabled.
    pub(super) soak: Duration,
    /// Sources that campaigns of the key have reported.
    pub(super) registered: &'a BTreeSet<String>,
}

/// What the rules come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All are met.
    Met,
    /// These are not.
    Unmet(Vec<String>),
    /// These are not, and the report shows that something needs the version.
    Contradicted(Vec<String>),
}

pub(super) fn judge(request: &SubmitEvidence, known: &Known<'_>) -> Verdict {
    let mut reasons = of_the_version(known);
    if request.sources.is_empty() {
        reasons.push(
            "no source is registered: name where envelopes are kept in a campaign file".into(),
        );
    }
    for name in known.registered.iter().filter(|name| !request.sources.contains_key(*name)) {
        reasons.push(format!(
            "a campaign of the key has moved envelopes of the source {name}, which this leaves out: name it too; \
             if it is gone for good, two persons can shred the version"
        ));
    }
    for (name, source) in &request.sources {
        let told = of_source(source, known);
        reasons.extend(told.into_iter().map(|reason| format!("source {name}: {reason}")));
    }
    let (issued, _) = known.usage.issued_and_rewrapped();
    let missing = issued.saturating_sub(found(request));
    if request.attestation.missing != missing {
        reasons.push(format!(
            "{issued} wraps were issued and {} found, so that {missing} are missing, but {} is attested: \
             attest what is shown",
            found(request),
            request.attestation.missing
        ));
    }
    match reasons.is_empty() {
        true => Verdict::Met,
        false if found(request) > 0 => Verdict::Contradicted(reasons),
        false => Verdict::Unmet(reasons),
    }
}

/// Since when the version has been disabled and nobody has tried to use it. After a crash of the service this
/// may be up to an hour too late.
pub(super) fn quiet_since(facts: &VersionMetadata, usage: &VersionUsage) -> Timestamp {
    usage.last_attempt().map_or(facts.state_changed_at, |last| last.max(facts.state_changed_at))
}

/// Places of the last scans that name the version.
fn found(request: &SubmitEvidence) -> u64 {
    let of = |source: &SourceFacts| source.scans.iter().map(|scan| scan.holding).max().unwrap_or(0);
    request.sources.values().map(of).fold(0, u64::saturating_add)
}

/// State, soak.
fn of_the_version(known: &Known<'_>) -> Vec<String> {
    let Known { facts, usage, now, soak, .. } = known;
    if facts.state != VersionState::Disabled {
        return vec![format!("the version is {}: disable it", facts.state)];
    }
    let quiet = quiet_since(facts, usage);
    let ends = quiet + *soak;
    if ends <= *now {
        return Vec::new();
    }
    let since = if quiet > facts.state_changed_at {
        "somebody last tried to use it"
    } else {
        "it was disabled"
    };
    vec![format!(
        "{since} at {}, so that the time for which nobody may try ends at {}: see `claviger usage` and wait",
        told(quiet),
        told(ends)
    )]
}

fn of_source(source: &SourceFacts, known: &Known<'_>) -> Vec<String> {
    let mut reasons = Vec::new();
    let scans = source.scans.iter().rev().take(2).rev().collect::<Vec<_>>();
    let [first, second] = scans.as_slice() else {
        return vec![format!("{} whole scans were reported, two are needed", scans.len())];
    };
    let last_wrap = known.usage.last_wrap();
    match (&source.gate, source.max_hold_seconds) {
        (Some(gate), _) => {
            if gate.settled_at < gate.closed_at || first.begun_at < gate.settled_at {
                reasons.push(
                    "a scan began before every transaction older than the gate had ended: scan again".into(),
                );
            }
            if let Some(last) = last_wrap.filter(|last| *last >= gate.closed_at) {
                reasons.push(format!(
                    "the gate was closed at {}, and the version still wrapped at {}: open it and close it again",
                    told(gate.closed_at),
                    told(last)
                ));
            }
        }
        (None, Some(hold)) => {
            // Nobody holds an old wrap after this.
            let hold = Duration::from_secs(hold.min(LONGEST_HOLD));
            let persisted = last_wrap.unwrap_or(known.facts.made_at) + hold;
            if first.begun_at < persisted {
                reasons.push(format!(
                    "a writer may store what was wrapped under the version until {}: scan after that",
                    told(persisted)
                ));
            }
        }
        (None, None) => reasons.push(
            "it has no write gate (`claviger gate sql`), and no max-hold-seconds in the campaign file".into(),
        ),
    }
    for scan in [first, second] {
        reasons.extend(of_scan(scan, known.now));
    }
    if second.begun_at < first.ended_at {
        reasons.push("its second scan began before the first had ended".into());
    }
    reasons
}

fn of_scan(scan: &ScanFacts, now: Timestamp) -> Vec<String> {
    let mut reasons = Vec::new();
    if !scan.complete {
        reasons.push("a scan did not come to the end".to_owned());
    }
    if scan.holding > 0 {
        reasons.push(format!("{} places still name the version: run the campaign", scan.holding));
    }
    if scan.unreadable > 0 {
        reasons.push(format!(
            "the version of {} places cannot be read, and might be this one: mend or remove them",
            scan.unreadable
        ));
    }
    // No sum with a reported time: it may be at the end of what a time can say.
    if scan.begun_at > scan.ended_at || scan.ended_at > now + SKEW {
        reasons.push(
            "a scan ended in the future or before it began: set the runner's clock".to_owned(),
        );
    }
    if scan.begun_at < now - FRESH {
        reasons.push("a scan is older than seven days: scan again".to_owned());
    }
    reasons
}

fn told(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// How far ahead the runner's clock may be.
const SKEW: Duration = Duration::from_secs(60);
/// Oldest scan.
const FRESH: Duration = Duration::from_secs(7 * 86_400);
/// A year; more would run out of what a time can say.
const LONGEST_HOLD: u64 = 366 * 86_400;

#[cfg(test)]
mod tests;
