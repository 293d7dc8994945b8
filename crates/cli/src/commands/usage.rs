//! `claviger usage`: who used which version of a key, how often, and when last.

use clap::Args;
use claviger_client::Client;
use claviger_kms::{CallerUsage, KeyPath, KeyUsage, Timestamp, Uses};

use crate::{
    error::Result,
    reply::{Lines, Reply, printable, table},
};

/// Who used which version of a key, how often, and when last, from the admin socket
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  claviger usage us-east-1/payments

Counts and times never say less than what was answered. A crash of the service makes a count up to 1024 too
high, and a last use up to an hour too late.")]
pub(crate) struct UsageArguments {
    /// The key
    #[arg(value_name = "PATH")]
    key: KeyPath,
}

pub(crate) async fn run(client: &Client, arguments: UsageArguments) -> Result<Reply> {
    let usage = client.key_usage(&arguments.key).await?;
    Reply::new(&usage, text_of(&usage))
}

fn text_of(usage: &KeyUsage) -> String {
    let lines = Lines::default().with("key", &usage.key).with("id", usage.key_id);
    let head =
        ["version", "caller", "wraps", "unwraps", "rewraps", "refused", "first use", "last use"];
    let mut rows = vec![head.map(str::to_owned)];
    for version in &usage.versions {
        let number = version.version.to_string();
        if version.callers.is_empty() {
            rows.push([&number, "nobody", "-", "-", "-", "-", "-", "-"].map(str::to_owned));
        }
        rows.extend(version.callers.iter().map(|caller| row_of(&number, caller)));
    }
    format!("{}\n{}", lines.finish(), table(&rows))
}

fn row_of(version: &str, caller: &CallerUsage) -> [String; 8] {
    let kinds = [caller.wraps, caller.unwraps, caller.rewraps, caller.refused];
    let [wraps, unwraps, rewraps, refused] = kinds.map(|uses: Uses| uses.count.to_string());
    let last = kinds.iter().filter_map(|uses| uses.last).max();
    let name = caller.principal.as_ref().map(ToString::to_string);
    [
        version.to_owned(),
        printable(&name.unwrap_or_else(|| "all others".to_owned())),
        wraps,
        unwraps,
        rewraps,
        refused,
        seconds(caller.first_used),
        last.map_or_else(|| "-".to_owned(), seconds),
    ]
}

/// To the second, which is finer than what a crash leaves of a last use.
fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use claviger_kms::VersionUsage;

    use super::*;

    #[test]
    fn a_version_that_nobody_used_has_a_line_and_others_have_no_name() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let caller = |principal: Option<&str>, count| CallerUsage {
            principal: principal.map(|name| name.parse().unwrap()),
            first_used: at(0),
            wraps: Uses { count, last: Some(at(60)) },
            unwraps: Uses { count: 1, last: Some(at(120)) },
            rewraps: Uses::default(),
            refused: Uses::default(),
        };
        let callers = vec![caller(Some("uds:uid=1000"), 12), caller(None, 3)];
        let first = "1".parse().unwrap();
        let used = VersionUsage { version: first, counted_since: Some(at(0)), callers };
        let usage = KeyUsage {
            key: "eu".parse().unwrap(),
            key_id: claviger_kms::KeyId::from_bytes([0x11; 16]),
            versions: vec![used, VersionUsage::none(first.next().unwrap())],
        };
        assert_eq!(
            text_of(&usage),
            "key  eu\n\
             id   11111111-1111-1111-1111-111111111111\n\
             \n\
             version  caller        wraps  unwraps  rewraps  refused  first use             last use\n\
             1        uds:uid=1000  12     1        0        0        1970-01-01T00:00:00Z  1970-01-01T00:02:00Z\n\
             1        all others    3      1        0        0        1970-01-01T00:00:00Z  1970-01-01T00:02:00Z\n\
             2        nobody        -      -        -        -        -                     -\n"
        );
    }
}
