//! The later life of keys, as far as Claviger has it and other key services do not: emergency, retirement,
//! destruction, and the second person some steps need. Also the JSON of Claviger's own API.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Action, ApprovalId, CampaignName, IdempotencyKey, KeyMetadata, KeyPath, KeyVersion, KmsError,
    Principal, Result, SetRotation, VersionRequest,
};

/// What is done with the keys of a Claviger service beyond
/// [`KeyManagementService`](crate::KeyManagementService).
///
/// # Errors
/// Every method fails with the kinds of [`KmsError`]. A step that needs a second person fails with
/// [`KmsError::KeyUnusable`] until another person has [approved](Self::approve) it; its message names
/// the approval.
#[async_trait]
pub trait KeyLifecycle: Send + Sync {
    /// Stops every version of a key at once, then makes a new primary one.
    async fn quarantine(&self, request: QuarantineKey) -> Result<QuarantineReport>;
    /// Refuses every use of a key until it is enabled again.
    async fn disable_key(&self, request: KeyRequest) -> Result<KeyMetadata>;
    /// Takes a disabled or retired key into use again.
    async fn enable_key(&self, request: KeyRequest) -> Result<KeyMetadata>;
    /// Lets a key make nothing new; its versions can then be disabled and destroyed.
    async fn retire_key(&self, request: KeyRequest) -> Result<KeyMetadata>;
    /// Schedules the destruction of a disabled version. Repeating it changes nothing.
    async fn schedule_destroy(&self, request: ScheduleDestroy) -> Result<KeyMetadata>;
    /// Cancels a scheduled destruction; the version is disabled again.
    async fn cancel_destroy(&self, request: VersionRequest) -> Result<KeyMetadata>;
    /// Sets how often a key rotates by itself, or lets it take the period of the keys above.
    async fn set_rotation(&self, request: SetRotation) -> Result<KeyMetadata>;
    /// Approves another person's request.
    async fn approve(&self, request: Approve) -> Result<Approval>;
}

/// A request about a whole key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    /// The key.
    pub key: KeyPath,
}

/// Why a key is quarantined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum QuarantineReason {
    /// Somebody may have used it who should not: a rewrap cures it.
    MisuseSuspected,
    /// Key material itself got out: the keys below get new versions too, and data must be reencrypted.
    MaterialLeaked,
}

/// A key to quarantine.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct QuarantineKey {
    /// The key.
    pub key: KeyPath,
    /// Only this version, also a disabled one whose data must still be moved; else every version that
    /// wraps or unwraps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<KeyVersion>,
    /// Why.
    pub reason: QuarantineReason,
    /// Whether callers may still unwrap with the stopped versions.
    #[serde(default)]
    pub drain: bool,
    /// Whether every key below is quarantined too.
    #[serde(default)]
    pub recursive: bool,
    /// Only says what would happen.
    #[serde(default)]
    pub dry_run: bool,
    /// Name of this request: repeating it stops nothing twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<IdempotencyKey>,
}

/// What a quarantine did, key by key, from the top down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct QuarantineReport {
    /// Whether this was only asked for.
    pub dry_run: bool,
    /// The keys.
    pub keys: Vec<QuarantinedKey>,
    /// What the operator should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

/// What a quarantine did to one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct QuarantinedKey {
    /// The key.
    pub key: KeyPath,
    /// The versions that were stopped; none for a key that only got a new version.
    pub stopped: Vec<KeyVersion>,
    /// Pending versions that were given up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub abandoned: Vec<KeyVersion>,
    /// The new primary version; none while it could not be made yet.
    pub primary: Option<KeyVersion>,
    /// Why there is no new primary version yet, or what else is left to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
    /// In a dry run: who has used the versions that would be stopped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cut_off: Vec<CutOff>,
    /// Campaigns that are open now and move its envelopes once they are run: those the key has had, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub campaigns: Vec<CampaignName>,
}

impl QuarantinedKey {
    /// A key of which these versions were stopped, and these pending ones given up; nothing is known further.
    #[must_use]
    pub fn new(key: KeyPath, stopped: Vec<KeyVersion>, abandoned: Vec<KeyVersion>) -> Self {
        let (cut_off, campaigns) = (Vec::new(), Vec::new());
        Self { key, stopped, abandoned, primary: None, notice: None, cut_off, campaigns }
    }

    /// Adds to what is left to do.
    pub fn say(&mut self, words: &str) {
        let notice = self.notice.get_or_insert_default();
        if !notice.is_empty() {
            notice.push_str("; ");
        }
        notice.push_str(words);
    }
}

/// A caller of a version that would be stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CutOff {
    /// The version.
    pub version: KeyVersion,
    /// Who; none for all callers beyond those that are counted by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Principal>,
    /// The last use was not later than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub last_used: Option<Timestamp>,
}

/// Facts of the last quarantine of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct QuarantineFacts {
    /// Why.
    pub reason: QuarantineReason,
    /// Whether callers may still unwrap.
    pub drain: bool,
    /// By whom.
    pub by: Principal,
    /// When.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
}

/// A version to destroy.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ScheduleDestroy {
    /// The key.
    pub key: KeyPath,
    /// The version, disabled.
    pub version: KeyVersion,
    /// Days until it is destroyed: 7 to 30.
    pub days: u32,
    /// Whether it is destroyed without evidence that nothing needs it: two persons must say so.
    #[serde(default)]
    pub shred: bool,
}

impl ScheduleDestroy {
    /// Fewest days.
    pub const MIN_DAYS: u32 = 7;
    /// Most days.
    pub const MAX_DAYS: u32 = 30;

    /// Checks the delay.
    ///
    /// # Errors
    /// [`KmsError::Invalid`] naming the limits.
    pub fn check(&self) -> Result<()> {
        if (Self::MIN_DAYS..=Self::MAX_DAYS).contains(&self.days) {
            return Ok(());
        }
        Err(KmsError::invalid(format!(
            "a version is destroyed after {} to {} days, not after {}",
            Self::MIN_DAYS,
            Self::MAX_DAYS,
            self.days
        )))
    }
}

/// A request to approve.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Approve {
    /// The approval, as the refusal named it.
    pub id: ApprovalId,
}

/// A request that waits for, or has, a second person's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Its identity: follows from who asked for exactly what.
    pub id: ApprovalId,
    /// What was asked for.
    pub action: Action,
    /// On which key.
    pub key: KeyPath,
    /// Of which version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<KeyVersion>,
    /// The whole request in words, as the approver should read it.
    pub request: String,
    /// By whom.
    pub asked_by: Principal,
    /// When.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub asked_at: Timestamp,
    /// Until when it can be approved, and then carried out.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub until: Timestamp,
    /// Who approved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<Principal>,
}
