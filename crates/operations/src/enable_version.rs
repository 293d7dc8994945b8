//! Let a disabled version unwrap again.

use claviger_kms::{KeyMetadata, Result, VersionRequest};
use claviger_policy::action;

use crate::LocalKms;

impl LocalKms {
    pub(crate) async fn enable_version_recorded(
        &self,
        request: VersionRequest,
    ) -> Result<KeyMetadata> {
        self.change::<action::Enable>(&request.key, Some(request.version), async |permit| {
            self.operations().hierarchy.enable_version(permit, request.version, None).await
        })
        .await
    }
}
