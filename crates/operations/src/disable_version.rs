//! Stop a version from unwrapping.

use claviger_kms::{KeyMetadata, Result, VersionRequest};
use claviger_policy::action;

use crate::LocalKms;

impl LocalKms {
    pub(crate) async fn disable_version_recorded(
        &self,
        request: VersionRequest,
    ) -> Result<KeyMetadata> {
        self.change::<action::Disable>(&request.key, Some(request.version), async |permit| {
            self.operations()
                .hierarchy
                .disable_version(permit, request.version, self.caller().request)
                .await
        })
        .await
    }
}
