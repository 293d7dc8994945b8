//! The admin socket: making and changing keys, campaigns, usage, and the state of the service.

use std::sync::Arc;

use axum::{Router, extract::State};
use claviger_kms::{
    CreateKey, CreateVersion, ErrorCode, KeyManagementService as _, KeyMetadata, KmsError,
    VersionRequest,
};
use claviger_operations::{Operations, Reload, Reloaded};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    Limits,
    caller::Kms,
    campaigns,
    door::Door,
    evidence, health,
    json::{Json, Reply},
    keys, lifecycle, openapi,
    problem::Result,
    rotation,
    route::Route,
    usage,
};

/// The admin socket. Without `reload`, that route answers `unsupported`.
pub fn admin_router(
    operations: Arc<Operations>,
    limits: Limits,
    reload: Option<Arc<dyn Reload>>,
) -> Router {
    Door { reload, ..Door::new(operations, limits) }.router(routes())
}

/// Its routes.
pub(crate) fn routes() -> Vec<Route> {
    let mut routes = vec![
        keys::list_route(),
        Route::post(keys::KEYS, "create_key", "Makes a key with its first version", create_key)
            .saying("Repeating it with the same idempotency key gives the key made the first time.")
            .failing(CREATING),
        keys::describe_route(),
        Route::post(
            "/v1/create-version",
            "create_version",
            "Makes a further version, pending",
            create_version,
        )
        .saying("It wraps nothing until it is set primary.")
        .failing(CHANGING),
        Route::post("/v1/set-primary", "set_primary", "Promotes a pending version", set_primary)
            .saying("The former primary version becomes enabled.")
            .failing(CHANGING),
        Route::post("/v1/rotate", "rotate", "Makes a further version and promotes it", rotate)
            .failing(CHANGING),
        Route::post(
            "/v1/enable-version",
            "enable_version",
            "Lets a disabled version unwrap again",
            enable_version,
        )
        .failing(CHANGING),
        Route::post(
            "/v1/disable-version",
            "disable_version",
            "Stops a version from unwrapping",
            disable_version,
        )
        .failing(CHANGING),
        Route::post(
            "/v1/reload",
            "reload",
            "Reads policy, certificates, PIN and log level again",
            reload_all,
        )
        .saying("All are taken or none.")
        .failing(RELOADING),
        Route::get("/v1/status", "status", "State of the service", health::status),
        openapi::route(),
        health::livez_route(),
        health::readyz_route(),
        Route::get("/metrics", "metrics", "Counters and gauges in OpenMetrics", health::metrics),
    ];
    routes.extend(lifecycle::routes());
    routes.extend(campaigns::routes());
    routes.push(usage::route());
    routes.extend(rotation::routes());
    routes.push(evidence::route());
    routes
}

/// How making a key can fail.
const CREATING: &[ErrorCode] = &[
    ErrorCode::Denied,
    ErrorCode::NotFound,
    ErrorCode::Conflict,
    ErrorCode::KeyUnusable,
    ErrorCode::Unsupported,
];

/// How a reload can.
const RELOADING: &[ErrorCode] = &[ErrorCode::Denied, ErrorCode::Unsupported];

/// How changing one can.
pub(crate) const CHANGING: &[ErrorCode] =
    &[ErrorCode::Denied, ErrorCode::NotFound, ErrorCode::Conflict, ErrorCode::KeyUnusable];

async fn create_key(Kms(kms): Kms, Json(request): Json<CreateKey>) -> Result<Reply<KeyMetadata>> {
    Ok(Reply(kms.create_key(request).await?))
}

async fn create_version(
    Kms(kms): Kms,
    Json(request): Json<CreateVersion>,
) -> Result<Reply<KeyMetadata>> {
    Ok(Reply(kms.create_version(request).await?))
}

async fn set_primary(
    Kms(kms): Kms,
    Json(request): Json<VersionRequest>,
) -> Result<Reply<KeyMetadata>> {
    Ok(Reply(kms.set_primary(request).await?))
}

async fn rotate(Kms(kms): Kms, Json(request): Json<CreateVersion>) -> Result<Reply<KeyMetadata>> {
    Ok(Reply(kms.rotate(request).await?))
}

async fn enable_version(
    Kms(kms): Kms,
    Json(request): Json<VersionRequest>,
) -> Result<Reply<KeyMetadata>> {
    Ok(Reply(kms.enable_version(request).await?))
}

async fn disable_version(
    Kms(kms): Kms,
    Json(request): Json<VersionRequest>,
) -> Result<Reply<KeyMetadata>> {
    Ok(Reply(kms.disable_version(request).await?))
}

/// A reload has nothing to choose.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReloadRequest {}

async fn reload_all(
    State(door): State<Door>,
    Kms(kms): Kms,
    Json(ReloadRequest {}): Json<ReloadRequest>,
) -> Result<Reply<Reloaded>> {
    let reload =
        door.reload.ok_or_else(|| KmsError::unsupported("this service does not reload"))?;
    Ok(Reply(kms.reload(reload).await?))
}
