//! What of a changed configuration counts without a restart.
//!
//! One rule: `log.level` is taken by a reload, and so is what the policy's, the PIN's and the TLS files hold.
//! Every other key is read at the start only.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Config;

impl Config {
    /// The keys whose values a reload takes. What the files of [`Config::files_read_again`] hold is taken too.
    pub const TAKEN_BY_RELOAD: [&str; 1] = ["log.level"];

    /// The keys whose files a reload reads again.
    #[must_use]
    pub fn files_read_again(&self) -> Vec<String> {
        let pin = match &self.token {
            token if token.pin_file.is_some() => "token.pin-file",
            token if token.pin_credential.is_some() => "token.pin-credential",
            _ => "token.uri",
        };
        let tls = self.listen.tls_listeners().map(|(name, _)| format!("listen.{name}"));
        ["policy.file", pin].map(str::to_owned).into_iter().chain(tls).collect()
    }

    /// The keys that have another value in `next` and count only after a restart, such as `cache.seconds`.
    /// Defaults count as if they were written.
    #[must_use]
    pub fn needs_restart(&self, next: &Self) -> Vec<String> {
        let (old, new) = (self.values(), next.values());
        let keys = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
        let mut differ: Vec<String> = keys
            .filter(|key| !Self::TAKEN_BY_RELOAD.contains(&key.as_str()))
            .filter(|key| old.get(*key) != new.get(*key))
            .cloned()
            .collect();
        differ.sort();
        differ
    }

    /// Every key with its value, `a.b.c` for tables in tables.
    fn values(&self) -> BTreeMap<String, Value> {
        let mut values = BTreeMap::new();
        // Serialising plain structures does not fail; a test holds that every key of the sample is there.
        flatten("", serde_json::to_value(self).unwrap_or_default(), &mut values);
        values
    }
}

fn flatten(name: &str, value: Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (key, value) in fields {
                let name = if name.is_empty() { key } else { format!("{name}.{key}") };
                flatten(&name, value, into);
            }
        }
        value => drop(into.insert(name.to_owned(), value)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const SAMPLE: &str = include_str!("../../../../config/clavigerd.toml");

    fn parse(text: &str) -> Config {
        Config::parse(text, Path::new("/etc/claviger")).unwrap()
    }

    fn changed(from: &str, to: &str) -> Vec<String> {
        assert!(SAMPLE.contains(from), "the sample lacks {from}");
        parse(SAMPLE).needs_restart(&parse(&SAMPLE.replace(from, to)))
    }

    #[test]
    fn every_key_but_the_log_level_needs_a_restart() {
        for (key, from, to) in [
            ("cache.seconds", "seconds = 3600\n# Whether", "seconds = 60\n# Whether"),
            ("policy.file", "policy.toml\"", "other.toml\""),
            ("token.pin-file", "/etc/claviger/pin\"", "/etc/claviger/pin2\""),
            ("listen.data-mode", "\"0660\"", "\"0600\""),
            ("store.path", "keys.db", "other.db"),
            ("audit.deadline", "#= deadline = \"2s\"", "deadline = \"3s\""),
            ("token.sessions", "#= sessions = 4", "sessions = 4"),
            ("log.format", "format = \"text\"", "format = \"json\""),
        ] {
            assert_eq!(changed(from, to), [key]);
        }
        assert!(changed("level = \"info\"", "level = \"debug\"").is_empty());
        // The default, written out.
        assert!(changed("#= deadline = \"2s\"", "deadline = \"2s\"").is_empty());
    }

    #[test]
    fn a_listener_that_is_new_or_gone_is_named() {
        let text: String = SAMPLE
            .lines()
            .map(|line| format!("{}\n", line.strip_prefix("#= ").unwrap_or(line)))
            .collect();
        let (without, with) = (parse(SAMPLE), parse(&text));
        for differ in [without.needs_restart(&with), with.needs_restart(&without)] {
            assert!(differ.contains(&"listen.tls.address".to_owned()), "{differ:?}");
        }
        assert!(with.files_read_again().contains(&"listen.admin-tls".to_owned()));
    }

    /// Whoever adds a key and forgets it in the comparison would be told that nothing needs a restart.
    #[test]
    fn every_table_of_the_sample_is_compared() {
        let values = parse(SAMPLE).values();
        for table in SAMPLE.lines().filter(|line| line.starts_with('[') && *line != "[root]") {
            let prefix = format!("{}.", table.trim_matches(['[', ']']));
            assert!(values.keys().any(|key| key.starts_with(&prefix)), "{table}");
        }
    }
}
