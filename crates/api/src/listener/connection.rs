//! One connection whose caller is known, until it ends.
//!
//! A connection has an age limit where its identity came from a certificate: the first reply after it says
//! `connection: close`, so that no request is lost, and a caller who stalls is cut off one request later.

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, header},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::Watcher,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use tower::Service as _;

use crate::{Limits, caller::PeerIdentity};

/// What a connection needs to be served.
pub(super) struct Talk {
    pub(super) peer: PeerIdentity,
    pub(super) router: Router,
    pub(super) watcher: Watcher,
    pub(super) limits: Limits,
    /// When the caller has to prove anew who he is.
    pub(super) until: Option<Instant>,
}

impl Talk {
    /// Serves the connection until it ends.
    pub(super) async fn with<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { peer, router, watcher, limits, until } = self;
        let principal = peer.principal().clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            let reply = router.clone().call(request);
            async move {
                let mut reply = reply.await;
                let old = until.is_some_and(|until| Instant::now() >= until);
                if let (true, Ok(reply)) = (old, &mut reply) {
                    let close = HeaderValue::from_static("close");
                    reply.headers_mut().insert(header::CONNECTION, close);
                }
                reply
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_buf_size(BUFFER)
            .serve_connection(TokioIo::new(stream), service);
        let one_request = limits.header_timeout + limits.body_timeout + limits.request_timeout;
        let stalled = async {
            match until {
                Some(until) => tokio::time::sleep_until(until + one_request).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = watcher.watch(connection) => if let Err(error) = ended {
                tracing::debug!(%principal, %error, "a connection ended early");
            },
            () = stalled => tracing::debug!(%principal, "a connection past its age was cut off"),
        }
    }
}

/// Bytes of a connection's read buffer, and so the most for a request's line and headers.
const BUFFER: usize = 64 * 1024;
