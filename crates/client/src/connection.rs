//! The addresses of one of the service's listeners: a bounded pool of kept-alive connections to each, and
//! one exchange over them.
//!
//! Invariants: never more calls at once than configured; no call outlasts the timeout; the next address is
//! tried only when nothing was sent; a request is sent a second time only if the caller said that repeating
//! it is safe, and only after a connection broke; a reply longer than the limit is refused, not held.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use claviger_kms::{KmsError, Result, WipedBuffer};
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};
use tokio::sync::Semaphore;

use crate::{ClientConfig, Endpoint, connector::Connector, failure::Failure};

/// A listener of the service, at one or several addresses. Cloning shares the connections.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    addresses: Arc<[Address]>,
    /// Which address answered last; the first one tried.
    current: Arc<AtomicUsize>,
    permits: Arc<Semaphore>,
    timeout: Duration,
}

#[derive(Debug)]
struct Address {
    endpoint: Endpoint,
    http: legacy::Client<Connector, Full<Bytes>>,
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

/// A call, made ready to be sent to any address.
#[derive(Clone)]
struct Outgoing {
    method: Method,
    uri: Uri,
    body: Bytes,
}

/// An exchange without a reply, as the last address tried tells it and in words for all of them.
struct Failed {
    broken: bool,
    text: String,
}

impl Connection {
    pub(crate) fn new(endpoints: &[Endpoint], config: &ClientConfig) -> Self {
        let most = config.connections.clamp(1, Semaphore::MAX_PERMITS);
        let address = |endpoint: &Endpoint| {
            let connector = Connector {
                endpoint: endpoint.clone(),
                tls: config.tls.clone(),
                timeout: config.connect_timeout,
            };
            let http = legacy::Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE)
                .pool_max_idle_per_host(most)
                .build(connector);
            Address { endpoint: endpoint.clone(), http }
        };
        Self {
            addresses: endpoints.iter().map(address).collect(),
            current: Arc::default(),
            permits: Arc::new(Semaphore::new(most)),
            timeout: config.timeout,
        }
    }

    /// Sends a call and reads the whole reply.
    ///
    /// # Errors
    /// [`KmsError::Unavailable`] naming the addresses; [`KmsError::Invalid`] on a target that is no URI.
    pub(crate) async fn exchange(&self, call: Call) -> Result<Reply> {
        let uri: Uri = format!("http://localhost{}", call.target)
            .parse()
            .map_err(|_| KmsError::invalid("the request's path and query do not make a URI"))?;
        let outgoing = Outgoing { method: call.method, uri, body: Bytes::from_owner(call.body) };
        let exchange = async {
            let _permit = self.permits.acquire().await;
            match self.reach(&outgoing).await {
                Err(failed) if failed.broken && call.repeat == Repeat::Safe => {
                    let reason = failed.text;
                    tracing::debug!(%reason, "the connection broke, the call is repeated once");
                    self.reach(&outgoing).await
                }
                other => other,
            }
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(outcome) => outcome.map_err(|failed| KmsError::unavailable(failed.text)),
            Err(_) => Err(KmsError::unavailable(format!(
                "no answer from clavigerd at {} within {:?}",
                self.names(),
                self.timeout
            ))),
        }
    }

    /// Tries the addresses in order, from the one that answered last, until one is connected.
    async fn reach(&self, outgoing: &Outgoing) -> std::result::Result<Reply, Failed> {
        let first = self.current.load(Relaxed);
        let numbers = 0..self.addresses.len();
        let mut dead = Vec::new();
        for (number, address) in
            numbers.clone().zip(self.addresses.iter()).cycle().skip(first).take(numbers.len())
        {
            let failure = match address.attempt(outgoing.clone()).await {
                Ok(reply) => {
                    self.current.store(number, Relaxed);
                    return Ok(reply);
                }
                Err(failure) => failure,
            };
            let connected = !matches!(failure, Failure::NotConnected { .. });
            let broken = matches!(failure, Failure::Broken(_));
            let text = failure.explain(&address.endpoint);
            if connected {
                self.current.store(number, Relaxed);
                return Err(Failed { broken, text });
            }
            if numbers.len() > 1 {
                tracing::warn!(reason = %text, "an address of the service is passed over");
            }
            dead.push(text);
        }
        let text = match dead.as_slice() {
            [] => "no address of clavigerd is configured".to_owned(),
            _ => dead.join("; "),
        };
        Err(Failed { broken: false, text })
    }

    fn names(&self) -> String {
        let names: Vec<String> =
            self.addresses.iter().map(|address| address.endpoint.to_string()).collect();
        names.join(", ")
    }
}

impl Address {
    async fn attempt(&self, outgoing: Outgoing) -> std::result::Result<Reply, Failure> {
        let Outgoing { method, uri, body } = outgoing;
        let mut request = Request::new(Full::new(body));
        if method == Method::POST {
            let json = HeaderValue::from_static("application/json");
            request.headers_mut().insert(header::CONTENT_TYPE, json);
        }
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let response = self.http.request(request).await.map_err(|error| Failure::of(&error))?;
        let status = response.status();
        let mut frames = response.into_body();
        let mut body = WipedBuffer::default();
        while let Some(frame) = frames.frame().await {
            let frame = frame.map_err(|error| Failure::after_connecting(&error))?;
            let Some(data) = frame.data_ref() else { continue };
            if body.len() + data.len() > MAX_REPLY {
                return Err(Failure::TooLong);
            }
            body.extend(data);
        }
        Ok(Reply { status, body })
    }
}

/// Most bytes of a reply: a page of 1,000 keys with long details fits.
pub(crate) const MAX_REPLY: usize = 32 * 1024 * 1024;

/// How long an unused connection is kept; shorter than the service keeps it.
const IDLE: Duration = Duration::from_secs(5);
