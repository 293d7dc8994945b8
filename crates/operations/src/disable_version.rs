//! Stop a version from unwrapping.

use claviger_kms::{KeyMetadata, Result, VersionRequest};
use claviger_policy::action;

use crate::LocalKms;

impl LocalKms {
    pub(crate) async fn disable_version_recorded(
        &self,
        request: VersionRequest,
    ) -> Result<KeyMetadata> {
        let VersionRequest { key, version } = request;
        self.emergency::<action::Disable>(&key, Some(version), async |permit| {
            let request = self.caller().request;
            self.operations().hierarchy.disable_version(permit, version, request).await
        })
        .await
    }
}
