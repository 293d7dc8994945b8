//! Create a pending version.

use claviger_kms::{CreateVersion, KeyMetadata, Result};
use claviger_policy::action;

use crate::LocalKms;

impl LocalKms {
    pub(crate) async fn create_version_recorded(
        &self,
        request: CreateVersion,
    ) -> Result<KeyMetadata> {
        let CreateVersion { key, idempotency_key } = request;
        self.change::<action::Rotate>(&key, None, async |permit| {
            self.operations().hierarchy.create_version(permit, idempotency_key.as_ref()).await
        })
        .await
    }
}
