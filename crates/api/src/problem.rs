//! Problem documents (RFC 9457): the one form in which anything is refused.
//!
//! Invariants: code, status and title follow from the error in one table; the document of a denial is the
//! same bytes for a key that exists and one that does not; nothing of a request's values is quoted.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use claviger_kms::{ErrorCode, KmsError};
use serde::Serialize;
use utoipa::ToSchema;

/// `Result` of a handler.
pub(crate) type Result<T, E = Problem> = std::result::Result<T, E>;

/// A problem document (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// `urn:claviger:error:` and the code.
    r#type: String,
    /// The code for people.
    title: &'static str,
    /// The HTTP status; of an item of a batch, the one it would have had alone.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    code: ErrorCode,
    /// What is wrong with this request, for people: the input, the limit, the remedy. Never a secret.
    detail: String,
    /// Whether the same request may succeed when repeated later, without any change.
    retryable: bool,
}

impl Problem {
    pub(crate) fn no_route() -> Self {
        let detail = "this socket has no such route; keys are used on the data socket, made and \
                      changed on the admin socket";
        Self::new(StatusCode::NOT_FOUND, KmsError::invalid(detail))
    }

    pub(crate) fn wrong_method() -> Self {
        let detail = "the route does not take this method; the header Allow names those it takes";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, KmsError::invalid(detail))
    }

    pub(crate) fn wrong_content_type() -> Self {
        let detail = "the body must be JSON: send the header content-type: application/json";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, KmsError::invalid(detail))
    }

    pub(crate) fn body_too_large(most: usize) -> Self {
        let detail = format!("the body is larger than {most} bytes, the most this route takes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, KmsError::invalid(detail))
    }

    pub(crate) fn body_too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, KmsError::invalid("the body did not arrive in time"))
    }

    /// A handler panicked: a defect, whose reason stays in the service.
    pub(crate) fn defect() -> Self {
        let detail = "the service failed on this request; the log names it by its request id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, KmsError::unavailable(detail))
    }

    fn new(status: StatusCode, error: KmsError) -> Self {
        let code = error.code();
        Self {
            r#type: format!("urn:claviger:error:{}", code.as_str()),
            title: row_of(code).1,
            status: status.as_u16(),
            code,
            detail: error.to_string(),
            retryable: error.is_retryable(),
        }
    }
}

impl From<KmsError> for Problem {
    fn from(error: KmsError) -> Self {
        Self::new(row_of(error.code()).0, error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Status and title of each code.
pub(crate) fn row_of(code: ErrorCode) -> (StatusCode, &'static str) {
    match code {
        ErrorCode::Denied => (StatusCode::FORBIDDEN, "Denied"),
        ErrorCode::InvalidRequest => (StatusCode::BAD_REQUEST, "Invalid request"),
        ErrorCode::CiphertextRejected => (StatusCode::UNPROCESSABLE_ENTITY, "Ciphertext rejected"),
        ErrorCode::NotFound => (StatusCode::NOT_FOUND, "Not found"),
        ErrorCode::Conflict => (StatusCode::CONFLICT, "Conflict"),
        ErrorCode::KeyUnusable => (StatusCode::CONFLICT, "Key unusable"),
        ErrorCode::Unsupported => (StatusCode::NOT_IMPLEMENTED, "Unsupported"),
        ErrorCode::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "Unavailable"),
        // Codes of later releases of the vocabulary; a test holds that there is none yet.
        _ => (StatusCode::INTERNAL_SERVER_ERROR, UNKNOWN),
    }
}

const UNKNOWN: &str = "Failed";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_row() {
        for code in ErrorCode::ALL {
            assert_ne!(row_of(code).1, UNKNOWN, "{code:?}");
        }
    }

    #[test]
    fn a_problem_reads_as_the_protocol_says() {
        let problem = Problem::from(KmsError::Denied);
        assert_eq!(
            serde_json::to_string(&problem).unwrap(),
            r#"{"type":"urn:claviger:error:denied","title":"Denied","status":403,"code":"denied","detail":"not allowed, or there is no such key","retryable":false}"#
        );
    }

    #[test]
    fn only_what_may_pass_says_when_to_come_back() {
        for code in ErrorCode::ALL {
            let response = Problem::from(KmsError::from_code(code, String::new())).into_response();
            let says = response.headers().contains_key(header::RETRY_AFTER);
            assert_eq!(says, code == ErrorCode::Unavailable, "{code:?}");
        }
    }
}
