//! The root facts: the one document that says which objects of the token are the root, what they must
//! answer, and where the record-MAC key is.
//!
//! Invariant: facts are believed only after the token gave the known answer they record and their MAC
//! was checked under the record-MAC key they wrap.

use claviger_keystore::{KeyStore, PutDocument};
use claviger_kms::{Canonical, KeyId, KeyVersion, Salt, StoreId, Timestamp, wire};
use claviger_root_key::{ObjectId, ObjectReport};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{OpenError, binding::Node, record_mac::RecordMac};

/// Name of the document in the key store.
pub(crate) const DOCUMENT: &str = "root";

/// What the ceremony made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RootFacts {
    pub(crate) format: u32,
    pub(crate) store_id: StoreId,
    pub(crate) root_id: KeyId,
    /// Oldest first; the last is primary.
    pub(crate) roots: Vec<RootVersion>,
    /// Oldest first; the last is in use.
    pub(crate) record_macs: Vec<WrappedRecordMac>,
    /// `None` where the token makes no ECDSA keys.
    pub(crate) checkpoint_key: Option<CheckpointKey>,
    /// Objects of former root versions that are being destroyed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) leaving: Vec<ObjectId>,
}

/// One root key object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RootVersion {
    pub(crate) number: KeyVersion,
    pub(crate) object: ObjectId,
    pub(crate) made_at: Timestamp,
    #[serde(with = "wire::bytes")]
    pub(crate) known_answer_salt: Vec<u8>,
    /// SHA-256 of the derived key, in hexadecimal.
    pub(crate) known_answer_hash: String,
}

/// The record-MAC key, wrapped by a root version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrappedRecordMac {
    pub(crate) number: u32,
    pub(crate) root_version: KeyVersion,
    #[serde(with = "wire::bytes")]
    pub(crate) wrapped: Vec<u8>,
}

/// The audit log's signing key in the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckpointKey {
    pub(crate) object: ObjectId,
    /// Uncompressed SEC1 point in hexadecimal.
    pub(crate) public_key: String,
}

/// The facts as stored: their text and its MAC.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    facts: String,
    mac: String,
}

/// Facts read from the store, not yet believed.
#[derive(Debug)]
pub(crate) struct UnverifiedFacts {
    pub(crate) facts: RootFacts,
    /// The document's revision.
    pub(crate) revision: u64,
    text: String,
    mac: Vec<u8>,
}

impl RootFacts {
    pub(crate) const FORMAT: u32 = 1;

    pub(crate) fn primary(&self) -> Result<&RootVersion, OpenError> {
        self.roots.last().ok_or_else(|| OpenError::tampered("the root facts name no root key"))
    }

    pub(crate) fn root(&self, number: KeyVersion) -> Option<&RootVersion> {
        self.roots.iter().find(|root| root.number == number)
    }

    pub(crate) fn node(&self, number: KeyVersion) -> Node<'static> {
        Node::root(self.root_id, number)
    }

    /// What a person compares: 32 hexadecimal digits over the identity and answer of the newest root.
    pub(crate) fn fingerprint(&self) -> Result<String, OpenError> {
        Ok(self.fingerprint_of(self.primary()?))
    }

    /// The same, of any root version.
    pub(crate) fn fingerprint_of(&self, root: &RootVersion) -> String {
        let digest = Sha256::digest(
            Canonical::new("claviger/1/root-fingerprint")
                .bytes(self.root_id.as_bytes())
                .u32(root.number.number())
                .text(&root.known_answer_hash)
                .finish(),
        );
        hex::encode(digest.first_chunk::<16>().unwrap_or(&[0; 16]))
    }

    /// The document to store.
    pub(crate) fn seal(
        &self,
        mac: &RecordMac,
        expected_revision: Option<u64>,
    ) -> Result<PutDocument, OpenError> {
        let unwritable = |source| OpenError::tampered(format!("the root facts: {source}"));
        let facts = serde_json::to_string(self).map_err(unwritable)?;
        let mac = hex::encode(mac.of_facts(&facts));
        let bytes = serde_json::to_vec(&Sealed { facts, mac }).map_err(unwritable)?;
        Ok(PutDocument { name: DOCUMENT.to_owned(), expected_revision, bytes })
    }
}

impl CheckpointKey {
    pub(crate) fn of(report: &ObjectReport) -> Option<Self> {
        let public_key = report.public_key.clone()?;
        Some(Self { object: report.id, public_key })
    }
}

impl RootVersion {
    pub(crate) fn salt(&self) -> Result<Salt, OpenError> {
        let bytes = self.known_answer_salt.as_slice();
        let salt = <[u8; Salt::LENGTH]>::try_from(bytes)
            .map_err(|_| OpenError::tampered("the known answer's salt has not 24 bytes"))?;
        Ok(Salt::from_bytes(salt))
    }
}

impl UnverifiedFacts {
    /// Reads the document.
    pub(crate) async fn read(store: &dyn KeyStore) -> Result<Self, OpenError> {
        let document = store.document(DOCUMENT).await?.ok_or(OpenError::NoRoot)?;
        let unreadable = |source| OpenError::tampered(format!("the root facts: {source}"));
        let Sealed { facts: text, mac } =
            serde_json::from_slice(&document.bytes).map_err(unreadable)?;
        let facts: RootFacts = serde_json::from_str(&text).map_err(unreadable)?;
        if facts.format != RootFacts::FORMAT {
            return Err(OpenError::tampered(format!(
                "the root facts have format {}; this release reads {}",
                facts.format,
                RootFacts::FORMAT
            )));
        }
        let mac = hex::decode(mac)
            .map_err(|_| OpenError::tampered("the root facts' MAC is not hexadecimal"))?;
        Ok(Self { facts, revision: document.revision, text, mac })
    }

    /// Believes the facts if the MAC matches.
    pub(crate) fn verify(self, mac: &RecordMac) -> Result<RootFacts, OpenError> {
        if mac.facts_are_genuine(&self.text, &self.mac) {
            Ok(self.facts)
        } else {
            Err(OpenError::tampered("the root facts do not match their MAC"))
        }
    }
}
