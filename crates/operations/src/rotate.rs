//! Create a version and promote it.

use claviger_kms::{CreateVersion, KeyMetadata, Result};
use claviger_policy::action;

use crate::LocalKms;

impl LocalKms {
    pub(crate) async fn rotate_recorded(&self, request: CreateVersion) -> Result<KeyMetadata> {
        let CreateVersion { key, idempotency_key } = request;
        self.change::<action::Rotate>(&key, None, async |permit| {
            self.operations().hierarchy.rotate(permit, idempotency_key.as_ref()).await
        })
        .await
    }
}
