//! Requests and replies about rotation by schedule; also the JSON of Claviger's own API.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{KeyPath, KeyVersion, RotationPeriod};

/// How often a key is to rotate by itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SetRotation {
    /// The key.
    pub key: KeyPath,
    /// The period; without one the key takes that of the nearest key above that has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = RotationPeriod, required = false))]
    pub period: Option<RotationPeriod>,
}

/// Which keys' rotation to tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ListRotations {
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
    /// Only keys whose rotation falls due within so many days; 0 for those due now. 0 to 3,650.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = u32, required = false, minimum = 0, maximum = 3650))]
    pub within_days: Option<u32>,
}

/// One page of keys and their rotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RotationPage {
    /// The service's time, which the others here are compared with.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub now: Timestamp,
    /// Whether the service that answers is the one that rotates; else another one of the same store does.
    pub leader: bool,
    /// Until when nothing rotates by schedule, because the clock jumped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub paused_until: Option<Timestamp>,
    /// The keys, by path.
    pub keys: Vec<KeyRotation>,
    /// Where the next page begins, if there is one.
    pub next: Option<KeyPath>,
}

/// When a key rotates by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyRotation {
    /// The key.
    pub key: KeyPath,
    /// The version that wraps.
    pub primary: Option<KeyVersion>,
    /// Since when it does; the period is counted from then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub primary_since: Option<Timestamp>,
    /// The period in force; none if neither the key nor any above it has one.
    pub period: Option<RotationPeriod>,
    /// The key whose period that is.
    pub period_of: Option<KeyPath>,
    /// When the next rotation falls due, spread included; none if nothing is scheduled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub next: Option<Timestamp>,
    /// Whether it is due now.
    pub due: bool,
    /// Why it does not rotate although it has a period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    /// The last rotation by schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<ScheduledRotation>,
    /// The failure since, if the last try failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<RotationFailure>,
}

/// A rotation that the schedule made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ScheduledRotation {
    /// The version it made.
    pub version: KeyVersion,
    /// When.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
}

/// A rotation by schedule that failed and is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RotationFailure {
    /// When it failed last.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// How often it failed in a row.
    pub attempts: u32,
    /// When it is tried again.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub again_at: Timestamp,
}
