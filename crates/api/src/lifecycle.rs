//! The later life of keys: routes of the admin socket.

use claviger_kms::{
    Approval, Approve, ErrorCode, KeyLifecycle as _, KeyMetadata, KeyRequest, QuarantineKey,
    QuarantineReport, ScheduleDestroy, VersionRequest,
};

use crate::{
    admin::CHANGING,
    caller::Kms,
    json::{Json, Reply},
    problem::Result,
    route::Route,
};

pub(crate) fn routes() -> [Route; 7] {
    [
        Route::post(
            "/v1/quarantine",
            "quarantine",
            "Stops the versions of a key at once, then makes a new primary one",
            quarantine,
        )
        .saying("It takes effect without the token and without the audit log.")
        .failing(STOPPING),
        Route::post("/v1/disable-key", "disable_key", "Refuses every use of a key", disable_key)
            .failing(CHANGING),
        Route::post(
            "/v1/enable-key",
            "enable_key",
            "Takes a disabled or retired key into use again",
            enable_key,
        )
        .failing(CHANGING),
        Route::post("/v1/retire-key", "retire_key", "Lets a key make nothing new", retire_key)
            .saying("What stands under it still opens; its versions can be disabled and destroyed.")
            .failing(CHANGING),
        Route::post(
            "/v1/schedule-destroy",
            "schedule_destroy",
            "Schedules the destruction of a disabled version",
            schedule_destroy,
        )
        .saying("Repeating it changes nothing.")
        .failing(CHANGING),
        Route::post(
            "/v1/cancel-destroy",
            "cancel_destroy",
            "Cancels a scheduled destruction",
            cancel_destroy,
        )
        .saying("The version is disabled again.")
        .failing(CHANGING),
        Route::post("/v1/approve", "approve", "Approves another person's request", approve)
            .saying("The request is carried out when it is repeated by who made it.")
            .failing(APPROVING),
    ]
}

/// How a quarantine can fail.
const STOPPING: &[ErrorCode] = &[
    ErrorCode::Denied,
    ErrorCode::NotFound,
    ErrorCode::Conflict,
    ErrorCode::KeyUnusable,
    ErrorCode::Unsupported,
];

/// How an approval can.
const APPROVING: &[ErrorCode] = &[ErrorCode::Denied, ErrorCode::NotFound, ErrorCode::Conflict];

async fn quarantine(
    Kms(kms): Kms,
    Json(request): Json<QuarantineKey>,
) -> Result<Reply<QuarantineReport>> {
    Ok(Reply(kms.quarantine(request).await?))
}

async fn disable_key(Kms(kms): Kms, Json(request): Json<KeyRequest>) -> Result<Reply<KeyMetadata>> {
    Ok(Reply(kms.disable_key(request).await?))
}

async fn enable_key(Kms(kms): Kms, Json(request): Json<KeyRequest>) -> Result<Reply<KeyMetadata>> {
    Ok(Reply(kms.enable_key(request).await?))
}

async fn retire_key(Kms(kms): Kms, Json(request): Json<KeyRequest>) -> Result<Reply<KeyMetadata>> {
    Ok(Reply(kms.retire_key(request).await?))
}

async fn schedule_destroy(
    Kms(kms): Kms,
    Json(request): Json<ScheduleDestroy>,
) -> Result<Reply<KeyMetadata>> {
    Ok(Reply(kms.schedule_destroy(request).await?))
}

async fn cancel_destroy(
    Kms(kms): Kms,
    Json(request): Json<VersionRequest>,
) -> Result<Reply<KeyMetadata>> {
    Ok(Reply(kms.cancel_destroy(request).await?))
}

async fn approve(Kms(kms): Kms, Json(request): Json<Approve>) -> Result<Reply<Approval>> {
    Ok(Reply(kms.approve(request).await?))
}
