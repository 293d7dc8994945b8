//! Promote a pending version.

use claviger_kms::{KeyMetadata, Result, VersionRequest};
use claviger_policy::action;

use crate::LocalKms;

impl LocalKms {
    pub(crate) async fn set_primary_recorded(
        &self,
        request: VersionRequest,
    ) -> Result<KeyMetadata> {
        self.change::<action::Rotate>(&request.key, Some(request.version), async |permit| {
            self.operations().hierarchy.set_primary(permit, request.version).await
        })
        .await
    }
}
