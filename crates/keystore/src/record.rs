//! The key record: one document for each key path, all its versions in it.
//!
//! Invariant: a record holds wrapped keys and token object ids, never plain keys. Its bytes are stored
//! and MACed exactly as written, so nothing depends on how JSON is written a second time.

use claviger_kms::{
    Action, KeyDetails, KeyId, KeyMetadata, KeyPath, KeyState, KeyVersion, Principal, Protection,
    Purpose, QuarantineFacts, RequestId, RotationPeriod, StoreId, Timestamp, VersionMetadata,
    VersionState, wire,
};
use serde::{Deserialize, Serialize};

use crate::StoreError;

/// Everything durable about one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    /// Format of this document, 1.
    pub format: u32,
    /// The store it belongs to.
    pub store_id: StoreId,
    /// The key's identity.
    pub id: KeyId,
    /// The key's path.
    pub path: KeyPath,
    /// What it is for.
    pub purpose: Purpose,
    /// Where its material is held.
    pub protection: Protection,
    /// State of the whole key.
    pub state: KeyState,
    /// For people.
    pub details: KeyDetails,
    /// After how long the primary version is replaced by schedule; without one, that of the nearest key
    /// above that has one. (The first releases wrote its name with `_days` and nothing in it.)
    #[serde(default, alias = "rotation_period_days")]
    pub rotation_period: Option<RotationPeriod>,
    /// The version that wraps.
    pub primary: Option<KeyVersion>,
    /// One more at every write.
    pub epoch: u64,
    /// Facts of the last quarantine.
    pub quarantine: Option<QuarantineFacts>,
    /// Hash of the principal and idempotency key of the request that quarantined it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine_request: Option<String>,
    /// The last changes, as far as they were emergencies': replayed into the audit log should it lack them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emergencies: Vec<Emergency>,
    /// When it was made.
    pub made_at: Timestamp,
    /// By whom.
    pub made_by: Principal,
    /// Hash of the principal and idempotency key of the request that made it.
    pub request: Option<String>,
    /// All versions, oldest first; tombstones stay.
    pub versions: Vec<VersionRecord>,
}

/// One version of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionRecord {
    /// Its number.
    pub number: KeyVersion,
    /// Its state.
    pub state: VersionState,
    /// When it was made.
    pub made_at: Timestamp,
    /// When its state last changed.
    pub state_changed_at: Timestamp,
    /// The version of the parent that wraps it (of the root, for a region).
    pub parent_version: KeyVersion,
    /// Its material.
    pub material: Material,
    /// 16 hexadecimal digits that tell key materials apart.
    pub fingerprint: String,
    /// Whether it was ever quarantined.
    pub ever_quarantined: bool,
    /// Whether a backup holds it.
    pub backed_up: bool,
    /// When it may be destroyed, once scheduled.
    pub destroy_after: Option<Timestamp>,
    /// The evidence its destruction rests on.
    pub evidence: Option<String>,
    /// Hash of the principal and idempotency key of the request that made it.
    pub request: Option<String>,
}

/// The material of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Material {
    /// The key, wrapped by its parent (104 bytes).
    Wrapped(#[serde(with = "wire::bytes")] Vec<u8>),
    /// The id of a key object in the token.
    TokenObject(String),
    /// Nothing: the version is destroyed.
    Gone,
}

/// An emergency change, kept in the record until the audit log has it: it is made before it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Emergency {
    /// The request.
    pub request: RequestId,
    /// What was done.
    pub action: Action,
    /// By whom.
    pub by: Principal,
    /// When.
    pub at: Timestamp,
    /// The store's generation that this change made.
    pub generation: u64,
}

impl KeyRecord {
    /// The format written now.
    pub const FORMAT: u32 = 1;

    /// The bytes to store and MAC.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] if the record cannot be written as JSON, which no record does.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StoreError> {
        serde_json::to_vec(self)
            .map_err(|source| StoreError::Unreadable { reason: format!("key record: {source}") })
    }

    /// Reads stored bytes.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] on other formats and on anything unknown.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        let record: Self = serde_json::from_slice(bytes)
            .map_err(|source| StoreError::Unreadable { reason: format!("key record: {source}") })?;
        if record.format != Self::FORMAT {
            return Err(StoreError::Unreadable {
                reason: format!("key record of format {}; this release reads 1", record.format),
            });
        }
        Ok(record)
    }

    /// A version by number.
    #[must_use]
    pub fn version(&self, number: KeyVersion) -> Option<&VersionRecord> {
        self.versions.iter().find(|version| version.number == number)
    }

    /// What callers may see.
    #[must_use]
    pub fn metadata(&self) -> KeyMetadata {
        KeyMetadata {
            key: self.path.clone(),
            id: self.id,
            purpose: self.purpose,
            protection: self.protection,
            state: self.state,
            primary: self.primary,
            details: self.details.clone(),
            rotation_period: self.rotation_period,
            made_at: self.made_at,
            epoch: self.epoch,
            quarantine: self.quarantine.clone(),
            versions: self.versions.iter().map(VersionRecord::metadata).collect(),
            notices: Vec::new(),
        }
    }
}

impl VersionRecord {
    fn metadata(&self) -> VersionMetadata {
        VersionMetadata {
            version: self.number,
            state: self.state,
            made_at: self.made_at,
            state_changed_at: self.state_changed_at,
            parent_version: self.parent_version,
            fingerprint: self.fingerprint.clone(),
            ever_quarantined: self.ever_quarantined,
            destroy_after: self.destroy_after,
        }
    }
}
