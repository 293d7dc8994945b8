//! What the value of a column is bound to: its table, column and row.

use std::fmt::Display;

use claviger_kms::{EncryptionContext, KmsError};

use crate::{EnvelopeError, Result};

/// The place of one value in a database: table, column and row. It is not secret; it is bound into the envelope
/// as the encryption context `{"table": …, "column": …, "row": …}` (`FORMAT.md`, "Columns"), so that a value put
/// into another place does not open.
///
/// The names are labels that are chosen once. They need not be what the database calls the table today, and a
/// table that is renamed keeps its label, or nothing in it opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnContext(EncryptionContext);

impl ColumnContext {
    /// The place in this table, column and row. The row's id is bound as text: integers in decimal, a
    /// `Uuid` as it displays; a key of several parts as the caller joins them, so that no two rows look alike.
    ///
    /// # Errors
    /// [`EnvelopeError::Kms`] with `KmsError::Invalid` when one is empty or has more than 1,024 bytes.
    pub fn new(table: &str, column: &str, row: impl Display) -> Result<Self> {
        let row = row.to_string();
        labels([(TABLE, table), (COLUMN, column), (ROW, row.as_str())]).map(Self)
    }

    /// What is bound into the envelope.
    #[must_use]
    pub fn encryption_context(&self) -> &EncryptionContext {
        &self.0
    }
}

/// The encryption context of these labels; none may be empty.
pub(super) fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Result<EncryptionContext> {
    for (key, value) in pairs {
        if value.is_empty() {
            return Err(EnvelopeError::from(KmsError::invalid(format!(
                "the {key} of a column's context is empty"
            ))));
        }
    }
    Ok(EncryptionContext::from_pairs(pairs)?)
}

pub(super) const TABLE: &str = "table";
pub(super) const COLUMN: &str = "column";
const ROW: &str = "row";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_is_the_one_that_the_format_describes() {
        let place = ColumnContext::new("users", "ssn", 17).unwrap();
        let expected = [("table", "users"), ("column", "ssn"), ("row", "17")];
        assert_eq!(place.encryption_context(), &EncryptionContext::from_pairs(expected).unwrap());
        assert!(
            include_str!("../../FORMAT.md")
                .contains(r#"{"table": "users", "column": "ssn", "row": "17"}"#)
        );
    }

    #[test]
    fn refuses_an_empty_or_endless_name() {
        let long = "x".repeat(1025);
        for (table, column, row) in [
            ("", "ssn", "1"),
            ("users", "", "1"),
            ("users", "ssn", ""),
            (long.as_str(), "ssn", "1"),
            ("users", "ssn", long.as_str()),
        ] {
            assert!(
                ColumnContext::new(table, column, row).is_err(),
                "{table:.9} {column} {row:.9}"
            );
        }
    }
}
