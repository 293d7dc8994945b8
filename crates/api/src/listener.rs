//! The listener: from a bound socket to requests that carry who asks.
//!
//! Invariants: bounded connections, headers in bounded time, and after the shutdown began: no new
//! connection, every request under way is answered, until the grace period ends. One connection's trouble
//! never ends the loop. Who asks is known before the first byte of HTTP is read: from the kernel on a Unix
//! socket, from the verified certificate on TLS.

mod connection;
mod handshake;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{Limits, TlsMaterial, caller::PeerIdentity};
use connection::Talk;

/// A bound socket: a Unix socket, or TCP with TLS on it.
#[derive(Debug)]
pub struct Listener(Socket);

#[derive(Debug)]
enum Socket {
    Unix(UnixListener),
    Tls(TcpListener, Arc<TlsMaterial>),
}

impl From<UnixListener> for Listener {
    fn from(socket: UnixListener) -> Self {
        Self(Socket::Unix(socket))
    }
}

impl Listener {
    /// TLS with this material, which may be reloaded while the listener serves.
    #[must_use]
    pub fn tls(socket: TcpListener, material: Arc<TlsMaterial>) -> Self {
        Self(Socket::Tls(socket, material))
    }

    async fn accept(&self) -> io::Result<Arrival> {
        match &self.0 {
            Socket::Unix(socket) => Ok(Arrival::Unix(socket.accept().await?.0)),
            Socket::Tls(socket, material) => {
                let (stream, address) = socket.accept().await?;
                Ok(Arrival::Tcp(stream, address, Arc::clone(material)))
            }
        }
    }
}

/// A connection of which nothing is known yet.
enum Arrival {
    Unix(UnixStream),
    Tcp(TcpStream, SocketAddr, Arc<TlsMaterial>),
}

/// Serves until `shutdown` completes, then drains for at most [`Limits::grace`].
///
/// # Errors
/// When the socket itself fails; a lack of memory or file descriptors is waited out.
pub async fn serve(
    listener: impl Into<Listener>,
    router: Router,
    shutdown: impl Future<Output = ()>,
    limits: Limits,
) -> io::Result<()> {
    let listener = listener.into();
    let mut server = Server {
        router,
        limits,
        permits: permits(limits.max_connections),
        handshakes: permits(limits.max_handshakes),
        connections: JoinSet::new(),
        graceful: GracefulShutdown::new(),
        closing: CancellationToken::new(),
    };
    tokio::pin!(shutdown);
    let outcome = loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break Ok(()),
            Some(_) = server.connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok(Arrival::Unix(stream)) => server.welcome(stream),
                Ok(Arrival::Tcp(stream, address, material)) => {
                    server.shake_hands(stream, address, material);
                }
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
    /// One for each connection whose caller is known.
    permits: Arc<Semaphore>,
    /// One for each handshake under way: those who never finish one take no room from those who did.
    handshakes: Arc<Semaphore>,
    connections: JoinSet<()>,
    graceful: GracefulShutdown,
    closing: CancellationToken,
}

impl Server {
    fn welcome(&mut self, stream: UnixStream) {
        let peer = match stream.peer_cred() {
            Ok(peer) => PeerIdentity::of_process(peer),
            Err(error) => {
                tracing::warn!(%error, "a connection without credentials was closed");
                return;
            }
        };
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            tracing::warn!(principal = %peer.principal(), "{TOO_MANY}");
            // Into an empty socket buffer, so it does not block; if it fails there is nobody to tell.
            let _ = stream.try_write(OVERLOADED);
            return;
        };
        let talk = self.talk(peer, None).with(stream);
        self.connections.spawn(hold(permit, talk));
    }

    fn shake_hands(&mut self, stream: TcpStream, address: SocketAddr, material: Arc<TlsMaterial>) {
        let Ok(handshake) = Arc::clone(&self.handshakes).try_acquire_owned() else {
            tracing::warn!(peer = %address, "too many TLS handshakes at once; one was turned away");
            return;
        };
        let (limits, permits) = (self.limits, Arc::clone(&self.permits));
        let (closing, router) = (self.closing.clone(), self.router.clone());
        let watcher = self.graceful.watcher();
        self.connections.spawn(async move {
            let shaken = tokio::select! {
                shaken = handshake::accept(stream, address, &material, limits) => shaken,
                () = closing.cancelled() => None,
            };
            drop(handshake);
            let Some((mut stream, peer, until)) = shaken else { return };
            let Ok(_permit) = permits.try_acquire_owned() else {
                tracing::warn!(principal = %peer.principal(), "{TOO_MANY}");
                // If it fails there is nobody to tell.
                let told = async {
                    let _ = stream.write_all(OVERLOADED).await;
                    let _ = stream.shutdown().await;
                };
                let _ = tokio::time::timeout(limits.handshake_timeout, told).await;
                return;
            };
            Talk { peer, router, watcher, limits, until: Some(until) }.with(stream).await;
        });
    }

    fn talk(&self, peer: PeerIdentity, until: Option<tokio::time::Instant>) -> Talk {
        let watcher = self.graceful.watcher();
        Talk { peer, router: self.router.clone(), watcher, limits: self.limits, until }
    }

    async fn drain(self) {
        let Self { limits, mut connections, graceful, closing, .. } = self;
        closing.cancel();
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

fn permits(most: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)))
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

const TOO_MANY: &str = "too many connections; one was turned away";

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
