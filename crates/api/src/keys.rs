//! Reading about keys: the same on both sockets.

use axum::{
    extract::{FromRequestParts, Query},
    http::{Uri, request::Parts},
};
use claviger_kms::{
    ErrorCode, KeyManagementService as _, KeyMetadata, KeyPage, KeyPath, KmsError, ListKeys,
};

use crate::{
    caller::Kms,
    door::Door,
    json::Reply,
    problem::{Problem, Result},
    route::Route,
};

pub(crate) const KEYS: &str = "/v1/keys";
const KEY: &str = "/v1/keys/{*path}";

pub(crate) fn list_route() -> Route {
    Route::get(KEYS, "list_keys", "The keys the caller may see, by path, a page at a time", list)
        .saying("What he may not see is left out as if it did not exist.")
}

pub(crate) fn describe_route() -> Route {
    Route::get(KEY, "describe_key", "A key and its versions", describe)
        .failing(&[ErrorCode::Denied, ErrorCode::NotFound])
}

async fn list(Kms(kms): Kms, Page(request): Page) -> Result<Reply<KeyPage>> {
    Ok(Reply(kms.list_keys(request).await?))
}

async fn describe(Kms(kms): Kms, At(key): At) -> Result<Reply<KeyMetadata>> {
    Ok(Reply(kms.describe_key(&key).await?))
}

/// The query of a list.
pub(crate) struct Page(ListKeys);

impl FromRequestParts<Door> for Page {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Door) -> Result<Self> {
        let query = Query::try_from_uri(&parts.uri);
        let query = query.map_err(|refused| KmsError::invalid(refused.body_text()))?;
        Ok(Self(query.0))
    }
}

/// The key path at the end of the URI, byte for byte: nothing is decoded or normalised.
pub(crate) struct At(KeyPath);

impl FromRequestParts<Door> for At {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Door) -> Result<Self> {
        Ok(Self(path_of(&parts.uri, KEYS)?))
    }
}

/// The key path behind a route's beginning.
pub(crate) fn path_of(uri: &Uri, beginning: &str) -> claviger_kms::Result<KeyPath> {
    let path = uri.path().strip_prefix(beginning).and_then(|rest| rest.strip_prefix('/'));
    path.unwrap_or_default().parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_whatever_a_decoder_could_turn_into_another_path() {
        for bad in [
            "/v1/keys/eu%2fpay",
            "/v1/keys/eu/%2e%2e/us",
            "/v1/keys/eu/../us",
            "/v1/keys/%65u",
            "/v1/keys/eu%00",
            "/v1/keys/EU",
            "/v1/keys//eu",
            "/v1/keys/eu/",
            "/v1/keys/",
            "/v1/keys/eu;a=b",
            "/v1/keys/eu+pay",
        ] {
            assert!(path_of(&bad.parse().unwrap(), KEYS).is_err(), "{bad} was taken");
        }
        let good = path_of(&"/v1/keys/eu/pay?x=y".parse().unwrap(), KEYS).unwrap();
        assert_eq!(good.as_str(), "eu/pay");
    }
}
