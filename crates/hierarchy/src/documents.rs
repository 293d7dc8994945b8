//! Documents beside the tree: campaigns and usage counters, each with a MAC.
//!
//! Invariant: what is read was written by this service, under this name and at this revision. Known
//! limit: documents are not under the store's head. Whoever can write the store's file can put a document
//! back as it once was, or remove it, and is not found out; he cannot make one up, alter one, or give one
//! another's name. Whatever rests on a document must bear that.
//!
//! Stored are the MAC (32 bytes) and the body, one after the other.

use claviger_keystore::{NamedDocument, PutDocument};
use claviger_kms::{KmsError, Result};

use crate::hierarchy::Hierarchy;

/// A document whose MAC was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedDocument {
    /// Its name.
    pub name: String,
    /// Its revision in the store.
    pub revision: u64,
    /// Its body; `None` if it is not what this service wrote, which is in the log.
    pub body: Option<Vec<u8>>,
}

impl Hierarchy {
    /// One document.
    ///
    /// # Errors
    /// [`KmsError::Unavailable`].
    pub async fn document(&self, name: &str) -> Result<Option<CheckedDocument>> {
        let found = self.store.document(name).await?;
        let named = |document| NamedDocument { name: name.to_owned(), document };
        Ok(found.map(|document| self.checked(named(document))))
    }

    /// Up to `limit` documents whose names begin with `prefix`, in the order of their names, after `after`.
    ///
    /// # Errors
    /// [`KmsError::Unavailable`].
    pub async fn documents(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<CheckedDocument>> {
        let found = self.store.documents(prefix, after, limit).await?;
        Ok(found.into_iter().map(|named| self.checked(named)).collect())
    }

    /// Writes documents, all or none, each if its revision is the one expected; the new one is one more.
    ///
    /// # Errors
    /// [`KmsError::Conflict`], [`KmsError::Unavailable`].
    pub async fn put_documents(&self, puts: Vec<PutDocument>) -> Result<()> {
        let sealed = puts.into_iter().map(|put| {
            let revision = put.expected_revision.unwrap_or(0).saturating_add(1);
            let mut bytes = self.mac.of_document(&put.name, revision, &put.bytes).to_vec();
            bytes.extend(&put.bytes);
            PutDocument { bytes, ..put }
        });
        Ok(self.store.put_documents(sealed.collect()).await?)
    }

    /// Removes a document if its revision is the one expected.
    ///
    /// # Errors
    /// [`KmsError::Conflict`], [`KmsError::Unavailable`].
    pub async fn remove_document(&self, name: &str, expected_revision: u64) -> Result<()> {
        Ok(self.store.remove_document(name, expected_revision).await?)
    }

    fn checked(&self, named: NamedDocument) -> CheckedDocument {
        let NamedDocument { name, document } = named;
        let revision = document.revision;
        let body = document.bytes.split_first_chunk::<32>().and_then(|(mac, body)| {
            let genuine = self.mac.document_is_genuine(&name, revision, body, mac);
            genuine.then(|| body.to_vec())
        });
        if body.is_none() {
            tracing::error!(name, revision, "a document of the key store does not match its MAC");
        }
        CheckedDocument { name, revision, body }
    }
}

impl CheckedDocument {
    /// The body of a document that must be whole.
    ///
    /// # Errors
    /// [`KmsError::Unavailable`] if it is not what this service wrote.
    pub fn whole(self) -> Result<Vec<u8>> {
        self.body.ok_or_else(|| {
            KmsError::unavailable(format!(
                "the document {} of the key store is altered or damaged",
                self.name
            ))
        })
    }
}
