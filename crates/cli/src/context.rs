//! The encryption context from the command line: `--context table=users --context row=17`, or a JSON file.
//!
//! Refuses what is not `key=value` and a key given twice: of two values one would be lost silently.

use std::{fs::File, io::Read as _, path::PathBuf};

use clap::Args;
use claviger_kms::{EncryptionContext, KmsError};

use crate::error::{CliError, Result};

/// What a ciphertext is bound to.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ContextArguments {
    /// An entry of the encryption context, which must be the same to open again; not secret. Repeat for more
    #[arg(long = "context", value_name = "KEY=VALUE", value_parser = parse_pair)]
    pairs: Vec<(String, String)>,
    /// The encryption context as a file with one JSON object of text to text
    #[arg(long = "context-json", value_name = "FILE", conflicts_with = "pairs")]
    context_file: Option<PathBuf>,
}

impl ContextArguments {
    /// The context; reads the file if there is one. Blocking, but at most 64 KiB.
    ///
    /// # Errors
    /// [`CliError::Usage`] for pairs that make none, [`CliError::Kms`] for a file that holds none,
    /// [`CliError::File`].
    pub(crate) fn read(&self) -> Result<EncryptionContext> {
        let Some(path) = &self.context_file else {
            return EncryptionContext::from_pairs(self.pairs.iter().cloned())
                .map_err(|error| CliError::usage(error.to_string()));
        };
        let doing = format!("reading the context from {}", path.display());
        let mut text = Vec::new();
        let file = File::open(path).map_err(CliError::file(&doing))?;
        file.take(MOST + 1).read_to_end(&mut text).map_err(CliError::file(&doing))?;
        if text.len() as u64 > MOST {
            return Err(KmsError::invalid(format!(
                "the context file {} has more than {MOST} bytes",
                path.display()
            ))
            .into());
        }
        let context = serde_json::from_slice(&text).map_err(|error| {
            KmsError::invalid(format!(
                "the context file {} is not one JSON object of text to text: {error}",
                path.display()
            ))
        })?;
        Ok(context)
    }
}

/// `key=value`: the key ends at the first `=`, the value may hold more of them and may be empty.
pub(crate) fn parse_pair(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        None => Err("there is no '='; write KEY=VALUE, such as table=users".to_owned()),
        Some(("", _)) => Err("there is no key before '='".to_owned()),
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
    }
}

/// Most bytes of a context file: the largest context, with every character escaped, fits.
const MOST: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Problem;

    fn of_pairs(pairs: &[&str]) -> Result<EncryptionContext> {
        let pairs = pairs.iter().map(|pair| parse_pair(pair).unwrap()).collect();
        ContextArguments { pairs, context_file: None }.read()
    }

    fn of_file(text: &str) -> Result<EncryptionContext> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("context.json");
        std::fs::write(&path, text).unwrap();
        ContextArguments { pairs: Vec::new(), context_file: Some(path) }.read()
    }

    #[test]
    fn a_pair_needs_a_key_and_an_equals_sign() {
        assert!(parse_pair("table").unwrap_err().contains("KEY=VALUE"));
        assert!(parse_pair("=users").is_err());
        assert!(parse_pair("").is_err());
        assert_eq!(parse_pair("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        assert_eq!(parse_pair("a=").unwrap(), ("a".to_owned(), String::new()));
    }

    #[test]
    fn the_same_key_twice_is_refused_also_with_the_same_value() {
        for twice in [["a=1", "a=2"], ["a=1", "a=1"]] {
            let refused = of_pairs(&twice).unwrap_err();
            assert_eq!(refused.problem(), Problem::Usage);
            assert!(refused.to_string().contains("\"a\" twice"), "{refused}");
        }
        let refused = of_file(r#"{"a": "1", "a": "1"}"#).unwrap_err();
        assert_eq!(refused.problem(), Problem::InvalidRequest);
    }

    #[test]
    fn a_file_must_hold_one_object_of_text() {
        for bad in ["", "[]", "{", r#"{"a": 1}"#, r#"{"a": {"b": "c"}}"#, r#"{"a": "1"} {}"#] {
            assert_eq!(of_file(bad).unwrap_err().problem(), Problem::InvalidRequest, "{bad}");
        }
        let large = format!("{{\"a\": \"{}\"}}", "x".repeat(70_000));
        assert!(of_file(&large).unwrap_err().to_string().contains("more than 65536 bytes"));
        let missing =
            ContextArguments { pairs: Vec::new(), context_file: Some("/nonexistent".into()) };
        assert_eq!(missing.read().unwrap_err().problem(), Problem::FileError);
    }

    #[test]
    fn both_ways_give_the_same_context() {
        let pairs = of_pairs(&["row=17", "table=users"]).unwrap();
        let file = of_file(r#"{"table": "users", "row": "17"}"#).unwrap();
        assert_eq!(pairs.canonical_bytes(), file.canonical_bytes());
        assert!(of_pairs(&[]).unwrap().is_empty());
    }
}
