//! For probes and operators: alive, ready, status, metrics. They need no permission beyond the socket's.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use claviger_operations::{Readiness, Status};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{door::Door, json::Reply, route::Route};

pub(crate) fn livez_route() -> Route {
    Route::get("/livez", "livez", "The process runs", livez)
}

pub(crate) fn readyz_route() -> Route {
    Route::get("/readyz", "readyz", "Whether token, store and audit log answer", readyz)
        .saying("Asked at most once a second.")
}

/// The process runs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Alive {
    status: &'static str,
}

async fn livez() -> Reply<Alive> {
    Reply(Alive { status: "alive" })
}

/// 200 when every part is ready, else 503; the body names the parts either way.
async fn readyz(State(door): State<Door>) -> Probed<Readiness> {
    let readiness = door.operations.readiness().await;
    Probed { good: readiness.is_ready(), found: readiness }
}

/// The answer to a probe: its status says whether what was found is good.
pub(crate) struct Probed<T> {
    good: bool,
    found: T,
}

impl<T: Serialize> IntoResponse for Probed<T> {
    fn into_response(self) -> Response {
        let status = if self.good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        Reply(self.found).with_status(status)
    }
}

pub(crate) async fn status(State(door): State<Door>) -> Reply<Status> {
    Reply(door.operations.status())
}

pub(crate) async fn metrics(State(door): State<Door>) -> OpenMetrics {
    OpenMetrics(door.operations.metrics_text())
}

/// Metrics as text.
pub(crate) struct OpenMetrics(String);

impl OpenMetrics {
    pub(crate) const CONTENT_TYPE: &str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8";
}

impl IntoResponse for OpenMetrics {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, Self::CONTENT_TYPE)], self.0).into_response()
    }
}
