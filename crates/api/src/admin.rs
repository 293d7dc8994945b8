//! The admin socket: making and changing keys, and the state of the service.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    routing::{get, post},
};
use claviger_kms::{
    CreateKey, CreateVersion, KeyManagementService as _, KeyMetadata, KmsError, VersionRequest,
};
use claviger_operations::{Operations, Reload, Reloaded};
use serde::Deserialize;

use crate::{
    Limits,
    caller::Kms,
    door::Door,
    health,
    json::{Json, Reply},
    keys,
    problem::Result,
};

/// The routes of the admin socket. Without `reload`, that route answers `unsupported`.
pub fn admin_router(
    operations: Arc<Operations>,
    limits: Limits,
    reload: Option<Arc<dyn Reload>>,
) -> Router {
    Door { operations, limits, reload }.router([
        (keys::KEYS, get(keys::list).post(create_key)),
        (keys::KEY, get(keys::describe)),
        ("/v1/create-version", post(create_version)),
        ("/v1/set-primary", post(set_primary)),
        ("/v1/rotate", post(rotate)),
        ("/v1/enable-version", post(enable_version)),
        ("/v1/disable-version", post(disable_version)),
        ("/v1/reload", post(reload_all)),
        ("/v1/status", get(health::status)),
        ("/livez", get(health::livez)),
        ("/readyz", get(health::readyz)),
        ("/metrics", get(health::metrics)),
    ])
}

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
#[derive(Debug, Deserialize)]
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
