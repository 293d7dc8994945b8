//! Equality search in a sealed column: a keyed hash of the value, stored beside it.
//!
//! ```text
//! index = HMAC-SHA-256(index key, field("claviger/1/blind-index") || field(table) || field(column) || field(value))
//! ```
//!
//! Invariants: the index key is random, one for each column, and wrapped by the key service as a data key bound to
//! its purpose, table and column; it never derives from a version of the wrapping key, so a rotation changes
//! neither it nor any index. What an index gives away stands at [`BlindIndex`].

#![expect(clippy::disallowed_methods, reason = "computes the HMAC with the index key")]

use std::fmt;

use claviger_kms::{
    Binding, Canonical, Decrypt, GenerateDataKey, KeyManagementService, KeyPath, Rewrap, SecretKey,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::context::{COLUMN, TABLE, labels};
use crate::{EnvelopeError, Result};

/// A column's blind index: finds the rows with a given value without opening any.
///
/// The application makes it once ([`make`](Self::make)), keeps the wrapped key (one small blob for each column, in a
/// table of its own), opens it when it starts ([`open`](Self::open)), and stores [`of`](Self::of) each value in a
/// column beside the sealed one.
///
/// # What it gives away
/// Whoever reads the table sees *which rows have equal values*, and how often each value occurs; with knowledge
/// of the data (the commonest name, a known person's row) that can be enough to tell some values. Whoever can also
/// have values of his choice indexed, by adding rows through the application for instance, can test guesses:
/// there are only 10^9 social security numbers. A value with few possibilities (a diagnosis, a sex, a postcode)
/// should have no index. Without the index key nothing can be computed from an index, however few the values are.
///
/// *Storing less gives away less.* The first 2 or 3 bytes of an index make many values share one; a search then finds
/// candidates, all of which must be opened and compared. The same is good practice with the whole 32 bytes, because an
/// index is not bound to its row: whoever writes to the table can copy one.
///
/// # What it needs
/// *One spelling.* Only equal bytes have equal indexes: trimming, case and punctuation are the caller's to
/// normalise, the same way for ever.
///
/// *A place in the rotation.* The wrapped key is under a key version as an envelope is: move it with
/// [`rewrap`](Self::rewrap) before that version is destroyed, or search is lost until every row is indexed anew.
pub struct BlindIndex {
    key: SecretKey,
    table: String,
    column: String,
}

impl BlindIndex {
    /// Bytes of an index.
    pub const LENGTH: usize = 32;

    /// Makes the index of a column, with a fresh key. Returns the wrapped key too, the key service's own ciphertext:
    /// store it, once. Of two programs that make it at once, both must use the one that was stored first.
    ///
    /// # Errors
    /// [`EnvelopeError::Kms`]: what the service says, or `KmsError::Invalid` for an empty name.
    pub async fn make(
        kms: &dyn KeyManagementService,
        key: &KeyPath,
        table: &str,
        column: &str,
    ) -> Result<(Self, Vec<u8>)> {
        let request = GenerateDataKey { key: key.clone(), binding: binding(table, column)? };
        let made = kms.generate_data_key(request).await?;
        Ok((Self::with_key(made.plaintext, table, column), made.wrapped.ciphertext))
    }

    /// Opens the index whose wrapped key was stored.
    ///
    /// # Errors
    /// [`EnvelopeError::Rejected`] when it was altered, or made for another table or column;
    /// [`EnvelopeError::Kms`].
    pub async fn open(
        kms: &dyn KeyManagementService,
        wrapped: &[u8],
        table: &str,
        column: &str,
    ) -> Result<Self> {
        let request = Decrypt { ciphertext: wrapped.to_vec(), binding: binding(table, column)? };
        let opened = kms.decrypt(request).await?;
        // A value of another length was not made here.
        let key = opened.plaintext.into_secret_key().map_err(|_| EnvelopeError::Rejected)?;
        Ok(Self::with_key(key, table, column))
    }

    /// The wrapped key under the primary version of its key; the index stays the same. Store it only where the old
    /// bytes stand.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn rewrap(
        kms: &dyn KeyManagementService,
        wrapped: &[u8],
        table: &str,
        column: &str,
    ) -> Result<Vec<u8>> {
        let request = Rewrap {
            ciphertext: wrapped.to_vec(),
            binding: binding(table, column)?,
            campaign: None,
        };
        Ok(kms.rewrap(request).await?.ciphertext)
    }

    /// The index of a value: equal for equal bytes of this column, and nothing else.
    ///
    /// Treat the answer as the value's pseudonym: it belongs into the database and into no log.
    #[must_use]
    pub fn of(&self, value: &[u8]) -> [u8; Self::LENGTH] {
        self.key.with_bytes(|key| index_of(key, &self.table, &self.column, value))
    }

    fn with_key(key: SecretKey, table: &str, column: &str) -> Self {
        Self { key, table: table.to_owned(), column: column.to_owned() }
    }
}

/// The formula at the head of this module. The value goes straight into the hash: it is copied nowhere that is
/// not wiped.
fn index_of(
    key: &[u8; SecretKey::LENGTH],
    table: &str,
    column: &str,
    value: &[u8],
) -> [u8; BlindIndex::LENGTH] {
    // HMAC pads its key with zeros to a block (RFC 2104, section 2).
    let mut block = Zeroizing::new([0; 64]);
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    let mut mac = <Hmac<Sha256>>::new((&*block).into());
    mac.update(&Canonical::new(LABEL).text(table).text(column).finish());
    mac.update(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
    mac.update(value);
    mac.finalize().into_bytes().into()
}

/// What the wrapped index key is bound to. It has no envelope id, and an envelope's data key has no purpose: neither
/// is taken for the other.
fn binding(table: &str, column: &str) -> Result<Binding> {
    let context = labels([(PURPOSE, "blind-index"), (TABLE, table), (COLUMN, column)])?;
    Ok(Binding { context, envelope_id: None })
}

impl fmt::Debug for BlindIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlindIndex")
            .field("table", &self.table)
            .field("column", &self.column)
            .finish_non_exhaustive()
    }
}

const LABEL: &str = "claviger/1/blind-index";
const PURPOSE: &str = "purpose";

#[cfg(test)]
mod tests {
    use claviger_kms::KmsError;

    use super::*;

    fn hex_of(table: &str, column: &str, value: &[u8]) -> String {
        hex::encode(index_of(&[7; 32], table, column, value))
    }

    /// The example of `FORMAT.md`; the index there was computed with Python's `hmac`.
    #[test]
    fn the_index_is_the_one_that_the_format_describes() {
        let index = hex_of("users", "ssn", b"000-12-3456");
        assert!(include_str!("../../FORMAT.md").contains(&index), "{index}");
    }

    #[test]
    fn text_moved_between_table_column_and_value_changes_the_index() {
        let base = hex_of("ab", "c", b"d");
        assert_eq!(base, hex_of("ab", "c", b"d"));
        for (table, column, value) in [("a", "bc", "d"), ("ab", "cd", ""), ("ab", "", "cd")] {
            assert_ne!(base, hex_of(table, column, value.as_bytes()));
        }
    }

    #[test]
    fn nothing_shown_holds_the_key() {
        let key = SecretKey::make_with(|key| {
            key.fill(0xAB);
            Ok::<_, KmsError>(())
        });
        let index = BlindIndex::with_key(key.unwrap(), "users", "ssn");
        assert_eq!(format!("{index:?}"), r#"BlindIndex { table: "users", column: "ssn", .. }"#);
    }
}
