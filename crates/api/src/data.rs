//! The data socket: using keys.

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};
use claviger_kms::{
    Capabilities, DataKey, Decrypt, Decrypted, Encrypt, Encrypted, GenerateDataKey,
    KeyManagementService as _, Rewrap, Rewrapped,
};
use claviger_operations::Operations;

use crate::{
    Limits,
    caller::Kms,
    door::Door,
    health,
    json::{Items, Json, Reply, Results},
    keys,
    problem::Result,
};

/// The routes of the data socket.
pub fn data_router(operations: Arc<Operations>, limits: Limits) -> Router {
    Door { operations, limits, reload: None }.router([
        ("/v1/encrypt", post(encrypt)),
        ("/v1/decrypt", post(decrypt)),
        ("/v1/data-key", post(data_key)),
        ("/v1/data-key-wrapped", post(data_key_wrapped)),
        ("/v1/rewrap", post(rewrap)),
        ("/v1/batch/encrypt", post(encrypt_batch)),
        ("/v1/batch/decrypt", post(decrypt_batch)),
        ("/v1/batch/data-key", post(data_key_batch)),
        ("/v1/batch/rewrap", post(rewrap_batch)),
        (keys::KEYS, get(keys::list)),
        (keys::KEY, get(keys::describe)),
        ("/v1/capabilities", get(capabilities)),
        ("/livez", get(health::livez)),
        ("/readyz", get(health::readyz)),
    ])
}

async fn encrypt(Kms(kms): Kms, Json(request): Json<Encrypt>) -> Result<Reply<Encrypted>> {
    Ok(Reply(kms.encrypt(request).await?))
}

async fn decrypt(Kms(kms): Kms, Json(request): Json<Decrypt>) -> Result<Reply<Decrypted>> {
    Ok(Reply(kms.decrypt(request).await?))
}

async fn data_key(Kms(kms): Kms, Json(request): Json<GenerateDataKey>) -> Result<Reply<DataKey>> {
    Ok(Reply(kms.generate_data_key(request).await?))
}

async fn data_key_wrapped(
    Kms(kms): Kms,
    Json(request): Json<GenerateDataKey>,
) -> Result<Reply<Encrypted>> {
    Ok(Reply(kms.generate_wrapped_data_key(request).await?))
}

async fn rewrap(Kms(kms): Kms, Json(request): Json<Rewrap>) -> Result<Reply<Rewrapped>> {
    Ok(Reply(kms.rewrap(request).await?))
}

async fn encrypt_batch(
    Kms(kms): Kms,
    Items(items): Items<Encrypt>,
) -> Result<Reply<Results<Encrypted>>> {
    Ok(Reply(kms.encrypt_batch(items).await?.into()))
}

async fn decrypt_batch(
    Kms(kms): Kms,
    Items(items): Items<Decrypt>,
) -> Result<Reply<Results<Decrypted>>> {
    Ok(Reply(kms.decrypt_batch(items).await?.into()))
}

async fn data_key_batch(
    Kms(kms): Kms,
    Items(items): Items<GenerateDataKey>,
) -> Result<Reply<Results<DataKey>>> {
    Ok(Reply(kms.generate_data_key_batch(items).await?.into()))
}

async fn rewrap_batch(
    Kms(kms): Kms,
    Items(items): Items<Rewrap>,
) -> Result<Reply<Results<Rewrapped>>> {
    Ok(Reply(kms.rewrap_batch(items).await?.into()))
}

/// Keys are not made through this socket.
async fn capabilities(Kms(kms): Kms) -> Reply<Capabilities> {
    Reply(Capabilities { manages_keys: false, ..kms.capabilities() })
}
