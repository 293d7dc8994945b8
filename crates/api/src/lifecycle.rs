//! The later life of keys: routes of the admin socket.

use claviger_kms::{
    Approval, Approve, KeyLifecycle as _, KeyMetadata, KeyRequest, QuarantineKey, QuarantineReport,
    ScheduleDestroy, VersionRequest,
};

use crate::{
    caller::Kms,
    json::{Json, Reply},
    problem::Result,
};

pub(crate) async fn quarantine(
    Kms(kms): Kms,
    Json(request): Json<QuarantineKey>,
) -> Result<Reply<QuarantineReport>> {
    Ok(Reply(kms.quarantine(request).await?))
}

pub(crate) async fn disable_key(
    Kms(kms): Kms,
    Json(request): Json<KeyRequest>,
) -> Result<Reply<KeyMetadata>> {
    Ok(Reply(kms.disable_key(request).await?))
}

pub(crate) async fn enable_key(
    Kms(kms): Kms,
    Json(request): Json<KeyRequest>,
) -> Result<Reply<KeyMetadata>> {
    Ok(Reply(kms.enable_key(request).await?))
}

pub(crate) async fn retire_key(
    Kms(kms): Kms,
    Json(request): Json<KeyRequest>,
) -> Result<Reply<KeyMetadata>> {
    Ok(Reply(kms.retire_key(request).await?))
}

pub(crate) async fn schedule_destroy(
    Kms(kms): Kms,
    Json(request): Json<ScheduleDestroy>,
) -> Result<Reply<KeyMetadata>> {
    Ok(Reply(kms.schedule_destroy(request).await?))
}

pub(crate) async fn cancel_destroy(
    Kms(kms): Kms,
    Json(request): Json<VersionRequest>,
) -> Result<Reply<KeyMetadata>> {
    Ok(Reply(kms.cancel_destroy(request).await?))
}

pub(crate) async fn approve(
    Kms(kms): Kms,
    Json(request): Json<Approve>,
) -> Result<Reply<Approval>> {
    Ok(Reply(kms.approve(request).await?))
}
