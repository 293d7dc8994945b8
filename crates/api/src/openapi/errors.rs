//! The errors in the document: a section for each code, and the problem documents of each operation.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use claviger_kms::ErrorCode;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder, Schema},
};

use crate::{
    problem::{Problem, row_of},
    route::Route,
};

/// A section for each code: what `claviger explain` prints.
pub(super) fn sections() -> String {
    let mut text = String::from(
        "## Errors\n\nAnything that is refused is a problem document (RFC 9457, `application/problem+json`) \
         with one of these codes, which are stable. `detail` is for people and may change. \
         `claviger explain CODE` says the same.\n",
    );
    for code in ErrorCode::ALL {
        let (status, title) = row_of(code);
        let explained = code.explanation();
        let retry = if code.is_retryable() { "yes" } else { "no" };
        text.push_str(&format!(
            "\n### {}\n\n{title}, status {}. Worth repeating unchanged: {retry}.\n\n{}\n\nOften: {}\n\n\
             What to do: {}.\n",
            code.as_str(),
            status.as_u16(),
            explained.meaning,
            explained.cause,
            explained.remedy,
        ));
    }
    text
}

/// The schemas of a problem document.
pub(super) fn schemas() -> Vec<(String, RefOr<Schema>)> {
    let mut schemas = vec![(Problem::name().into_owned(), Problem::schema())];
    Problem::schemas(&mut schemas);
    schemas
}

/// The problem documents that an operation can answer with, by status.
pub(super) fn responses(route: &Route) -> BTreeMap<u16, Response> {
    let mut said: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    let mut say = |status: StatusCode, what: String| {
        said.entry(status.as_u16()).or_default().push(what);
    };
    let invalid = ErrorCode::InvalidRequest.as_str();
    if route.facts.takes_input {
        say(row_of(ErrorCode::InvalidRequest).0, format!("`{invalid}`"));
    }
    if route.facts.body.is_some() {
        for (status, why) in [
            (StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"),
            (StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"),
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body is not said to be JSON"),
        ] {
            say(status, format!("`{invalid}`: {why}"));
        }
    }
    let of_request: &[ErrorCode] = if route.facts.is_batch { &[] } else { route.errors };
    for code in of_request {
        say(row_of(*code).0, format!("`{}`", code.as_str()));
    }
    let unavailable = ErrorCode::Unavailable;
    say(row_of(unavailable).0, format!("`{}`", unavailable.as_str()));
    let defect = format!("`{}`: a defect of the service", unavailable.as_str());
    say(StatusCode::INTERNAL_SERVER_ERROR, defect);
    said.into_iter().map(|(status, codes)| (status, response(&codes.join(" or ")))).collect()
}

/// Codes for people.
pub(super) fn list(codes: &[ErrorCode]) -> String {
    codes.iter().map(|code| format!("`{}`", code.as_str())).collect::<Vec<_>>().join(", ")
}

fn response(says: &str) -> Response {
    let schema = Ref::from_schema_name(Problem::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description(says).content("application/problem+json", content).build()
}
