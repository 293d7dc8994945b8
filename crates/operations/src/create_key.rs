//! Create a key with its first version.

use claviger_kms::{CreateKey, KeyMetadata, Result};
use claviger_policy::action;

use crate::LocalKms;

impl LocalKms {
    pub(crate) async fn create_key_recorded(&self, request: CreateKey) -> Result<KeyMetadata> {
        self.change::<action::Create>(&request.key, None, async |permit| {
            self.operations().hierarchy.create_key(permit, &request).await
        })
        .await
    }
}
