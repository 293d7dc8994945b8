//! Documents of the service beside the key records, under a MAC of their own: approvals, schedules,
//! evidence, campaigns, usage counters.
//!
//! Invariant: a document is believed only if its MAC, which covers its name, matches. A single document
//! that is put back to an older one is not noticed, since documents are not under the store head: what
//! stands in one must not be worth that to somebody who can write the store file.

use claviger_keystore::PutDocument;
use claviger_kms::{KmsError, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::hierarchy::Hierarchy;

/// A document to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDocument<T> {
    /// Its name.
    pub name: String,
    /// The revision it replaces; `None` for a new document.
    pub expected_revision: Option<u64>,
    /// What it says.
    pub value: T,
}

/// A document as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDocument<T> {
    /// What it says.
    pub value: T,
    /// Its revision, to be named when it is replaced.
    pub revision: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    text: String,
    mac: String,
}

impl Hierarchy {
    /// Reads a document.
    ///
    /// # Errors
    /// [`KmsError::Unavailable`] when the store is out of reach, or the document is not what this service
    /// wrote.
    pub async fn document<T: DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Option<StoredDocument<T>>> {
        let Some(stored) = self.store().document(name).await? else { return Ok(None) };
        let value = self.unsealed(name, &stored.bytes)?;
        Ok(Some(StoredDocument { value, revision: stored.revision }))
    }

    /// Writes a document over the revision named; returns the new one.
    ///
    /// # Errors
    /// [`KmsError::Conflict`] when it was changed meanwhile; [`KmsError::Unavailable`].
    pub async fn put_document<T: Serialize>(
        &self,
        name: &str,
        expected_revision: Option<u64>,
        value: &T,
    ) -> Result<u64> {
        let put = self.sealed(name.to_owned(), expected_revision, value)?;
        Ok(self.store().put_document(put).await?)
    }

    /// Writes documents over the revisions named, all or none; the new ones are one more.
    ///
    /// # Errors
    /// As [`put_document`](Self::put_document).
    pub async fn put_documents<T: Serialize>(&self, documents: Vec<NewDocument<T>>) -> Result<()> {
        let sealed = documents.into_iter().map(|document| {
            self.sealed(document.name, document.expected_revision, &document.value)
        });
        Ok(self.store().put_documents(sealed.collect::<Result<_>>()?).await?)
    }

    /// The names of up to `limit` documents that begin with `prefix`, in their order, after `after`.
    ///
    /// # Errors
    /// [`KmsError::Unavailable`].
    pub async fn document_names(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        let found = self.store().documents(prefix, after, limit).await?;
        Ok(found.into_iter().map(|named| named.name).collect())
    }

    /// The revision of a document, whatever it says.
    ///
    /// # Errors
    /// [`KmsError::Unavailable`].
    pub async fn document_revision(&self, name: &str) -> Result<Option<u64>> {
        Ok(self.store().document(name).await?.map(|document| document.revision))
    }

    /// Removes a document of this revision.
    ///
    /// # Errors
    /// As [`put_document`](Self::put_document).
    pub async fn remove_document(&self, name: &str, expected_revision: u64) -> Result<()> {
        Ok(self.store().remove_document(name, expected_revision).await?)
    }

    fn sealed<T: Serialize>(
        &self,
        name: String,
        expected_revision: Option<u64>,
        value: &T,
    ) -> Result<PutDocument> {
        let unwritable = |error: serde_json::Error| KmsError::unavailable(error.to_string());
        let text = serde_json::to_string(value).map_err(unwritable)?;
        let mac = hex::encode(self.mac.of_document(&name, &text));
        let bytes = serde_json::to_vec(&Sealed { text, mac }).map_err(unwritable)?;
        Ok(PutDocument { name, expected_revision, bytes })
    }

    fn unsealed<T: DeserializeOwned>(&self, name: &str, bytes: &[u8]) -> Result<T> {
        let altered = || {
            tracing::error!(name, "a document of the key store does not match its MAC");
            KmsError::unavailable(format!("the document {name} of the key store was altered"))
        };
        let sealed: Sealed = serde_json::from_slice(bytes).map_err(|_| altered())?;
        let mac = hex::decode(&sealed.mac).map_err(|_| altered())?;
        if !self.mac.document_is_genuine(name, &sealed.text, &mac) {
            return Err(altered());
        }
        serde_json::from_str(&sealed.text).map_err(|_| altered())
    }
}
