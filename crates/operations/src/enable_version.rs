//! Let a disabled or quarantined version unwrap again.

use claviger_kms::{KeyMetadata, Result, VersionRequest};
use claviger_policy::action;

use crate::LocalKms;

impl LocalKms {
    pub(crate) async fn enable_version_recorded(
        &self,
        request: VersionRequest,
    ) -> Result<KeyMetadata> {
        let VersionRequest { key, version } = request;
        self.change::<action::Enable>(&key, Some(version), async |permit| {
            let hierarchy = &self.operations().hierarchy;
            let second = if hierarchy.was_quarantined(&key, version) {
                let words = format!("enable version {version} of {key}, which was quarantined");
                Some(self.second_person(&permit, Some(version), words).await?)
            } else {
                None
            };
            hierarchy.enable_version(permit, version, second).await
        })
        .await
    }
}
