//! TLS: what the listener shows, whom it trusts, and how a certificate becomes a principal.
//!
//! Invariants: TLS 1.3 only, because only there the key exchange is hybrid (X25519MLKEM768 with every client
//! that offers it first) and the client's certificate encrypted; a client certificate is required; no session is resumed,
//! so that every connection meets today's certificates, CAs and revocation lists; HTTP/1.1 only.

mod files;
mod identity;
mod material;
mod spiffe;
mod verifier;

pub use files::{TlsError, TlsFiles};
pub(crate) use identity::{CertificateIdentity, CertificateRefused};
pub use material::{PreparedTls, TlsMaterial};
pub use spiffe::TrustDomain;
