//! The register of campaigns, on the admin socket.

use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use claviger_kms::{
    Campaign, CampaignId, CampaignPage, CampaignRegister as _, ErrorCode, KeyPath, KmsError,
    OpenCampaign, ReportCampaign,
};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    caller::Kms,
    door::Door,
    json::{Json, Reply},
    problem::{Problem, Result},
    route::Route,
};

const CAMPAIGNS: &str = "/v1/campaigns";
const CAMPAIGN: &str = "/v1/campaigns/{id}";

pub(crate) fn routes() -> [Route; 4] {
    [
        Route::post("/v1/open-campaign", "open_campaign", "Opens a campaign, or resumes it", open)
            .saying("One of this name that is open on this key in this mode is given as it is.")
            .failing(&[
                ErrorCode::Denied,
                ErrorCode::NotFound,
                ErrorCode::Conflict,
                ErrorCode::KeyUnusable,
            ]),
        Route::post("/v1/report-campaign", "report_campaign", "Writes progress or ends it", report)
            .saying("Repeating the last report word for word is answered as it was the first time.")
            .failing(&[ErrorCode::Denied, ErrorCode::NotFound, ErrorCode::Conflict]),
        Route::get(
            CAMPAIGNS,
            "list_campaigns",
            "The newest 100 campaigns of keys the caller may see, newest first",
            list,
        )
        .failing(&[ErrorCode::Denied, ErrorCode::NotFound]),
        Route::get(CAMPAIGN, "describe_campaign", "One campaign", describe)
            .failing(&[ErrorCode::Denied, ErrorCode::NotFound]),
    ]
}

async fn open(Kms(kms): Kms, Json(request): Json<OpenCampaign>) -> Result<Reply<Campaign>> {
    Ok(Reply(kms.open_campaign(request).await?))
}

async fn report(Kms(kms): Kms, Json(report): Json<ReportCampaign>) -> Result<Reply<Campaign>> {
    Ok(Reply(kms.report_campaign(report).await?))
}

async fn list(Kms(kms): Kms, Of(key): Of) -> Result<Reply<CampaignPage>> {
    Ok(Reply(CampaignPage { campaigns: kms.list_campaigns(key.as_ref()).await? }))
}

async fn describe(Kms(kms): Kms, Id(id): Id) -> Result<Reply<Campaign>> {
    Ok(Reply(kms.describe_campaign(id).await?))
}

/// The query of a list.
pub(crate) struct Of(Option<KeyPath>);

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// Only campaigns of this key.
    #[schema(value_type = KeyPath, required = false)]
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
