//! JSON in and out.
//!
//! Invariants: a body is taken only as `application/json`; what is wrong is told with field, line and
//! column and without quoting a value, which could be a secret; replies are encoded in wiped memory.

use axum::{
    body::Body,
    extract::{FromRequest, Request},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use claviger_kms::{KmsError, WipedBuffer};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    body,
    door::Door,
    problem::{Problem, Result},
};

/// A request's body.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Door> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, door: &Door) -> Result<Self> {
        read_json(request, door, door.limits.max_body).await.map(Self)
    }
}

/// The items of a batch's body, `{"items": […]}`.
pub(crate) struct Items<T>(pub(crate) Vec<T>);

/// A batch: many requests, each answered by itself.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchBody<T> {
    items: Vec<T>,
}

impl<T: DeserializeOwned> FromRequest<Door> for Items<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, door: &Door) -> Result<Self> {
        let body: BatchBody<T> = read_json(request, door, door.limits.max_batch_body).await?;
        Ok(Self(body.items))
    }
}

/// A reply's body.
#[derive(Debug)]
pub(crate) struct Reply<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Reply<T> {
    fn into_response(self) -> Response {
        let mut encoded = WipedBuffer::with_capacity(1024);
        if serde_json::to_writer(&mut encoded, &self.0).is_err() {
            return Problem::defect().into_response();
        }
        let mut response = Response::new(Body::from(Bytes::from_owner(encoded)));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// The answers of a batch, `{"results": [{"ok": …}, {"error": …}]}`.
#[derive(Serialize)]
pub(crate) struct Results<T> {
    results: Vec<ItemResult<T>>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum ItemResult<T> {
    Ok(T),
    Error(Problem),
}

impl<T> From<Vec<claviger_kms::Result<T>>> for Results<T> {
    fn from(results: Vec<claviger_kms::Result<T>>) -> Self {
        let item = |result| match result {
            Ok(value) => ItemResult::Ok(value),
            Err(error) => ItemResult::Error(Problem::from(error)),
        };
        Self { results: results.into_iter().map(item).collect() }
    }
}

/// A reply with another status than 200.
impl<T: Serialize> Reply<T> {
    pub(crate) fn with_status(self, status: StatusCode) -> Response {
        let mut response = self.into_response();
        *response.status_mut() = status;
        response
    }
}

async fn read_json<T: DeserializeOwned>(request: Request, door: &Door, most: usize) -> Result<T> {
    if !is_json(request.headers()) {
        return Err(Problem::wrong_content_type());
    }
    let body = body::read(request.into_body(), most, door.limits.body_timeout).await?;
    Ok(parse(body.as_ref())?)
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).into_iter();
    let (Some(only), None) = (types.next(), types.next()) else { return false };
    let essence = only.to_str().ok().and_then(|text| text.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> claviger_kms::Result<T> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let parsed = serde_path_to_error::deserialize(&mut json);
    let value = parsed.map_err(|error| {
        let field = error.path().to_string();
        what_is_wrong(&field, error.inner())
    })?;
    json.end().map_err(|error| what_is_wrong(".", &error))?;
    Ok(value)
}

fn what_is_wrong(field: &str, error: &serde_json::Error) -> KmsError {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = without_value(text.strip_suffix(&place).unwrap_or(&text));
    let field = if field == "." { String::new() } else { format!(" at {field}") };
    let (line, column) = (error.line(), error.column());
    let detail = format!("the body is wrong{field} (line {line}, column {column}): {text}");
    KmsError::invalid(detail.chars().take(LONGEST_DETAIL).collect::<String>())
}

/// The parser's message without the value it complains of.
fn without_value(text: &str) -> String {
    let quotes =
        ["invalid type: ", "invalid value: ", "invalid length ", "unknown variant "].iter();
    for quote in quotes {
        if text.starts_with(quote)
            && let Some((_, expected)) = text.rsplit_once(", expected ")
        {
            return format!("expected {expected}");
        }
    }
    text.to_owned()
}

const LONGEST_DETAIL: usize = 500;

#[cfg(test)]
mod tests {
    use claviger_kms::{Decrypt, Encrypt, VersionRequest};

    use super::*;

    fn refused<T: DeserializeOwned>(body: &str) -> String {
        match parse::<T>(body.as_bytes()) {
            Ok(_) => panic!("{body} was taken"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn names_field_line_and_column() {
        let text = refused::<Encrypt>("{\"key\": \"EU\",\n \"plaintext\": \"\"}");
        assert!(text.contains("at key (line 1, column 12)"), "{text}");
        assert!(text.contains("begins with 'E'"), "{text}");
        let text = refused::<BatchBody<VersionRequest>>(
            r#"{"items":[{"key":"eu","version":1},{"key":"eu","version":0}]}"#,
        );
        assert!(text.contains("at items[1].version"), "{text}");
    }

    #[test]
    fn quotes_no_value() {
        for body in [
            r#"{"key":"eu","plaintext":{"hunter2":1}}"#,
            r#"{"key":"eu","plaintext":"hunter2"}"#,
            r#"{"key":"eu","plaintext":"","binding":"hunter2"}"#,
            r#"{"key":"eu","plaintext":"","binding":{"context":"hunter2, expected hunter2"}}"#,
            r#""hunter2""#,
            r#"["hunter2"]"#,
            r#"{"key":"hunter2!","plaintext":""}"#,
        ] {
            let text = refused::<Encrypt>(body);
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn refuses_unknown_duplicate_and_missing_fields_and_what_follows() {
        for (body, says) in [
            (r#"{"ciphertext":"","x":1}"#, "unknown field `x`"),
            (r#"{"ciphertext":"","ciphertext":""}"#, "duplicate field"),
            (r#"{}"#, "missing field `ciphertext`"),
            (r#"{"ciphertext":""} {}"#, "trailing characters"),
            ("", "EOF"),
            ("{", "EOF"),
            ("\u{feff}{}", "expected value"),
            (r#"{"ciphertext":"A"}"#, "base64"),
            (r#"{"ciphertext":"AA"}"#, "base64"),
        ] {
            let text = refused::<Decrypt>(body);
            assert!(text.contains(says), "{body}: {text}");
        }
    }

    #[test]
    fn refuses_deep_nesting_in_bounded_memory_and_text() {
        let deep = "[".repeat(100_000);
        assert!(refused::<serde_json::Value>(&deep).contains("recursion limit"));
        let field = format!(r#"{{"{}":1}}"#, "x".repeat(100_000));
        assert!(refused::<Decrypt>(&field).len() <= 4 * LONGEST_DETAIL);
    }

    #[test]
    fn takes_json_by_any_spelling_of_its_type_and_nothing_else() {
        let with = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_TYPE, value.parse().unwrap());
            }
            is_json(&headers)
        };
        assert!(with(&["application/json"]) && with(&["Application/JSON; charset=utf-8"]));
        assert!(!with(&[]) && !with(&["text/plain"]) && !with(&["application/jsonx"]));
        assert!(!with(&["application/json", "text/plain"]));
    }
}
