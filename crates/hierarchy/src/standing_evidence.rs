//! The value that stands for evidence that nothing needs a version.

use claviger_keystore::KeyRecord;
use claviger_kms::{EvidenceId, KeyId, KeyVersion, KmsError, Result, Timestamp};

/// Evidence about one version of one key, good for as long as the version stays disabled as it was. Whoever makes
/// one has found it standing.
#[must_use = "it stands for one step"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingEvidence {
    /// Its identity, for the record.
    pub id: EvidenceId,
    /// The key.
    pub key_id: KeyId,
    /// The version.
    pub version: KeyVersion,
    /// Since when the version was disabled.
    pub disabled_since: Timestamp,
}

impl StandingEvidence {
    /// Whether it is about this version as it is now, judged in the commit that rests on it.
    pub(crate) fn check(&self, record: &KeyRecord, version: KeyVersion) -> Result<()> {
        let since = record.version(version).map(|found| found.state_changed_at);
        if (self.key_id, self.version, Some(self.disabled_since)) == (record.id, version, since) {
            return Ok(());
        }
        Err(KmsError::key_unusable(format!(
            "the evidence is not about version {version} of the key {} as it is now; submit it anew",
            record.path
        )))
    }
}
