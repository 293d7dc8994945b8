//! From a verified certificate to who the caller is.
//!
//! Invariant: an identity comes from exactly one URI name, a SPIFFE ID of a trust domain that is ours to
//! believe, in a certificate that signs no others. Subject, DNS names and addresses are never looked at.

use std::time::{Duration, SystemTime};

use claviger_kms::Principal;
use rustls::pki_types::CertificateDer;
use x509_parser::{extensions::GeneralName, prelude::*};

use super::spiffe::{self, TrustDomain};

/// Who a certificate names, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CertificateIdentity {
    pub(crate) principal: Principal,
    pub(crate) valid_until: SystemTime,
}

/// Why a certificate that a trusted CA signed names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CertificateRefused {
    #[error("the certificate cannot be read")]
    Unreadable,
    #[error("the certificate is a CA's; a caller's own is needed")]
    IsCa,
    #[error("the certificate may sign other certificates or revocation lists (key usage)")]
    Signs,
    #[error("the certificate has no URI name; the identity is one SPIFFE ID")]
    NoUriName,
    #[error("the certificate has {count} URI names; exactly one is allowed")]
    SeveralUriNames { count: usize },
    #[error("the certificate's URI name is no SPIFFE ID: {reason}")]
    NotSpiffe { reason: &'static str },
    #[error("the trust domain {domain} is not one of trust-domains")]
    ForeignTrustDomain { domain: TrustDomain },
}

impl CertificateIdentity {
    /// The identity in a caller's certificate, whose signatures and dates were verified before.
    ///
    /// # Errors
    /// [`CertificateRefused`].
    pub(crate) fn of(
        leaf: &CertificateDer<'_>,
        trusted: &[TrustDomain],
    ) -> Result<Self, CertificateRefused> {
        let (rest, certificate) =
            X509Certificate::from_der(leaf).map_err(|_| CertificateRefused::Unreadable)?;
        if !rest.is_empty() {
            return Err(CertificateRefused::Unreadable);
        }
        refuse_authorities(&certificate)?;
        let (domain, principal) = spiffe::parse(only_uri_of(&certificate)?)
            .map_err(|reason| CertificateRefused::NotSpiffe { reason })?;
        if !trusted.contains(&domain) {
            return Err(CertificateRefused::ForeignTrustDomain { domain });
        }
        let seconds = certificate.validity().not_after.timestamp();
        let seconds = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        let valid_until = SystemTime::UNIX_EPOCH.checked_add(seconds);
        Ok(Self { principal, valid_until: valid_until.ok_or(CertificateRefused::Unreadable)? })
    }
}

fn refuse_authorities(certificate: &X509Certificate<'_>) -> Result<(), CertificateRefused> {
    let constraints =
        certificate.basic_constraints().map_err(|_| CertificateRefused::Unreadable)?;
    if constraints.is_some_and(|constraints| constraints.value.ca) {
        return Err(CertificateRefused::IsCa);
    }
    let usage = certificate.key_usage().map_err(|_| CertificateRefused::Unreadable)?;
    let signs = usage.is_some_and(|usage| usage.value.key_cert_sign() || usage.value.crl_sign());
    if signs { Err(CertificateRefused::Signs) } else { Ok(()) }
}

fn only_uri_of<'a>(certificate: &'a X509Certificate<'a>) -> Result<&'a str, CertificateRefused> {
    // Two such extensions are an error here.
    let names =
        certificate.subject_alternative_name().map_err(|_| CertificateRefused::Unreadable)?;
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    let mut uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(text) => Some(*text),
        // A name that cannot be read might be a URI: it counts, and is no SPIFFE ID.
        GeneralName::Invalid(..) => Some(""),
        _ => None,
    });
    match (uris.next(), uris.count()) {
        (Some(only), 0) => Ok(only),
        (None, _) => Err(CertificateRefused::NoUriName),
        (Some(_), more) => Err(CertificateRefused::SeveralUriNames { count: more + 1 }),
    }
}
