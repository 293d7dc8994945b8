use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::Body,
    http::StatusCode,
    routing::{get, post},
};
use claviger_testkit::Service;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::{
    Limits,
    json::{Json, Reply},
    tls::CertificateIdentity,
};

async fn panics() -> &'static str {
    panic!("hunter2");
}

async fn takes_long() -> &'static str {
    tokio::time::sleep(Duration::from_millis(300)).await;
    "late"
}

async fn echoes(Json(value): Json<serde_json::Value>) -> Reply<serde_json::Value> {
    Reply(value)
}

fn router(service: &Service) -> Router {
    let limits = Limits { request_timeout: Duration::from_millis(100), ..Limits::default() };
    let operations = Arc::clone(service.operations());
    let describe = crate::keys::describe_route();
    Door::new(operations, limits).answering([
        ("/panics", get(panics)),
        ("/takes-long", get(takes_long)),
        ("/echoes/{name}", post(echoes)),
        (describe.path, describe.answer),
    ])
}

async fn ask(router: &Router, request: Request) -> (StatusCode, String) {
    let response = router.clone().oneshot(request).await.unwrap();
    assert!(response.headers().contains_key(REQUEST_ID));
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn request(target: &str) -> Request {
    Request::get(target).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_panic_ends_one_request_and_shows_nothing_of_itself() {
    let service = Service::start().await;
    let router = router(&service);
    let (status, body) = ask(&router, request("/panics")).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(body.contains("\"code\":\"unavailable\"") && !body.contains("hunter2"), "{body}");
    assert_eq!(ask(&router, request("/nowhere")).await.0, StatusCode::NOT_FOUND);
    service.stop().await;
}

#[tokio::test]
async fn what_takes_too_long_is_answered_in_time() {
    let service = Service::start().await;
    let (status, body) = ask(&router(&service), request("/takes-long")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains("whether it acted is not known"), "{body}");
    service.stop().await;
}

#[tokio::test]
async fn a_request_without_the_listeners_word_about_its_caller_is_refused() {
    let service = Service::start().await;
    let (status, body) = ask(&router(&service), request("/v1/keys/eu")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    assert!(body.contains("who asks"), "{body}");
    service.stop().await;
}

fn holder() -> CertificateIdentity {
    let principal = "spiffe://claviger.test/holder".parse().unwrap();
    CertificateIdentity { principal, valid_until: std::time::SystemTime::now() }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn the_log_has_ids_route_and_status_and_neither_path_query_nor_body() {
    let service = Service::start().await;
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(lines.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let router = router(&service);
    let secret = r#"{"plaintext":"body-hunter2"}"#;
    let mut echoed = Request::post("/echoes/path-hunter2?x=query-hunter2")
        .header("content-type", "application/json")
        .header("x-request-id", "order 17; header-hunter2")
        .body(Body::from(secret))
        .unwrap();
    echoed
        .extensions_mut()
        .insert(PeerIdentity::of_certificate(holder(), ([127, 0, 0, 1], 7).into()));
    let (status, body) = ask(&router, echoed).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, secret));
    ask(&router, request("/panics")).await;
    let mut described = request("/v1/keys/UPPER-hunter2?query-hunter2");
    described
        .extensions_mut()
        .insert(PeerIdentity::of_certificate(holder(), ([127, 0, 0, 1], 7).into()));
    assert_eq!(ask(&router, described).await.0, StatusCode::BAD_REQUEST);

    let log = lines.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let log = String::from_utf8(log).unwrap();
    for part in [
        "/echoes/{name}",
        "status=200",
        "spiffe://claviger.test/holder",
        "latency_us=",
        "a handler panicked",
    ] {
        assert!(log.contains(part), "no {part} in {log}");
    }
    assert!(!log.contains("hunter2"), "{log}");
    service.stop().await;
}
