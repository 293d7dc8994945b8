//! Where the log stands and how much room it keeps.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::AuditError;

/// The configuration of the log, the section `[audit]` of the service's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub struct AuditConfig {
    /// The log's own directory. It is made, for its owner only, if the directory above exists.
    pub directory: PathBuf,
    /// Size of one segment file in bytes; 4 MiB to 1 GiB, default 64 MiB.
    #[serde(default = "default_segment_bytes")]
    pub segment_bytes: u64,
    /// Room in bytes that only emergency entries may use; at least 16 KiB and at most half a
    /// segment, default 16 MiB.
    #[serde(default = "default_reserve_bytes")]
    pub reserve_bytes: u64,
    /// Longest wait for an entry to become durable, such as `"2s"`; 10 ms to 1 minute, default 2 s.
    #[serde(
        default = "default_deadline",
        with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required"
    )]
    pub deadline: Duration,
}

impl AuditConfig {
    /// The default configuration for a log in this directory.
    #[must_use]
    pub fn in_directory(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            segment_bytes: default_segment_bytes(),
            reserve_bytes: default_reserve_bytes(),
            deadline: default_deadline(),
        }
    }

    /// Checks the limits.
    ///
    /// # Errors
    /// [`AuditError::Configuration`] naming the value, its limits and the remedy.
    pub fn check(&self) -> Result<(), AuditError> {
        let refuse = |reason: String| Err(AuditError::Configuration { reason });
        if !(SMALLEST_SEGMENT..=LARGEST_SEGMENT).contains(&self.segment_bytes) {
            return refuse(format!(
                "segment-bytes is {}; {SMALLEST_SEGMENT} to {LARGEST_SEGMENT} are allowed",
                self.segment_bytes
            ));
        }
        let most = self.segment_bytes / 2;
        if !(SMALLEST_RESERVE..=most).contains(&self.reserve_bytes) {
            return refuse(format!(
                "reserve-bytes is {}; {SMALLEST_RESERVE} to {most}, half a segment, are allowed",
                self.reserve_bytes
            ));
        }
        if !(SHORTEST_DEADLINE..=LONGEST_DEADLINE).contains(&self.deadline) {
            return refuse(format!(
                "deadline is {:?}; {SHORTEST_DEADLINE:?} to {LONGEST_DEADLINE:?} are allowed",
                self.deadline
            ));
        }
        Ok(())
    }
}

fn default_segment_bytes() -> u64 {
    64 << 20
}

fn default_reserve_bytes() -> u64 {
    16 << 20
}

fn default_deadline() -> Duration {
    Duration::from_secs(2)
}

/// Whole batches must fit into the room of a segment.
const SMALLEST_SEGMENT: u64 = 4 << 20;
const LARGEST_SEGMENT: u64 = 1 << 30;
const SMALLEST_RESERVE: u64 = 16 << 10;
const SHORTEST_DEADLINE: Duration = Duration::from_millis(10);
const LONGEST_DEADLINE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_directory_must_be_named() {
        let config: AuditConfig =
            toml::from_str("directory = \"/var/log/claviger/audit\"").unwrap();
        assert_eq!(config, AuditConfig::in_directory("/var/log/claviger/audit"));
        assert!(config.check().is_ok());
    }

    #[test]
    fn a_deadline_is_written_with_its_unit() {
        let text = "directory = \"a\"\ndeadline = \"500ms\"";
        let config: AuditConfig = toml::from_str(text).unwrap();
        assert_eq!(config.deadline, Duration::from_millis(500));
        assert!(toml::from_str::<AuditConfig>("directory = \"a\"\ndeadline = 2").is_err());
    }

    #[test]
    fn refuses_unknown_fields_and_values_outside_the_limits() {
        assert!(toml::from_str::<AuditConfig>("directory = \"a\"\nsegment-byte = 1").is_err());
        let refused = |change: fn(&mut AuditConfig)| {
            let mut config = AuditConfig::in_directory("a");
            change(&mut config);
            config.check().is_err()
        };
        assert!(refused(|c| c.segment_bytes = 1));
        assert!(refused(|c| c.segment_bytes = 2 << 30));
        assert!(refused(|c| c.reserve_bytes = 0));
        assert!(refused(|c| c.reserve_bytes = c.segment_bytes));
        assert!(refused(|c| c.deadline = Duration::ZERO));
        assert!(refused(|c| c.deadline = Duration::from_secs(3600)));
    }
}
