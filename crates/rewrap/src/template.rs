//! What an envelope was bound to, rebuilt from the row's columns or the file's path.
//!
//! A template is text with placeholders: `{id}` stands for that column's value, `{{` and `}}` for braces.

use std::collections::{BTreeMap, BTreeSet};

use claviger_kms::EncryptionContext;

/// The entries of an encryption context, with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(BTreeMap<String, Vec<Part>>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Name(String),
}

impl Template {
    /// Reads the texts of a campaign file.
    ///
    /// # Errors
    /// What is wrong, with the entry's key.
    pub fn parse(entries: &BTreeMap<String, String>) -> Result<Self, String> {
        // Keys and their number have limits, which are those of every context.
        EncryptionContext::from_pairs(entries.keys().map(|key| (key.as_str(), "")))
            .map_err(|error| error.to_string())?;
        let parsed = entries.iter().map(|(key, text)| {
            let parts = parts(text).map_err(|reason| format!("context.{key}: {reason}"))?;
            Ok((key.clone(), parts))
        });
        parsed.collect::<Result<_, _>>().map(Self)
    }

    /// The names of all placeholders.
    #[must_use]
    pub fn names(&self) -> BTreeSet<&str> {
        let parts = self.0.values().flatten();
        parts
            .filter_map(|part| match part {
                Part::Name(name) => Some(name.as_str()),
                Part::Text(_) => None,
            })
            .collect()
    }

    /// The context with these values in place of the placeholders.
    ///
    /// # Errors
    /// Which value is missing, or the limit that is exceeded.
    pub fn fill<'v>(
        &self,
        value: impl Fn(&str) -> Option<&'v str>,
    ) -> Result<EncryptionContext, String> {
        let mut pairs = Vec::with_capacity(self.0.len());
        for (key, parts) in &self.0 {
            let mut text = String::new();
            for part in parts {
                text.push_str(match part {
                    Part::Text(text) => text,
                    Part::Name(name) => value(name)
                        .ok_or_else(|| format!("its context needs {name}, which is NULL"))?,
                });
            }
            pairs.push((key.as_str(), text));
        }
        EncryptionContext::from_pairs(pairs).map_err(|error| error.to_string())
    }
}

fn parts(text: &str) -> Result<Vec<Part>, String> {
    let (mut parts, mut plain) = (Vec::new(), String::new());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '{' | '}' if rest.next_if_eq(&c).is_some() => plain.push(c),
            '{' => {
                let name: String = rest.by_ref().take_while(|c| *c != '}').collect();
                if name.is_empty() || !text.contains(&format!("{{{name}}}")) {
                    return Err(format!("{text:?} has a brace without a name or an end"));
                }
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(Part::Name(name));
            }
            '}' => return Err(format!("{text:?} has a '}}' without a '{{'; write '}}}}' for one")),
            c => plain.push(c),
        }
    }
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use claviger_envelope::ColumnContext;

    use super::*;

    fn template(pairs: &[(&str, &str)]) -> Result<Template, String> {
        let entries = pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned()));
        Template::parse(&entries.collect())
    }

    #[test]
    fn a_column_is_bound_to_what_its_column_context_says() {
        let pairs = [("table", "users"), ("column", "ssn"), ("row", "{id}")];
        let filled = template(&pairs).unwrap().fill(|name| (name == "id").then_some("17"));
        let expected = ColumnContext::new("users", "ssn", 17).unwrap();
        assert_eq!(&filled.unwrap(), expected.encryption_context());
    }

    #[test]
    fn text_placeholders_and_braces_may_be_mixed() {
        let template = template(&[("a", "{{x}} {one}-{two}")]).unwrap();
        assert_eq!(template.names().into_iter().collect::<Vec<_>>(), ["one", "two"]);
        let filled = template.fill(|name| Some(if name == "one" { "1" } else { "{2}" })).unwrap();
        assert_eq!(filled.value_of("a"), Some("{x} 1-{2}"));
        assert!(template.fill(|name| (name == "one").then_some("1")).is_err());
    }

    #[test]
    fn refuses_braces_that_do_not_match_and_keys_that_none_has() {
        for bad in ["{", "{}", "}", "{id", "a}b"] {
            assert!(template(&[("row", bad)]).is_err(), "{bad}");
        }
        assert!(template(&[("", "x")]).is_err());
    }
}
