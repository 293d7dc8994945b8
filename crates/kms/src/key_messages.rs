//! Requests and replies about keys and versions; also the JSON of Claviger's own API.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    IdempotencyKey, KeyId, KeyPath, KeyState, KeyVersion, KmsError, Protection, Purpose,
    QuarantineFacts, Result, RotationPeriod, VersionState,
};

/// A key to make.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateKey {
    /// Where it stands; the key above must exist, except for a region.
    pub key: KeyPath,
    /// What it is for.
    #[serde(default)]
    pub purpose: Purpose,
    /// Where its material is held.
    #[serde(default)]
    pub protection: Protection,
    /// For people.
    #[serde(default)]
    pub details: KeyDetails,
    /// How often it rotates by itself; without one it takes the period of the nearest key above that has
    /// one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = RotationPeriod, required = false))]
    pub rotation_period: Option<RotationPeriod>,
    /// Name of this request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<IdempotencyKey>,
}

impl CreateKey {
    /// An encryption key held in memory, without details.
    #[must_use]
    pub fn at(key: KeyPath) -> Self {
        Self {
            key,
            purpose: Purpose::default(),
            protection: Protection::default(),
            details: KeyDetails::default(),
            rotation_period: None,
            idempotency_key: None,
        }
    }
}

/// What people note about a key. Texts without control characters; limits in [`KeyDetails::check`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyDetails {
    /// What the key protects; at most 1,024 bytes.
    #[serde(default)]
    #[cfg_attr(
        feature = "openapi",
        schema(max_length = 1024, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$")
    )]
    pub description: String,
    /// Whom to call; at most 256 bytes.
    #[serde(default)]
    #[cfg_attr(
        feature = "openapi",
        schema(max_length = 256, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$")
    )]
    pub owner: String,
    /// Free tags; at most 32, of 128 and 256 bytes.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Tags))]
    pub tags: BTreeMap<String, String>,
}

impl KeyDetails {
    /// Checks the limits.
    ///
    /// # Errors
    /// [`KmsError::Invalid`] naming the text that is too long or holds a control character.
    pub fn check(&self) -> Result<()> {
        let text = |what: &str, text: &str, most: usize| {
            if text.len() > most || text.chars().any(char::is_control) {
                return Err(KmsError::invalid(format!(
                    "{what} has {} bytes; at most {most} without control characters are allowed",
                    text.len()
                )));
            }
            Ok(())
        };
        text("the description", &self.description, 1024)?;
        text("the owner", &self.owner, 256)?;
        if self.tags.len() > 32 {
            return Err(KmsError::invalid(format!(
                "{} tags; at most 32 are allowed",
                self.tags.len()
            )));
        }
        for (name, value) in &self.tags {
            text("a tag's name", name, 128)?;
            text("a tag's value", value, 256)?;
        }
        Ok(())
    }
}

/// A key and its versions, without any material.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyMetadata {
    /// Its path.
    pub key: KeyPath,
    /// Its identity.
    pub id: KeyId,
    /// What it is for.
    pub purpose: Purpose,
    /// Where its material is held.
    pub protection: Protection,
    /// State of the whole key.
    pub state: KeyState,
    /// The version that wraps; none while the key is quarantined or retired.
    pub primary: Option<KeyVersion>,
    /// For people.
    pub details: KeyDetails,
    /// How often it rotates by itself; without one it takes the period of the nearest key above that has
    /// one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation_period: Option<RotationPeriod>,
    /// When it was made.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub made_at: Timestamp,
    /// Counts the changes of its record.
    pub epoch: u64,
    /// Facts of its last quarantine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<QuarantineFacts>,
    /// Its versions, oldest first.
    pub versions: Vec<VersionMetadata>,
    /// What the operator should know, such as "promotion was immediate: no backup is configured".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

/// A key version, without its material.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct VersionMetadata {
    /// Its number.
    pub version: KeyVersion,
    /// Its state.
    pub state: VersionState,
    /// When it was made.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub made_at: Timestamp,
    /// When its state last changed.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub state_changed_at: Timestamp,
    /// The version of the key above (of the root, for a region) that wraps it.
    pub parent_version: KeyVersion,
    /// 16 hexadecimal digits that tell key materials apart without giving them away.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[0-9a-f]{16}$"))]
    pub fingerprint: String,
    /// Whether it was ever quarantined.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ever_quarantined: bool,
    /// When it is destroyed, once that is scheduled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub destroy_after: Option<Timestamp>,
}

/// Which keys to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ListKeys {
    /// Only this key and those below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = KeyPath, required = false))]
    pub under: Option<KeyPath>,
    /// Only keys after this one: the `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = KeyPath, required = false))]
    pub after: Option<KeyPath>,
    /// Most keys on the page; 1 to 1,000, default 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = u32, required = false, minimum = 1, maximum = 1000))]
    pub limit: Option<u32>,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyPage {
    /// The keys, by path.
    pub keys: Vec<KeyMetadata>,
    /// Where the next page begins, if there is one.
    pub next: Option<KeyPath>,
}

/// A version to make.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateVersion {
    /// Of this key.
    pub key: KeyPath,
    /// Name of this request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<IdempotencyKey>,
}

/// One version of one key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct VersionRequest {
    /// The key.
    pub key: KeyPath,
    /// The version.
    pub version: KeyVersion,
}
