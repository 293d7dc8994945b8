//! The listener: from a bound socket to requests that carry the kernel's word about who asks.
//!
//! Invariants: bounded connections, headers in bounded time, and after the shutdown began: no new
//! connection, every request under way is answered, until the grace period ends. One connection's trouble
//! never ends the loop.

use std::{io, sync::Arc, time::Duration};

use axum::{Router, extract::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tower::Service as _;

use crate::{Limits, PeerCredentials};

/// Serves until `shutdown` completes, then drains for at most [`Limits::grace`].
///
/// # Errors
/// When the socket itself fails; a lack of memory or file descriptors is waited out.
pub async fn serve(
    listener: UnixListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
    limits: Limits,
) -> io::Result<()> {
    let mut server = Server {
        router,
        limits,
        permits: Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS))),
        connections: JoinSet::new(),
        graceful: GracefulShutdown::new(),
    };
    tokio::pin!(shutdown);
    let outcome = loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break Ok(()),
            Some(_) = server.connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => server.welcome(stream),
                Err(error) if passes(&error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => break Err(error),
            },
        }
    };
    drop(listener);
    server.drain().await;
    outcome
}

struct Server {
    router: Router,
    limits: Limits,
    permits: Arc<Semaphore>,
    connections: JoinSet<()>,
    graceful: GracefulShutdown,
}

impl Server {
    fn welcome(&mut self, stream: UnixStream) {
        let peer = match stream.peer_cred() {
            Ok(peer) => PeerCredentials::from(peer),
            Err(error) => {
                tracing::warn!(%error, "a connection without credentials was closed");
                return;
            }
        };
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            tracing::warn!(uid = peer.uid, "too many connections; one was turned away");
            // Into an empty socket buffer, so it does not block; if it fails there is nobody to tell.
            let _ = stream.try_write(OVERLOADED);
            return;
        };
        let router = self.router.clone();
        let watcher = self.graceful.watcher();
        let talk = talk(stream, peer, router, watcher, self.limits.header_timeout);
        self.connections.spawn(hold(permit, talk));
    }

    async fn drain(self) {
        let Self { limits, mut connections, graceful, .. } = self;
        if tokio::time::timeout(limits.grace, graceful.shutdown()).await.is_err() {
            let open = connections.len();
            tracing::warn!(connections = open, "the grace period ended with requests left");
        }
        connections.shutdown().await;
    }
}

async fn hold(_permit: OwnedSemaphorePermit, talk: impl Future<Output = ()>) {
    talk.await;
}

/// Serves one connection until it ends.
async fn talk(
    stream: UnixStream,
    peer: PeerCredentials,
    router: Router,
    watcher: Watcher,
    header_timeout: Duration,
) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.clone().call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(uid = peer.uid, %error, "a connection ended early");
    }
}

/// Whether accepting may succeed later.
fn passes(error: &io::Error) -> bool {
    let kind = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::OutOfMemory
    );
    kind || matches!(error.raw_os_error(), Some(ENFILE | EMFILE | ENOBUFS))
}

const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
const ENOBUFS: i32 = 105;

/// How long to wait when there are no file descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// Bytes of a connection's read buffer, and so the most for a request's line and headers.
const BUFFER: usize = 64 * 1024;

/// The answer to a connection too many.
const OVERLOADED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
content-type: application/problem+json\r\n\
content-length: 179\r\n\
retry-after: 1\r\n\
connection: close\r\n\
\r\n\
{\"type\":\"urn:claviger:error:unavailable\",\"title\":\"Unavailable\",\"status\":503,\
\"code\":\"unavailable\",\"detail\":\"the service has too many connections; try again later\",\
\"retryable\":true}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_a_connection_too_many_has_the_length_it_says() {
        let text = std::str::from_utf8(OVERLOADED).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
    }
}
