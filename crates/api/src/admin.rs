//! The admin socket: making and changing keys, campaigns, usage, and the state of the service.

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};
use claviger_kms::{
    CreateKey, CreateVersion, KeyManagementService as _, KeyMetadata, VersionRequest,
};
use claviger_operations::Operations;

use crate::{
    Limits,
    caller::Kms,
    campaigns,
    door::Door,
    health,
    json::{Json, Reply},
    keys,
    problem::Result,
    usage,
};

/// The routes of the admin socket.
pub fn admin_router(operations: Arc<Operations>, limits: Limits) -> Router {
    Door { operations, limits }.router([
        (keys::KEYS, get(keys::list).post(create_key)),
        (keys::KEY, get(keys::describe)),
        ("/v1/create-version", post(create_version)),
        ("/v1/set-primary", post(set_primary)),
        ("/v1/rotate", post(rotate)),
        ("/v1/enable-version", post(enable_version)),
        ("/v1/disable-version", post(disable_version)),
        (campaigns::CAMPAIGNS, get(campaigns::list)),
        (campaigns::CAMPAIGN, get(campaigns::describe)),
        ("/v1/open-campaign", post(campaigns::open)),
        ("/v1/report-campaign", post(campaigns::report)),
        (usage::USAGE, get(usage::of_key)),
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
