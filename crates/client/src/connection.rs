//! One of the service's sockets: a bounded pool of kept-alive connections and one exchange over it.
//!
//! Invariants: never more calls at once than configured; no call outlasts the timeout; a request is sent a
//! second time only if the caller said that repeating it is safe, and only after a connection broke; a
//! reply longer than the limit is refused, not held.

use std::{
    error::Error as StdError,
    fmt, io,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use claviger_kms::{KmsError, Result, WipedBuffer};
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use tokio::{net::UnixStream, sync::Semaphore};

use crate::ClientConfig;

/// A socket of the service. Cloning shares the connections.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    address: Address,
    http: legacy::Client<Connector, Full<Bytes>>,
    permits: Arc<Semaphore>,
    timeout: Duration,
}

/// Whether a request may be sent again when it is not known whether the service acted on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    Safe,
    Never,
}

/// What to send.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) body: WipedBuffer,
    pub(crate) repeat: Repeat,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: WipedBuffer,
}

impl Connection {
    pub(crate) fn new(socket: PathBuf, config: &ClientConfig) -> Self {
        let most = config.connections.clamp(1, Semaphore::MAX_PERMITS);
        let address = Address::Unix(socket);
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(most)
            .build(Connector(address.clone()));
        Self { address, http, permits: Arc::new(Semaphore::new(most)), timeout: config.timeout }
    }

    /// Sends a call and reads the whole reply.
    ///
    /// # Errors
    /// [`KmsError::Unavailable`] naming the socket; [`KmsError::Invalid`] on a target that is no URI.
    pub(crate) async fn exchange(&self, call: Call) -> Result<Reply> {
        let uri: Uri = format!("http://localhost{}", call.target)
            .parse()
            .map_err(|_| KmsError::invalid("the request's path and query do not make a URI"))?;
        let body = Bytes::from_owner(call.body);
        let exchange = async {
            let _permit = self.permits.acquire().await;
            let first = self.attempt(call.method.clone(), uri.clone(), body.clone()).await;
            match first {
                Err(Failure::Broken(reason)) if call.repeat == Repeat::Safe => {
                    tracing::debug!(%reason, "the connection broke, the call is repeated once");
                    self.attempt(call.method, uri, body).await
                }
                other => other,
            }
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(outcome) => outcome.map_err(|failure| self.explain(failure)),
            Err(_) => Err(KmsError::unavailable(format!(
                "no answer from clavigerd at {} within {:?}",
                self.address, self.timeout
            ))),
        }
    }

    async fn attempt(
        &self,
        method: Method,
        uri: Uri,
        body: Bytes,
    ) -> std::result::Result<Reply, Failure> {
        let mut request = Request::new(Full::new(body));
        if method == Method::POST {
            let json = HeaderValue::from_static("application/json");
            request.headers_mut().insert(header::CONTENT_TYPE, json);
        }
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let response = self.http.request(request).await.map_err(|error| {
            if error.is_connect() {
                Failure::NotConnected(io_error_of(&error))
            } else {
                Failure::Broken(deepest(&error))
            }
        })?;
        let status = response.status();
        let mut frames = response.into_body();
        let mut body = WipedBuffer::default();
        while let Some(frame) = frames.frame().await {
            let frame = frame.map_err(|error| Failure::Broken(deepest(&error)))?;
            let Some(data) = frame.data_ref() else { continue };
            if body.len() + data.len() > MAX_REPLY {
                return Err(Failure::TooLong);
            }
            body.extend(data);
        }
        Ok(Reply { status, body })
    }

    fn explain(&self, failure: Failure) -> KmsError {
        let at = &self.address;
        KmsError::unavailable(match failure {
            Failure::NotConnected(io::ErrorKind::NotFound) => {
                format!("there is no socket at {at}: is clavigerd running?")
            }
            Failure::NotConnected(io::ErrorKind::ConnectionRefused) => {
                format!("nothing answers at {at}: is clavigerd running?")
            }
            Failure::NotConnected(io::ErrorKind::PermissionDenied) => format!(
                "permission denied at {at}: the socket's owner or group must include this user"
            ),
            Failure::NotConnected(kind) => format!("cannot connect to {at}: {kind}"),
            Failure::Broken(reason) => {
                format!("the connection to clavigerd at {at} broke before the reply: {reason}")
            }
            Failure::TooLong => {
                format!(
                    "the reply from {at} is longer than {MAX_REPLY} bytes; ask for less at once"
                )
            }
        })
    }
}

/// Why an attempt gave no reply.
#[derive(Debug)]
enum Failure {
    /// There was no connection, so nothing was sent.
    NotConnected(io::ErrorKind),
    /// The connection broke at an unknown point.
    Broken(String),
    TooLong,
}

/// Where the service listens.
#[derive(Debug, Clone)]
enum Address {
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// Opens connections for the pool.
#[derive(Debug, Clone)]
struct Connector(Address);

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<UnixStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        match self.0.clone() {
            Address::Unix(path) => {
                Box::pin(async move { Ok(TokioIo::new(UnixStream::connect(path).await?)) })
            }
        }
    }
}

fn io_error_of(error: &legacy::Error) -> io::ErrorKind {
    causes(error)
        .find_map(|cause| cause.downcast_ref::<io::Error>())
        .map_or(io::ErrorKind::Other, io::Error::kind)
}

fn deepest(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&cause| cause.source())
}

/// Most bytes of a reply: a page of 1,000 keys with long details fits.
const MAX_REPLY: usize = 32 * 1024 * 1024;

/// How long an unused connection is kept; shorter than the service keeps it.
const IDLE: Duration = Duration::from_secs(5);
