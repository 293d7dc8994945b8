//! The register of campaigns, on the admin socket.

use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use claviger_kms::{
    Campaign, CampaignId, CampaignRegister as _, KeyPath, KmsError, OpenCampaign, ReportCampaign,
};
use serde::Deserialize;

use crate::{
    caller::Kms,
    door::Door,
    json::{Json, Reply},
    problem::{Problem, Result},
};

pub(crate) const CAMPAIGNS: &str = "/v1/campaigns";
pub(crate) const CAMPAIGN: &str = "/v1/campaigns/{id}";

pub(crate) async fn open(
    Kms(kms): Kms,
    Json(request): Json<OpenCampaign>,
) -> Result<Reply<Campaign>> {
    Ok(Reply(kms.open_campaign(request).await?))
}

pub(crate) async fn report(
    Kms(kms): Kms,
    Json(report): Json<ReportCampaign>,
) -> Result<Reply<Campaign>> {
    Ok(Reply(kms.report_campaign(report).await?))
}

pub(crate) async fn list(Kms(kms): Kms, Of(key): Of) -> Result<Reply<Vec<Campaign>>> {
    Ok(Reply(kms.list_campaigns(key.as_ref()).await?))
}

pub(crate) async fn describe(Kms(kms): Kms, Id(id): Id) -> Result<Reply<Campaign>> {
    Ok(Reply(kms.describe_campaign(id).await?))
}

/// The query of a list.
pub(crate) struct Of(Option<KeyPath>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    key: Option<KeyPath>,
}

impl FromRequestParts<Door> for Of {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Door) -> Result<Self> {
        let query = Query::<ListQuery>::try_from_uri(&parts.uri);
        let query = query.map_err(|refused| KmsError::invalid(refused.body_text()))?;
        Ok(Self(query.0.key))
    }
}

/// The id at the end of the URI, byte for byte.
pub(crate) struct Id(CampaignId);

impl FromRequestParts<Door> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Door) -> Result<Self> {
        let id = parts.uri.path().strip_prefix(CAMPAIGNS).and_then(|rest| rest.strip_prefix('/'));
        Ok(Self(id.unwrap_or_default().parse()?))
    }
}
