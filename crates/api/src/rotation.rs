//! Rotation by schedule, on the admin socket.

use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use claviger_kms::{
    ErrorCode, KeyLifecycle as _, KeyMetadata, KmsError, ListRotations, RotationPage, SetRotation,
};

use crate::{
    caller::Kms,
    door::Door,
    json::{Json, Reply},
    problem::{Problem, Result},
    route::Route,
};

pub(crate) fn routes() -> [Route; 2] {
    [
        Route::post(
            "/v1/set-rotation",
            "set_rotation",
            "Sets how often a key rotates by itself",
            set,
        )
        .saying("Without a period the key takes that of the nearest key above that has one.")
        .failing(SETTING),
        Route::get(
            "/v1/rotations",
            "list_rotations",
            "When the keys the caller may see rotate by themselves, a page at a time",
            list,
        )
        .saying("With `within_days`, only what would be rotated by then."),
    ]
}

/// How setting a period can fail.
const SETTING: &[ErrorCode] = &[ErrorCode::Denied, ErrorCode::NotFound];

async fn set(Kms(kms): Kms, Json(request): Json<SetRotation>) -> Result<Reply<KeyMetadata>> {
    Ok(Reply(kms.set_rotation(request).await?))
}

async fn list(Kms(kms): Kms, Asked(request): Asked) -> Result<Reply<RotationPage>> {
    Ok(Reply(kms.list_rotations(request).await?))
}

/// The query of a list.
pub(crate) struct Asked(ListRotations);

impl FromRequestParts<Door> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Door) -> Result<Self> {
        let query = Query::try_from_uri(&parts.uri);
        let query = query.map_err(|refused| KmsError::invalid(refused.body_text()))?;
        Ok(Self(query.0))
    }
}
