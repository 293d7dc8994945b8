//! `claviger reload`: the service reads policy, certificates, PIN and log level again.

use clap::Args;
use claviger_client::Client;
use serde_json::Value;

use crate::{
    error::Result,
    reply::{Lines, Reply},
};

/// Have the service read its policy, certificates, PIN file and log level again, all of them or none
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ReloadArguments {}

pub(crate) async fn run(client: &Client) -> Result<Reply> {
    let reloaded = client.reload().await?;
    Reply::new(&reloaded, text_of(&reloaded))
}

fn text_of(reloaded: &Value) -> String {
    let texts = |field: &str| {
        let list = reloaded.get(field).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned)
    };
    let mut lines = Lines::default();
    for key in texts("reloaded") {
        lines = lines.with("reloaded", key);
    }
    if let Some(hash) = reloaded.get("policy_hash").and_then(Value::as_str) {
        lines = lines.with("policy", hash);
    }
    for key in texts("needs_restart") {
        lines = lines.with("needs a restart", key);
    }
    lines.finish()
}

const EXAMPLES: &str = "\
What was read is taken as a whole or not at all. The caller needs the policy's action `policy` for every key.
SIGHUP does the same.

Examples:
  claviger reload
  claviger reload -o json";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn says_what_was_reloaded_and_what_was_not() {
        let reloaded = json!({
            "reloaded": ["policy.file", "log.level"],
            "policy_hash": "ab",
            "needs_restart": ["cache.seconds"],
        });
        let expected = "reloaded         policy.file\n\
                        reloaded         log.level\n\
                        policy           ab\n\
                        needs a restart  cache.seconds\n";
        assert_eq!(text_of(&reloaded), expected);
    }
}
