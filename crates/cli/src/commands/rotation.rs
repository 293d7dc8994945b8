//! `claviger rotation status` and `claviger key set-rotation`: keys that rotate by themselves.

use clap::{Args, Subcommand};
use claviger_client::Client;
use claviger_kms::{
    KeyLifecycle as _, KeyPath, KeyRotation, ListRotations, RotationPage, RotationPeriod,
    SetRotation, Timestamp,
};

use super::key::reply_of;
use crate::{
    error::Result,
    reply::{Lines, Reply, printable, table},
};

/// Commands on rotation by schedule.
#[derive(Debug, Subcommand)]
pub(crate) enum RotationCommand {
    Status(StatusArguments),
}

/// When each key rotates by itself, and what the last time came to, from the admin socket
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  claviger rotation status --under us-east-1
  claviger rotation status --due
  claviger rotation status --within 7d -o json

With --due or --within it only says what would be rotated; nothing is.")]
pub(crate) struct StatusArguments {
    /// Only this key and those below it
    #[arg(long, value_name = "PATH")]
    under: Option<KeyPath>,
    /// Only what is due now
    #[arg(long, conflicts_with = "within")]
    due: bool,
    /// Only what falls due within so many days
    #[arg(long, value_name = "DAYS", value_parser = parse_days)]
    within: Option<u32>,
}

/// Set how often a key, and those below it that have no period of their own, rotate by themselves
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  claviger key set-rotation us-east-1 --every 90d
  claviger key set-rotation us-east-1/payments --inherit
  claviger key set-rotation us-east-1/archive --never

The period is counted from when the primary version became primary, also one that is older than the period.")]
pub(crate) struct SetRotationArguments {
    /// The key
    #[arg(value_name = "PATH")]
    key: KeyPath,
    #[command(flatten)]
    period: Period,
}

/// The new period.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Period {
    /// Every so many days: 1d to 3650d
    #[arg(long, value_name = "DAYS", value_parser = parse_days)]
    every: Option<u32>,
    /// As the nearest key above that has a period
    #[arg(long)]
    inherit: bool,
    /// Never, whatever the keys above have
    #[arg(long)]
    never: bool,
}

fn parse_days(text: &str) -> Result<u32, claviger_kms::KmsError> {
    let period: RotationPeriod = text.parse()?;
    period.days().ok_or_else(|| claviger_kms::KmsError::invalid("days are a number such as 90d"))
}

pub(crate) async fn set(client: &Client, arguments: SetRotationArguments) -> Result<Reply> {
    let SetRotationArguments { key, period: Period { every, never, .. } } = arguments;
    let period = match every {
        Some(days) => Some(RotationPeriod::every(days)?),
        None => never.then_some(RotationPeriod::NEVER),
    };
    reply_of(&client.set_rotation(SetRotation { key, period }).await?)
}

pub(crate) async fn run(client: &Client, command: RotationCommand) -> Result<Reply> {
    let RotationCommand::Status(StatusArguments { under, due, within }) = command;
    let within_days = within.or(due.then_some(0));
    let mut request = ListRotations { under, after: None, limit: Some(PAGE), within_days };
    let mut whole = client.list_rotations(&request).await?;
    while let Some(next) = whole.next.take() {
        // A service that gives the same page again would never end.
        if request.after.as_ref().is_some_and(|after| next <= *after) {
            return Err(
                anyhow::anyhow!("the service's list of keys goes backwards at {next}").into()
            );
        }
        request.after = Some(next);
        let page = client.list_rotations(&request).await?;
        whole.keys.extend(page.keys);
        whole.next = page.next;
    }
    let none = if within_days.is_some() { NOTHING_DUE } else { NONE };
    let text = if whole.keys.is_empty() { none.to_owned() } else { text_of(&whole) };
    Reply::new(&whole, text)
}

fn text_of(page: &RotationPage) -> String {
    let leader = if page.leader { "this service" } else { "another service, or none yet" };
    let mut lines = Lines::default().with("now", seconds(page.now)).with("leader", leader);
    if let Some(until) = page.paused_until {
        lines = lines.with("paused until", format!("{} (the clock jumped)", seconds(until)));
    }
    let head = ["key", "period", "of", "primary", "age", "next", "last by schedule"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(page.keys.iter().map(|key| row_of(key, page.now)));
    let mut text = format!("{}\n{}", lines.finish(), table(&rows));
    for key in &page.keys {
        if let Some(held) = &key.held {
            text.push_str(&format!("\n{}: held: {}", key.key, printable(held)));
        }
        if let Some(failure) = &key.failure {
            text.push_str(&format!(
                "\n{}: failed {} times, last at {}, again at {}: {}",
                key.key,
                failure.attempts,
                seconds(failure.at),
                seconds(failure.again_at),
                printable(&failure.reason)
            ));
        }
    }
    text
}

fn row_of(key: &KeyRotation, now: Timestamp) -> [String; 7] {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let next = key.next.map(seconds);
    [
        key.key.to_string(),
        or_none(key.period.map(|period| period.to_string())),
        or_none(key.period_of.as_ref().map(ToString::to_string)),
        or_none(key.primary.map(|version| version.to_string())),
        or_none(key.primary_since.map(|since| age(since, now))),
        or_none(if key.due { next.map(|next| format!("due since {next}")) } else { next }),
        or_none(key.last.as_ref().map(|last| format!("{} at {}", last.version, seconds(last.at)))),
    ]
}

/// Whole days and hours.
fn age(since: Timestamp, now: Timestamp) -> String {
    let hours = now.duration_since(since).as_hours();
    if hours < 0 { "in the future".to_owned() } else { format!("{}d {}h", hours / 24, hours % 24) }
}

fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Keys on a page.
const PAGE: u32 = 200;
const NONE: &str = "no keys, or none that this user may see";
const NOTHING_DUE: &str = "nothing would be rotated";

pub(crate) const EXAMPLES: &str = "\
Examples:
  claviger rotation status
  claviger rotation status --within 7d";

#[cfg(test)]
mod tests {
    use claviger_kms::{RotationFailure, ScheduledRotation};

    use super::*;

    #[test]
    fn takes_days_and_nothing_else() {
        assert_eq!(parse_days("90d").unwrap(), 90);
        for bad in ["90", "0d", "3651d", "never", "", "1w"] {
            assert!(parse_days(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_failure_and_what_is_held_have_a_line_of_their_own() {
        let at = |days: i64| Timestamp::from_second(days * 86_400).unwrap();
        let first = claviger_kms::KeyVersion::FIRST;
        let key = |path: &str| KeyRotation {
            key: path.parse().unwrap(),
            primary: Some(first),
            primary_since: Some(at(9)),
            period: Some("90d".parse().unwrap()),
            period_of: Some("eu".parse().unwrap()),
            next: Some(at(99)),
            due: true,
            held: None,
            last: Some(ScheduledRotation { version: first, at: at(9) }),
            failure: None,
        };
        let mut failing = key("eu");
        failing.failure = Some(RotationFailure {
            at: at(99),
            reason: "the token is away\u{7}".to_owned(),
            attempts: 3,
            again_at: at(100),
        });
        let mut held = key("eu/pay");
        (held.due, held.held) = (false, Some("the key eu/pay is disabled".to_owned()));
        let page = RotationPage {
            now: at(99),
            leader: true,
            paused_until: Some(at(100)),
            keys: vec![failing, held],
            next: None,
        };
        let text = text_of(&page);
        for line in [
            "paused until  1970-04-11T00:00:00Z (the clock jumped)",
            "eu      90d     eu  1        90d 0h  due since 1970-04-10T00:00:00Z  1 at 1970-01-10T00:00:00Z",
            "eu: failed 3 times, last at 1970-04-10T00:00:00Z, again at 1970-04-11T00:00:00Z: \
             the token is away\u{fffd}",
            "eu/pay: held: the key eu/pay is disabled",
        ] {
            assert!(text.lines().any(|found| found == line), "no line {line:?} in\n{text}");
        }
    }
}
