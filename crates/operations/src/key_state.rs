//! Disable, enable and retire a whole key.

use claviger_kms::{KeyMetadata, KeyRequest, Result};
use claviger_policy::action;

use crate::LocalKms;

impl LocalKms {
    pub(crate) async fn disable_key_recorded(&self, request: KeyRequest) -> Result<KeyMetadata> {
        self.emergency::<action::Disable>(&request.key, None, async |permit| {
            let request = self.caller().request;
            self.operations().hierarchy.disable_key(permit, request).await
        })
        .await
    }

    pub(crate) async fn enable_key_recorded(&self, request: KeyRequest) -> Result<KeyMetadata> {
        self.change::<action::Enable>(&request.key, None, async |permit| {
            self.operations().hierarchy.enable_key(permit).await
        })
        .await
    }

    pub(crate) async fn retire_key_recorded(&self, request: KeyRequest) -> Result<KeyMetadata> {
        self.change::<action::Disable>(&request.key, None, async |permit| {
            self.operations().hierarchy.retire_key(permit).await
        })
        .await
    }
}
