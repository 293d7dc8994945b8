//! What happens around every handler: a name for the request, a time limit, a log line.
//!
//! Invariants: a panic ends one request and its message is not shown; the log has ids, route, status and
//! duration, never a body or a query. That an operation which began is finished, whatever becomes of the
//! connection, is the operations' own care.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, Method},
    middleware::Next,
    response::{IntoResponse, Response},
};
use claviger_kms::{KmsError, Principal, RequestId};
use claviger_operations::ForeignId;
use futures::FutureExt as _;

use crate::{caller::PeerIdentity, door::Door, problem::Problem};

/// The names of one request.
#[derive(Debug, Clone)]
pub(crate) struct RequestName {
    pub(crate) id: RequestId,
    /// The caller's own, where it is plain enough to be kept.
    pub(crate) foreign: Option<ForeignId>,
}

pub(crate) async fn carry_out(
    State(door): State<Door>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = match RequestId::make_random() {
        Ok(id) => id,
        Err(error) => return Problem::from(error).into_response(),
    };
    let foreign = request.headers().get("x-request-id").and_then(|value| value.to_str().ok());
    let foreign = foreign.and_then(|text| text.parse().ok());
    request.extensions_mut().insert(RequestName { id, foreign });
    let line = LogLine::of(&request, id);
    let limit = door.limits.request_timeout;
    let work = AssertUnwindSafe(next.run(request)).catch_unwind();
    let mut response = match tokio::time::timeout(limit, work).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            tracing::error!(request = %id, "a handler panicked");
            Problem::defect().into_response()
        }
        Err(_) => too_slow(id, limit).into_response(),
    };
    line.write(&response);
    if let Ok(id) = HeaderValue::try_from(id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

fn too_slow(id: RequestId, limit: Duration) -> Problem {
    tracing::warn!(request = %id, ?limit, "no reply in time; an operation that began goes on");
    let text = format!("the service took longer than {limit:?}; whether it acted is not known");
    KmsError::unavailable(text).into()
}

/// One line of the log.
struct LogLine {
    id: RequestId,
    method: Method,
    route: Option<MatchedPath>,
    principal: Option<Principal>,
    begun: Instant,
}

impl LogLine {
    fn of(request: &Request, id: RequestId) -> Self {
        Self {
            id,
            method: request.method().clone(),
            route: request.extensions().get::<MatchedPath>().cloned(),
            principal: request.extensions().get().map(PeerIdentity::principal).cloned(),
            begun: Instant::now(),
        }
    }

    fn write(&self, response: &Response) {
        let route = self.route.as_ref().map_or("none", MatchedPath::as_str);
        tracing::info!(
            request = %self.id,
            principal = self.principal.as_ref().map(|principal| principal.as_str()),
            method = %self.method,
            route,
            status = response.status().as_u16(),
            latency_us = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX),
            "request"
        );
    }
}

const REQUEST_ID: HeaderName = HeaderName::from_static("claviger-request-id");

#[cfg(test)]
mod tests;
