//! What a store's answers say beside what `object_store` reads in them: what is kept beside an object's content, and
//! why a request was refused.
//!
//! Invariant: whatever would be lost when the object is written again is found here: it is either written again or
//! the reason to leave the object alone. Known limits: access control lists are not in the answers, tags only
//! for whoever may read them (`s3:GetObjectTagging`).

use async_trait::async_trait;
use http::{
    HeaderMap, StatusCode,
    header::{EXPIRES, HeaderName},
};
use object_store::{
    Attribute, Attributes, ClientOptions, GetResult,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
        HttpService, ReqwestConnector,
    },
};

/// What an answer says beside what `object_store` reads in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Beside {
    storage_class: Option<String>,
    /// What could not be written again, as a reason.
    pub(super) lost: Option<String>,
}

impl Beside {
    pub(super) fn of(got: &GetResult) -> Self {
        got.extensions.get().cloned().unwrap_or_default()
    }

    /// Content type and encoding, cache control, the user's metadata, the storage class.
    pub(super) fn attributes(self, got: &GetResult) -> Attributes {
        let mut attributes = got.attributes.clone();
        if let Some(class) = self.storage_class {
            attributes.insert(Attribute::StorageClass, class.into());
        }
        attributes
    }

    fn read(headers: &HeaderMap) -> Self {
        let lost = LOST.into_iter().find(|(name, _)| headers.contains_key(name));
        let class = headers.get(STORAGE_CLASS).and_then(|value| value.to_str().ok());
        Self {
            storage_class: class.map(str::to_owned),
            lost: lost.map(|(name, what)| {
                format!("it has {what} ({name}), which would be lost when it is written again")
            }),
        }
    }
}

/// Why a store refused a request, in its own words.
#[derive(Debug, thiserror::Error)]
#[error("the store says {said} ({})", status.as_u16())]
pub(super) struct Refusal {
    status: StatusCode,
    said: String,
}

impl Refusal {
    /// Whether repeating may help.
    pub(super) fn passes(&self) -> bool {
        let busy = [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT];
        self.status.is_server_error() && self.status != StatusCode::NOT_IMPLEMENTED
            || busy.contains(&self.status)
    }

    fn of(status: StatusCode, body: &[u8]) -> Self {
        let body = String::from_utf8_lossy(body);
        let said = match (element(&body, "Code"), element(&body, "Message")) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(code), None) => code,
            _ => status.canonical_reason().unwrap_or("no reason").to_owned(),
        };
        Self { status, said }
    }
}

/// The text of the first such element of a store's XML, in one line of at most 200 characters.
fn element(body: &str, name: &str) -> Option<String> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect())
}

/// Connects as `object_store` does, and notes what answers say.
#[derive(Debug)]
pub(super) struct NotingConnector;

impl HttpConnector for NotingConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Noting(ReqwestConnector::default().connect(options)?)))
    }
}

#[derive(Debug)]
struct Noting(HttpClient);

#[async_trait]
impl HttpService for Noting {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let mut answer = self.0.execute(request).await?;
        let status = answer.status();
        if status.is_success() || HAS_A_MEANING.contains(&status) {
            let beside = Beside::read(answer.headers());
            answer.extensions_mut().insert(beside);
            return Ok(answer);
        }
        let (parts, body) = answer.into_parts();
        let body = body.bytes().await?;
        let no_object = status == StatusCode::NOT_FOUND
            && element(&String::from_utf8_lossy(&body), "Code").as_deref() != Some("NoSuchBucket");
        if no_object {
            return Ok(HttpResponse::from_parts(parts, body.into()));
        }
        Err(HttpError::new(HttpErrorKind::Unknown, Refusal::of(status, &body)))
    }
}

/// Of a condition that was not met.
const HAS_A_MEANING: [StatusCode; 3] =
    [StatusCode::NOT_MODIFIED, StatusCode::CONFLICT, StatusCode::PRECONDITION_FAILED];

const STORAGE_CLASS: HeaderName = HeaderName::from_static("x-amz-storage-class");

const LOST: [(HeaderName, &str); 6] = [
    (HeaderName::from_static("x-amz-tagging-count"), "tags"),
    (HeaderName::from_static("x-amz-object-lock-mode"), "a retention"),
    (HeaderName::from_static("x-amz-object-lock-legal-hold"), "a legal hold"),
    (HeaderName::from_static("x-amz-website-redirect-location"), "a redirect"),
    (
        HeaderName::from_static("x-amz-server-side-encryption-customer-algorithm"),
        "a key of its own",
    ),
    (EXPIRES, "a time it expires"),
];
