//! Documents of the service beside the key records, under a MAC of their own: approvals, schedules,
//! evidence.
//!
//! Invariant: a document is believed only if its MAC, which covers its name, matches. A single document
//! that is put back to an older one is not noticed, since documents are not under the store head: what
//! stands in one must not be worth that to somebody who can write the store file.

use claviger_keystore::PutDocument;
use claviger_kms::{KmsError, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::hierarchy::Hierarchy;

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
        let unwritable = |error: serde_json::Error| KmsError::unavailable(error.to_string());
        let text = serde_json::to_string(value).map_err(unwritable)?;
        let mac = hex::encode(self.mac.of_document(name, &text));
        let bytes = serde_json::to_vec(&Sealed { text, mac }).map_err(unwritable)?;
        let put = PutDocument { name: name.to_owned(), expected_revision, bytes };
        Ok(self.store().put_document(put).await?)
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
