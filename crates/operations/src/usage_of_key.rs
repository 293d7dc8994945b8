//! Who used which version of a key.

use claviger_kms::{Action, EncryptionContext, KeyPath, KeyUsage, Result};
use claviger_policy::action;

use crate::{
    LocalKms,
    attempt::{Attempt, Attempted},
};

impl LocalKms {
    /// Who used which version of a key how often, and when last.
    ///
    /// # Errors
    /// [`KmsError::Denied`](claviger_kms::KmsError::Denied) without the right to read metadata,
    /// [`KmsError::NotFound`](claviger_kms::KmsError::NotFound),
    /// [`KmsError::Unavailable`](claviger_kms::KmsError::Unavailable).
    pub async fn key_usage(&self, key: &KeyPath) -> Result<KeyUsage> {
        let key = key.clone();
        self.to_the_end(|kms| async move { kms.try_key_usage(&key).await.recorded(&kms).await })
            .await
    }

    async fn try_key_usage(&self, key: &KeyPath) -> Attempted<KeyUsage> {
        let mut attempt = Attempt::begin(self, Action::ReadMetadata);
        let result = self.usage_of_key(&mut attempt, key).await;
        Attempted { result, attempt }
    }

    async fn usage_of_key(&self, attempt: &mut Attempt, key: &KeyPath) -> Result<KeyUsage> {
        let permit =
            attempt.permit::<action::ReadMetadata>(self, key, &EncryptionContext::new())?;
        let metadata = self.operations().hierarchy.describe(permit)?;
        let mut versions = Vec::with_capacity(metadata.versions.len());
        for version in &metadata.versions {
            let usage = &self.operations().usage;
            versions.push(usage.of_version(metadata.id, version.version).await?);
        }
        Ok(KeyUsage { key: metadata.key, key_id: metadata.id, versions })
    }
}
