//! The data socket: using keys.

use std::sync::Arc;

use axum::Router;
use claviger_kms::{
    Capabilities, DataKey, Decrypt, Decrypted, Encrypt, Encrypted, ErrorCode, GenerateDataKey,
    KeyManagementService as _, Rewrap, Rewrapped,
};
use claviger_operations::Operations;

use crate::{
    Limits,
    caller::Kms,
    door::Door,
    health,
    json::{Items, Json, Reply, Results},
    keys, openapi,
    problem::Result,
    route::Route,
};

/// The data socket.
pub fn data_router(operations: Arc<Operations>, limits: Limits) -> Router {
    Door::new(operations, limits).router(routes())
}

/// Its routes.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::post("/v1/encrypt", "encrypt", "Encrypts a small value", encrypt)
            .saying("Anything larger is sealed by the caller under a data key.")
            .failing(USING),
        Route::post("/v1/decrypt", "decrypt", "Decrypts a value or a data key", decrypt)
            .failing(OPENING),
        Route::post("/v1/data-key", "data_key", "Makes a data key, plain and wrapped", data_key)
            .failing(USING),
        Route::post(
            "/v1/data-key-wrapped",
            "data_key_wrapped",
            "Makes a data key and gives it wrapped only",
            data_key_wrapped,
        )
        .saying("For whoever stores it for others to use.")
        .failing(USING),
        Route::post("/v1/rewrap", "rewrap", "Moves a ciphertext to the primary version", rewrap)
            .saying("What it holds stays in the service.")
            .failing(OPENING),
        Route::post("/v1/batch/encrypt", "encrypt_batch", "Encrypts many values", encrypt_batch)
            .failing(USING),
        Route::post("/v1/batch/decrypt", "decrypt_batch", "Decrypts many", decrypt_batch)
            .failing(OPENING),
        Route::post("/v1/batch/data-key", "data_key_batch", "Makes many data keys", data_key_batch)
            .failing(USING),
        Route::post("/v1/batch/rewrap", "rewrap_batch", "Moves many ciphertexts", rewrap_batch)
            .failing(OPENING),
        keys::list_route(),
        keys::describe_route(),
        Route::get("/v1/capabilities", "capabilities", "What this service can do", capabilities)
            .saying("Also its limits."),
        openapi::route(),
        health::livez_route(),
        health::readyz_route(),
    ]
}

/// How wrapping under a key can fail.
const USING: &[ErrorCode] = &[ErrorCode::Denied, ErrorCode::NotFound, ErrorCode::KeyUnusable];

/// How unwrapping can fail.
const OPENING: &[ErrorCode] =
    &[ErrorCode::Denied, ErrorCode::CiphertextRejected, ErrorCode::KeyUnusable];

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
