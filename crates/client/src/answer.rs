//! Turns a reply into the value it holds, or into the error its problem document names (RFC 9457).

use claviger_kms::{ErrorCode, KmsError, Result};
use http::StatusCode;
use serde::{Deserialize, de::DeserializeOwned};

use crate::connection::Reply;

/// The fields of a problem document that a client needs. Others may be there.
#[derive(Debug, Deserialize)]
pub(crate) struct Problem {
    #[serde(default)]
    code: String,
    #[serde(default)]
    detail: String,
}

impl Problem {
    /// The error it names; a code this release does not know is judged by its status.
    pub(crate) fn into_error(self, status: StatusCode) -> KmsError {
        let known = ErrorCode::ALL.into_iter().find(|code| code.as_str() == self.code);
        KmsError::from_code(known.unwrap_or_else(|| code_of(status)), self.detail)
    }
}

/// One answer of a batch.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Item<T> {
    Ok(T),
    Error(Problem),
}

/// The answers of a batch.
#[derive(Deserialize)]
pub(crate) struct Batch<T> {
    results: Vec<Item<T>>,
}

impl<T> Batch<T> {
    /// One result for each of the `sent` items, in their order.
    ///
    /// # Errors
    /// [`KmsError::Unavailable`] when the service answered another number of items.
    pub(crate) fn into_results(self, sent: usize) -> Result<Vec<Result<T>>> {
        if self.results.len() != sent {
            return Err(KmsError::unavailable(format!(
                "clavigerd answered {} of {sent} items of a batch",
                self.results.len()
            )));
        }
        let result = |item| match item {
            Item::Ok(value) => Ok(value),
            Item::Error(problem) => Err(problem.into_error(StatusCode::BAD_REQUEST)),
        };
        Ok(self.results.into_iter().map(result).collect())
    }
}

/// The value of a reply.
///
/// # Errors
/// What the problem document says; [`KmsError::Unavailable`] on a reply that is neither.
pub(crate) fn value_of<T: DeserializeOwned>(reply: &Reply) -> Result<T> {
    let body = reply.body.as_ref();
    if reply.status.is_success() {
        // The parser's message could quote the reply; only the place is told.
        return serde_json::from_slice(body).map_err(|error| {
            KmsError::unavailable(format!(
                "the reply is not what this release of the client understands (line {}, column {})",
                error.line(),
                error.column()
            ))
        });
    }
    let problem = serde_json::from_slice(body).unwrap_or_else(|_| Problem {
        code: String::new(),
        detail: format!("clavigerd answered with status {}", reply.status),
    });
    Err(problem.into_error(reply.status))
}

fn code_of(status: StatusCode) -> ErrorCode {
    match status {
        StatusCode::FORBIDDEN => ErrorCode::Denied,
        StatusCode::NOT_FOUND => ErrorCode::NotFound,
        StatusCode::CONFLICT => ErrorCode::Conflict,
        StatusCode::NOT_IMPLEMENTED => ErrorCode::Unsupported,
        other if other.is_server_error() => ErrorCode::Unavailable,
        _ => ErrorCode::InvalidRequest,
    }
}

#[cfg(test)]
mod tests {
    use claviger_kms::WipedBuffer;

    use super::*;

    fn reply(status: u16, text: &str) -> Reply {
        let mut body = WipedBuffer::default();
        body.extend(text.as_bytes());
        Reply { status: StatusCode::from_u16(status).unwrap(), body }
    }

    fn error(status: u16, text: &str) -> KmsError {
        value_of::<Vec<u8>>(&reply(status, text)).unwrap_err()
    }

    #[test]
    fn a_problem_document_becomes_the_error_it_names() {
        for code in ErrorCode::ALL {
            let text = format!(r#"{{"code":"{}","detail":"x","status":400}}"#, code.as_str());
            assert_eq!(error(400, &text).code(), code);
        }
    }

    #[test]
    fn an_unknown_code_or_another_body_is_judged_by_its_status() {
        let unknown = r#"{"code":"from-a-later-release","detail":"x"}"#;
        assert_eq!(error(503, unknown).code(), ErrorCode::Unavailable);
        assert_eq!(error(418, unknown).code(), ErrorCode::InvalidRequest);
        assert_eq!(error(502, "<html>").code(), ErrorCode::Unavailable);
        assert_eq!(error(403, "").code(), ErrorCode::Denied);
    }

    #[test]
    fn a_reply_that_is_not_understood_is_not_quoted() {
        let refused = error(200, r#"{"plaintext":"aHVudGVyMg=="}"#);
        assert_eq!(refused.code(), ErrorCode::Unavailable);
        assert!(!refused.to_string().contains("aHVudGVyMg"), "{refused}");
    }

    #[test]
    fn a_batch_with_too_few_or_too_many_answers_is_refused() {
        for sent in [0, 2] {
            let batch: Batch<u32> = serde_json::from_str(r#"{"results":[{"ok":1}]}"#).unwrap();
            assert!(batch.into_results(sent).is_err());
        }
        let mixed = r#"{"results":[{"ok":1},{"error":{"code":"denied","status":403}}]}"#;
        let batch: Batch<u32> = serde_json::from_str(mixed).unwrap();
        assert_eq!(batch.into_results(2).unwrap(), [Ok(1), Err(KmsError::Denied)]);
    }
}
