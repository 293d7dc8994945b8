//! Who used which version of a key, on the admin socket.

use axum::{extract::FromRequestParts, http::request::Parts};
use claviger_kms::{ErrorCode, KeyPath, KeyUsage};

use crate::{
    caller::Kms,
    door::Door,
    json::Reply,
    keys::path_of,
    problem::{Problem, Result},
    route::Route,
};

pub(crate) fn route() -> Route {
    Route::get(
        USAGE,
        "key_usage",
        "Who used which version of a key, how often, and when last",
        of_key,
    )
    .saying("Counts are never too low, also after a crash.")
    .failing(&[ErrorCode::Denied, ErrorCode::NotFound])
}

const USAGE: &str = "/v1/usage/{*path}";

async fn of_key(Kms(kms): Kms, Of(key): Of) -> Result<Reply<KeyUsage>> {
    Ok(Reply(kms.key_usage(&key).await?))
}

/// The key path at the end of the URI, byte for byte.
pub(crate) struct Of(KeyPath);

impl FromRequestParts<Door> for Of {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Door) -> Result<Self> {
        Ok(Self(path_of(&parts.uri, "/v1/usage")?))
    }
}
