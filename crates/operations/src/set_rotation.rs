//! Set how often a key rotates by itself.

use claviger_kms::{KeyMetadata, Result, SetRotation};
use claviger_policy::action;

use crate::LocalKms;

impl LocalKms {
    pub(crate) async fn set_rotation_recorded(&self, request: SetRotation) -> Result<KeyMetadata> {
        let SetRotation { key, period } = request;
        self.change::<action::Rotate>(&key, None, async |permit| {
            self.operations().hierarchy.set_rotation(permit, period).await
        })
        .await
    }
}
