//! The later life of keys, as one caller sees it; each operation in a file of its own.

use async_trait::async_trait;
use claviger_kms::{
    Approval, Approve, KeyLifecycle, KeyMetadata, KeyRequest, QuarantineKey, QuarantineReport,
    Result, ScheduleDestroy, SetRotation, VersionRequest,
};

use crate::LocalKms;

#[async_trait]
impl KeyLifecycle for LocalKms {
    async fn quarantine(&self, request: QuarantineKey) -> Result<QuarantineReport> {
        self.to_the_end_at_once(|kms| async move { kms.quarantine_recorded(request).await }).await
    }

    async fn disable_key(&self, request: KeyRequest) -> Result<KeyMetadata> {
        self.to_the_end_at_once(|kms| async move { kms.disable_key_recorded(request).await }).await
    }

    async fn enable_key(&self, request: KeyRequest) -> Result<KeyMetadata> {
        self.to_the_end(|kms| async move { kms.enable_key_recorded(request).await }).await
    }

    async fn retire_key(&self, request: KeyRequest) -> Result<KeyMetadata> {
        self.to_the_end(|kms| async move { kms.retire_key_recorded(request).await }).await
    }

    async fn schedule_destroy(&self, request: ScheduleDestroy) -> Result<KeyMetadata> {
        self.to_the_end(|kms| async move { kms.schedule_destroy_recorded(request).await }).await
    }

    async fn cancel_destroy(&self, request: VersionRequest) -> Result<KeyMetadata> {
        self.to_the_end(|kms| async move { kms.cancel_destroy_recorded(request).await }).await
    }

    async fn set_rotation(&self, request: SetRotation) -> Result<KeyMetadata> {
        self.to_the_end(|kms| async move { kms.set_rotation_recorded(request).await }).await
    }

    async fn approve(&self, request: Approve) -> Result<Approval> {
        self.to_the_end(|kms| async move { kms.approve_recorded(request.id).await }).await
    }
}
