//! The TLS handshake: in bounded time, to a stream and the identity in the client's certificate.
//!
//! A refusal is an alert to the client, and the reason in our log: certificates that are refused at level
//! warn, what is not even TLS at level debug. Neither holds anything secret.

use std::{error::Error as StdError, io, net::SocketAddr, sync::Arc, time::SystemTime};

use rustls::CertificateError;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::Instant,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    Limits, TlsMaterial,
    caller::PeerIdentity,
    tls::{CertificateIdentity, CertificateRefused},
};

/// The stream, who is at its other end, and until when that holds.
pub(super) async fn accept(
    stream: TcpStream,
    address: SocketAddr,
    material: &TlsMaterial,
    limits: Limits,
) -> Option<(TlsStream<TcpStream>, PeerIdentity, Instant)> {
    // Small replies are not held back; where that is not to be had, they are only later.
    let _ = stream.set_nodelay(true);
    let material = material.current();
    let acceptor = TlsAcceptor::from(Arc::clone(&material.config));
    let shaken = acceptor.accept(stream).into_fallible();
    let stream = match tokio::time::timeout(limits.handshake_timeout, shaken).await {
        Ok(Ok(stream)) => stream,
        Ok(Err((error, stream))) => {
            note(address, &error);
            linger(stream, limits).await;
            return None;
        }
        Err(_) => {
            tracing::debug!(peer = %address, "a TLS handshake took too long");
            return None;
        }
    };
    let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let identity = leaf.ok_or(CertificateRefused::Unreadable);
    // As the verifier found within the handshake.
    match identity.and_then(|leaf| CertificateIdentity::of(leaf, &material.trusted)) {
        Ok(identity) => {
            let left = identity.valid_until.duration_since(SystemTime::now()).unwrap_or_default();
            let until = Instant::now() + left.min(limits.connection_age);
            Some((stream, PeerIdentity::of_certificate(identity, address), until))
        }
        Err(reason) => {
            tracing::warn!(peer = %address, %reason, "a client certificate was refused");
            None
        }
    }
}

fn note(address: SocketAddr, error: &io::Error) {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(other))) => {
            let reason = other.source().map(ToString::to_string).unwrap_or_default();
            tracing::warn!(peer = %address, reason, "a client certificate was refused");
        }
        Some(reason @ rustls::Error::InvalidCertificate(_)) => {
            tracing::warn!(peer = %address, %reason, "a client certificate was refused");
        }
        Some(rustls::Error::NoCertificatesPresented) => {
            let reason = "it showed none";
            tracing::warn!(peer = %address, reason, "a client without certificate was refused");
        }
        _ => tracing::debug!(peer = %address, %error, "a TLS handshake failed"),
    }
}

/// Ends our side and reads a little of what the client still sends: a reset would take away the alert that
/// tells it why.
async fn linger(mut stream: TcpStream, limits: Limits) {
    let rest = async {
        let _ = stream.shutdown().await;
        let _ = tokio::io::copy(&mut (&mut stream).take(LAST_BYTES), &mut tokio::io::sink()).await;
    };
    let _ = tokio::time::timeout(limits.handshake_timeout.min(LAST_WORDS), rest).await;
}

const LAST_BYTES: u64 = 64 * 1024;
const LAST_WORDS: std::time::Duration = std::time::Duration::from_secs(1);
