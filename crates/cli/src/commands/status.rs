//! `claviger status`: the service's report on its health.

use claviger_client::Client;
use serde_json::Value;

use crate::{
    error::Result,
    reply::{Lines, Reply},
};

pub(crate) async fn run(client: &Client) -> Result<Reply> {
    let status = client.status().await?;
    Reply::new(&status, text_of(&status))
}

/// Each fact on a line of its own, under the names that lead to it.
fn text_of(status: &Value) -> String {
    fn add(lines: Lines, name: &str, value: &Value) -> Lines {
        let below =
            |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
        match value {
            Value::Object(fields) => {
                fields.iter().fold(lines, |lines, (key, value)| add(lines, &below(key), value))
            }
            Value::Array(items) => (1..).zip(items).fold(lines, |lines, (number, value)| {
                add(lines, &below(&number.to_string()), value)
            }),
            Value::String(text) => lines.with(name, text),
            other => lines.with(name, other),
        }
    }
    add(Lines::default(), "", status).finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_fact_has_a_line_with_its_whole_name() {
        let status = json!({"ready": true, "token": {"state": "ok", "sessions": [1, "x\ny"]}});
        let expected = "ready             true\n\
                        token.state       ok\n\
                        token.sessions.1  1\n\
                        token.sessions.2  x\u{fffd}y\n";
        let sorted = |text: &str| {
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&text_of(&status)), sorted(expected));
    }
}
