//! The later life of keys, over the admin address.

use async_trait::async_trait;
use claviger_kms::{
    Approval, Approve, KeyLifecycle, KeyMetadata, KeyRequest, QuarantineKey, QuarantineReport,
    Result, ScheduleDestroy, SetRotation, VersionRequest,
};

use crate::{Client, connection::Repeat, key_service::repeat_if_named};

#[async_trait]
impl KeyLifecycle for Client {
    async fn quarantine(&self, request: QuarantineKey) -> Result<QuarantineReport> {
        let repeat = repeat_if_named(request.idempotency_key.as_ref());
        self.manage("quarantine", &request, repeat).await
    }

    async fn disable_key(&self, request: KeyRequest) -> Result<KeyMetadata> {
        self.manage("disable-key", &request, Repeat::Never).await
    }

    async fn enable_key(&self, request: KeyRequest) -> Result<KeyMetadata> {
        self.manage("enable-key", &request, Repeat::Never).await
    }

    async fn retire_key(&self, request: KeyRequest) -> Result<KeyMetadata> {
        self.manage("retire-key", &request, Repeat::Never).await
    }

    async fn schedule_destroy(&self, request: ScheduleDestroy) -> Result<KeyMetadata> {
        self.manage("schedule-destroy", &request, Repeat::Never).await
    }

    async fn cancel_destroy(&self, request: VersionRequest) -> Result<KeyMetadata> {
        self.manage("cancel-destroy", &request, Repeat::Never).await
    }

    async fn set_rotation(&self, request: SetRotation) -> Result<KeyMetadata> {
        self.manage("set-rotation", &request, Repeat::Never).await
    }

    async fn approve(&self, request: Approve) -> Result<Approval> {
        self.manage("approve", &request, Repeat::Never).await
    }
}
