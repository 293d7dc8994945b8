//! The value of a sealed column, as it stands in the database; sealing, opening and moving it.
//!
//! Invariant: there is no [`SealedColumn`] that is not a record envelope by its looks. Whether it is authentic
//! shows only when it is opened.

use std::fmt;

use claviger_kms::{KeyId, KeyPath, KeyVersion, SecretBytes};

use crate::{ColumnContext, EnvelopeError, Envelopes, Result, key_version, record};

/// The bytes of a record envelope: what a sealed column holds.
///
/// With the feature `postgres` it is read from and written to a `bytea` column, with the feature `rusqlite` a
/// `BLOB` column; a column that may be NULL is an `Option<SealedColumn>`. Neither asks a key service:
/// [`Envelopes::open_column`] does. Not secret, so it can be cloned, compared and kept anywhere.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SealedColumn(Vec<u8>);

impl SealedColumn {
    /// The value with these bytes.
    ///
    /// # Errors
    /// [`EnvelopeError::NotAnEnvelope`], which tells what was expected and quotes none of the bytes (somebody may
    /// have stored a secret there unsealed); [`EnvelopeError::UnknownFormat`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        record::split(&bytes)?;
        Ok(Self(bytes))
    }

    /// The bytes as they are stored; what an update compares with.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same, by value.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The key and version of the first wrap, if it is Claviger's. A claim: see [`key_version`].
    #[must_use]
    pub fn key_version(&self) -> Option<(KeyId, KeyVersion)> {
        key_version(&self.0)
    }
}

impl Envelopes {
    /// Seals a field for its place in the database. It opens there and nowhere else.
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    pub async fn seal_column(
        &self,
        key: &KeyPath,
        place: &ColumnContext,
        plaintext: &[u8],
    ) -> Result<SealedColumn> {
        self.seal(key, place.encryption_context(), plaintext).await.map(SealedColumn)
    }

    /// Opens a field that was sealed for this place.
    ///
    /// # Errors
    /// As [`open`](Self::open): [`EnvelopeError::Rejected`] when it was altered, or brought from another row, column
    /// or table.
    pub async fn open_column(
        &self,
        place: &ColumnContext,
        sealed: &SealedColumn,
    ) -> Result<SecretBytes> {
        self.open(place.encryption_context(), &sealed.0).await
    }

    /// The same field under the primary version of its key. Store it only where the old bytes still stand
    /// (`UPDATE … SET c = $new WHERE id = $id AND c = $old`): the application's own write wins.
    ///
    /// # Errors
    /// As [`rewrap`](Self::rewrap).
    pub async fn rewrap_column(
        &self,
        place: &ColumnContext,
        sealed: &SealedColumn,
    ) -> Result<SealedColumn> {
        self.rewrap(place.encryption_context(), &sealed.0).await.map(SealedColumn)
    }
}

impl TryFrom<Vec<u8>> for SealedColumn {
    type Error = EnvelopeError;

    fn try_from(bytes: Vec<u8>) -> Result<Self> {
        Self::from_bytes(bytes)
    }
}

impl AsRef<[u8]> for SealedColumn {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SealedColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.key_version().map(|(_, version)| version.number());
        f.debug_struct("SealedColumn")
            .field("bytes", &self.0.len())
            .field("key_version", &version)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_record_is_refused_without_quoting_it() {
        let cases: [&[u8]; 5] =
            [b"", b"000-12-3456", b"CLVE", b"CLVE\x01\x02 a file's header", &[0; 300]];
        for bytes in cases {
            let error = SealedColumn::from_bytes(bytes.to_vec()).unwrap_err();
            assert!(matches!(error, EnvelopeError::NotAnEnvelope { .. }), "{error}");
            assert!(!format!("{error} {error:?}").contains("12-3456"));
        }
        let newer = SealedColumn::from_bytes(b"CLVE\x02\x01 of a later release".to_vec());
        assert!(matches!(newer, Err(EnvelopeError::UnknownFormat { format: 2 })));
    }
}
