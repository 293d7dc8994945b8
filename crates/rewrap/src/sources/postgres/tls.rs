//! Whether connections to a server use TLS, and whom they believe then.
//!
//! Invariants: what leaves this machine is encrypted and the server's certificate verified, name and all, unless
//! the campaign file says `tls = "off"`; never is a connection opened without TLS because the server has none.

use std::{error::Error as _, io, path::Path};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
    version::TLS13,
};
use tokio_postgres::{
    Config,
    config::{Host, SslMode},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{
    SourceError,
    campaign_file::{PostgresTls, is_loopback},
};

/// What makes the TLS of a connection; none where it goes without. Blocking: reads the CA file.
pub(super) fn connector(
    config: &Config,
    settings: &PostgresTls,
) -> Result<Option<MakeRustlsConnect>, SourceError> {
    let (mode, elsewhere) = (config.get_ssl_mode(), elsewhere(config));
    let wanted = match (settings.required, mode, &elsewhere) {
        (Some(false), SslMode::Require, _) => {
            return Err(SourceError::unusable(
                "the connection string says sslmode=require and the campaign file tls = \"off\"; \
                 take one of them away",
            ));
        }
        (Some(required), ..) => required,
        (None, SslMode::Require, _) => true,
        (None, _, Some(_)) => true,
        (None, _, None) => false,
    };
    if !wanted {
        return Ok(None);
    }
    let why = elsewhere.map_or_else(String::new, |host| format!("{host} is another machine, so "));
    if mode == SslMode::Disable {
        return Err(SourceError::unusable(format!(
            "{why}the connection must use TLS, and the connection string says sslmode=disable; take that \
             away, or write tls = \"off\" where the way is encrypted already"
        )));
    }
    if config.get_hosts().iter().any(|host| matches!(host, Host::Unix(_))) {
        return Err(SourceError::unusable(
            "a Unix socket has no TLS and needs none; take tls and sslmode=require away",
        ));
    }
    let Some(ca) = &settings.ca_file else {
        return Err(SourceError::unusable(format!(
            "{why}the connection must use TLS: name the CAs to believe about the server with ca-file, or \
             write tls = \"off\" where the way is encrypted already"
        )));
    };
    believing(ca).map(Some)
}

fn believing(ca: &Path) -> Result<MakeRustlsConnect, SourceError> {
    let wrong =
        |reason: String| SourceError::unusable(format!("the CA file {}: {reason}", ca.display()));
    let mut roots = RootCertStore::empty();
    let found = CertificateDer::pem_file_iter(ca).map_err(|error| wrong(error.to_string()))?;
    for certificate in found {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("there is no certificate in it".to_owned()));
    }
    let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_protocol_versions(&[&TLS13])
        .map_err(SourceError::unusable)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// Why the server's certificate was not believed, if that is what went wrong: repeating does not help.
pub(super) fn distrust(error: &tokio_postgres::Error) -> Option<String> {
    let cause = error.source()?.downcast_ref::<io::Error>()?;
    match cause.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(reason) => {
            Some(format!("the server's certificate is not believed: {reason}; look at ca-file"))
        }
        _ => None,
    }
}

/// A host of the connection string that is not this machine.
fn elsewhere(config: &Config) -> Option<String> {
    let addresses = config.get_hostaddrs();
    if !addresses.is_empty() {
        return addresses.iter().find(|at| !at.is_loopback()).map(ToString::to_string);
    }
    config.get_hosts().iter().find_map(|host| match host {
        Host::Tcp(name) if !is_loopback(name) => Some(name.clone()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(connection: &str, required: Option<bool>) -> String {
        let settings = PostgresTls { required, ca_file: None };
        match connector(&connection.parse().unwrap(), &settings) {
            Ok(found) => panic!("{connection}: {}", found.is_some()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn another_machine_is_reached_with_tls_or_not_at_all() {
        for connection in [
            "host=db.example user=a",
            "host=localhost,db.example user=a",
            "host=localhost hostaddr=10.0.0.7 user=a",
            "host=localhost.example user=a",
        ] {
            assert!(refused(connection, None).contains("ca-file"), "{connection}");
        }
        let said = refused("host=db.example user=a sslmode=disable", None);
        assert!(said.contains("db.example") && said.contains("sslmode=disable"), "{said}");
    }

    #[test]
    fn this_machine_needs_no_tls_and_a_socket_has_none() {
        let none = PostgresTls::default();
        for connection in
            ["host=/run/postgresql user=a", "host=localhost user=a", "host=db hostaddr=127.0.0.1"]
        {
            assert!(connector(&connection.parse().unwrap(), &none).unwrap().is_none());
        }
        assert!(refused("host=/run/postgresql user=a", Some(true)).contains("socket"));
        assert!(refused("host=localhost user=a sslmode=require", None).contains("ca-file"));
    }

    #[test]
    fn only_the_campaign_file_takes_tls_away() {
        let off = PostgresTls { required: Some(false), ca_file: None };
        assert!(connector(&"host=db.example user=a".parse().unwrap(), &off).unwrap().is_none());
        assert!(refused("host=db.example sslmode=require", Some(false)).contains("take one"));
    }
}
