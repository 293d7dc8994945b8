//! `claviger evidence submit`: what is needed before a version can be destroyed without a shred.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use claviger_client::Client;
use claviger_kms::{Attestation, Evidence, KeyVersion, SubmitEvidence, Timestamp};
use claviger_rewrap::{Gathered, gather, sources};
use serde_json::json;

use super::{
    campaign::{follow, read, told},
    gate::closes,
};
use crate::{
    error::Result,
    reply::{Lines, Reply},
    session::Session,
};

/// Commands on evidence.
#[derive(Debug, Subcommand)]
pub(crate) enum EvidenceCommand {
    Submit(SubmitArguments),
}

/// Look at every source twice and submit what was found as evidence that nothing needs a disabled version
///
/// Without --missing it shows how many wraps were issued and how many envelopes were found, and submits nothing. Every
/// rule that is not met is named. Who submits evidence does not destroy: somebody else runs `claviger key destroy`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  claviger evidence submit cards.toml --version 1 --attest 'cards is the only table' --backups-until 2026-12-31
  claviger evidence submit cards.toml --version 1 --attest 'cards is the only table' --backups-until 2026-12-31 \\
      --missing 3")]
pub(crate) struct SubmitArguments {
    /// The campaign file, which names every source there is
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The version
    #[arg(long, value_name = "VERSION")]
    version: KeyVersion,
    /// In your own words: that these sources are all there are
    #[arg(long, value_name = "TEXT")]
    attest: String,
    /// The day, or time, until which backups are kept that hold envelopes of the version
    #[arg(long, value_name = "DATE", value_parser = day_or_time)]
    backups_until: Timestamp,
    /// Issued minus found, as it was shown to you
    #[arg(long, value_name = "COUNT")]
    missing: Option<u64>,
}

pub(crate) async fn run(
    session: &Session,
    client: &Client,
    EvidenceCommand::Submit(arguments): EvidenceCommand,
) -> Result<Reply> {
    let file = read(arguments.file).await?;
    let version = arguments.version;
    let key = closes(session, &file, version).await?.key;
    let opened = sources::open(&file).await.map_err(told)?;
    let stop = follow(&session.stop);
    let gathered = gather(&file, &opened, (key, version), &stop).await.map_err(told)?;
    tell_findings(session, &gathered);
    let Some(missing) = arguments.missing else {
        let usage = client.key_usage(&file.key).await?;
        let usage = usage.versions.iter().find(|usage| usage.version == version);
        let (issued, rewrapped) = usage.map_or((0, 0), |usage| usage.issued_and_rewrapped());
        let missing = issued.saturating_sub(gathered.found);
        let found = gathered.found;
        let text = Lines::default()
            .with("issued", format!("{issued} wraps under version {version}"))
            .with("rewrapped", format!("{rewrapped} from it"))
            .with("found", format!("{found} envelopes under it"))
            .with("missing", missing)
            .with(
                "notice",
                format!(
                    "nothing was submitted; if you can say what became of those that are missing (moved, \
                     overwritten, deleted), repeat this with --missing {missing}"
                ),
            );
        let numbers = json!({"submitted": false, "issued": issued, "rewrapped": rewrapped,
            "found": found, "missing": missing});
        return Reply::new(&numbers, text.finish());
    };
    let request = SubmitEvidence {
        key: file.key.clone(),
        version,
        sources: gathered.sources,
        attestation: Attestation {
            completeness: arguments.attest,
            backups_until: arguments.backups_until,
            missing,
        },
    };
    let evidence = client.submit_evidence(&request).await?;
    Reply::new(&evidence, text_of(&evidence))
}

/// Where something needs a look, on the standard error.
fn tell_findings(session: &Session, gathered: &Gathered) {
    for (source, findings) in &gathered.findings {
        for (kind, places) in findings.kinds() {
            for place in places {
                session.note(&format!("{source}: {kind}: {} ({})", place.locator, place.reason));
            }
        }
    }
}

fn text_of(evidence: &Evidence) -> String {
    Lines::default()
        .with("evidence", evidence.id)
        .with("key", &evidence.key)
        .with("version", evidence.version)
        .with("sources", evidence.sources.keys().cloned().collect::<Vec<_>>().join(", "))
        .with("disabled since", evidence.disabled_since)
        .with("not tried since", evidence.quiet_since)
        .with("issued", evidence.issued)
        .with("missing", evidence.attestation.missing)
        .with("backups until", evidence.attestation.backups_until)
        .with(
            "notice",
            "it rests on the sources named and on your word for all others; it is looked at again when the \
             version is scheduled and when it is destroyed",
        )
        .finish()
}

/// `2026-12-31`, to its last second UTC, or a time as in RFC 3339.
fn day_or_time(text: &str) -> Result<Timestamp, String> {
    let ends = format!("{text}T23:59:59Z");
    text.parse::<Timestamp>().or_else(|_| ends.parse()).map_err(|_| {
        "it is a day such as 2026-12-31 or a time such as 2026-12-31T12:00:00Z".to_owned()
    })
}

pub(crate) const EXAMPLES: &str = "\
Example:
  claviger evidence submit cards.toml --version 1 --attest 'cards is the only table' --backups-until 2026-12-31";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_kept_to_its_end_and_nonsense_is_refused() {
        assert_eq!(day_or_time("2026-12-31").unwrap().to_string(), "2026-12-31T23:59:59Z");
        assert_eq!(
            day_or_time("2026-12-31T12:00:00Z").unwrap().to_string(),
            "2026-12-31T12:00:00Z"
        );
        for bad in ["", "31.12.2026", "2026-13-01", "soon"] {
            assert!(day_or_time(bad).is_err(), "{bad}");
        }
    }
}
