//! Who used which version of a key, how often, and when last.
//!
//! Counts and times never say less than what was acknowledged, also after a crash: each makes a count too
//! high by at most [`Uses::BLOCK`]; a last use may be up to an hour too late. The exception is a crash while
//! the key store cannot be written: the audit log alone has the uses of that time.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{KeyId, KeyPath, KeyVersion, Principal};

/// The uses of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyUsage {
    /// The key's path.
    pub key: KeyPath,
    /// The key's identity.
    pub key_id: KeyId,
    /// Every version, oldest first.
    pub versions: Vec<VersionUsage>,
}

/// The uses of one version of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct VersionUsage {
    /// The version.
    pub version: KeyVersion,
    /// Since when uses are counted: the first use that was. None if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub counted_since: Option<Timestamp>,
    /// By caller: the first [`VersionUsage::MAX_CALLERS`], by name, and the sum of all others.
    pub callers: Vec<CallerUsage>,
}

/// The uses of one version by one caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CallerUsage {
    /// Who; none for all callers beyond those that are counted by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Principal>,
    /// First use of any kind.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub first_used: Timestamp,
    /// Data keys and values wrapped, also by a rewrap from an older version.
    pub wraps: Uses,
    /// Data keys and values unwrapped for the caller.
    pub unwraps: Uses,
    /// Rewraps of ciphertexts of this version.
    pub rewraps: Uses,
    /// Permitted attempts that were refused because of the version's or the key's state. They name a
    /// version, but nothing proves that the ciphertext was one.
    pub refused: Uses,
}

/// Uses of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Uses {
    /// How many.
    pub count: u64,
    /// The last was not later than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub last: Option<Timestamp>,
}

impl VersionUsage {
    /// Most callers of a version that are counted by name.
    pub const MAX_CALLERS: usize = 64;

    /// A version of which no use was counted.
    #[must_use]
    pub fn none(version: KeyVersion) -> Self {
        Self { version, counted_since: None, callers: Vec::new() }
    }
}

impl CallerUsage {
    /// The last attempt of any kind, refused ones too, was not later than this.
    #[must_use]
    pub fn last(&self) -> Option<Timestamp> {
        [self.wraps, self.unwraps, self.rewraps, self.refused]
            .iter()
            .filter_map(|uses| uses.last)
            .max()
    }
}

impl Uses {
    /// Most by which one crash makes a count too high.
    pub const BLOCK: u64 = 1024;
}
