//! For probes and operators: alive, ready, status, metrics. They need no permission beyond the socket's.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use claviger_operations::Status;
use serde::Serialize;

use crate::{door::Door, json::Reply};

/// The process runs.
#[derive(Debug, Serialize)]
pub(crate) struct Alive {
    status: &'static str,
}

pub(crate) async fn livez() -> Reply<Alive> {
    Reply(Alive { status: "alive" })
}

/// 200 when every part is ready, else 503; the body names the parts either way.
pub(crate) async fn readyz(State(door): State<Door>) -> Response {
    let readiness = door.operations.readiness().await;
    let ready = readiness.is_ready();
    Reply(readiness).with_status(if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    })
}

pub(crate) async fn status(State(door): State<Door>) -> Reply<Status> {
    Reply(door.operations.status())
}

pub(crate) async fn metrics(State(door): State<Door>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], door.operations.metrics_text())
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
