//! One address of the service: a Unix socket, or a host and port with TLS.

use std::{fmt, path::PathBuf, str::FromStr};

use claviger_kms::KmsError;
use http::Uri;

/// Where a listener of the service is.
///
/// As text: `/run/claviger/data.sock`, `unix:data.sock`, `https://keys.example.org:8443`,
/// `https://[2001:db8::1]:8443`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// The path of a Unix socket.
    Unix(PathBuf),
    /// TLS over TCP.
    Https {
        /// A name or IP address, IPv6 without brackets. The service's certificate must be valid for it,
        /// unless the TLS configuration names another.
        host: String,
        /// The port.
        port: u16,
    },
}

impl From<PathBuf> for Endpoint {
    fn from(path: PathBuf) -> Self {
        Self::Unix(path)
    }
}

impl FromStr for Endpoint {
    type Err = KmsError;

    fn from_str(text: &str) -> Result<Self, KmsError> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(path.into()));
        }
        if text.starts_with('/') {
            return Ok(Self::Unix(text.into()));
        }
        https(text).ok_or_else(|| {
            KmsError::invalid(
                "an address is https://HOST:PORT, or the path of a Unix socket beginning with / or \
                 unix:",
            )
        })
    }
}

fn https(text: &str) -> Option<Endpoint> {
    let uri: Uri = text.parse().ok()?;
    let authority = uri.authority()?;
    let bare = uri.scheme_str() == Some("https")
        && matches!(uri.path(), "" | "/")
        && uri.query().is_none()
        && !authority.as_str().contains('@')
        && !text.contains('#');
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let port = authority.port_u16().filter(|port| *port != 0)?;
    (bare && !host.is_empty()).then(|| Endpoint::Https { host: host.to_owned(), port })
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Https { host, port } if host.contains(':') => {
                write!(f, "https://[{host}]:{port}")
            }
            Self::Https { host, port } => write!(f, "https://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_addresses_that_are_no_host_and_port_with_tls() {
        for bad in [
            "",
            "unix:",
            "keys.example.org",
            "keys.example.org:8443",
            "http://keys.example.org:8443",
            "https://keys.example.org",
            "https://keys.example.org:0",
            "https://keys.example.org:65536",
            "https://keys.example.org:8443/v1",
            "https://keys.example.org:8443?a=b",
            "https://keys.example.org:8443/#a",
            "https://user@keys.example.org:8443",
            "https://:8443",
            "ftp://a:1",
        ] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn an_address_is_shown_as_it_is_written() {
        for good in ["/run/a.sock", "https://keys.example.org:8443", "https://[2001:db8::1]:1"] {
            assert_eq!(good.parse::<Endpoint>().unwrap().to_string(), good);
        }
        assert_eq!("unix:a".parse(), Ok(Endpoint::Unix("a".into())));
        let six = "https://[::1]:2".parse::<Endpoint>();
        assert_eq!(six, Ok(Endpoint::Https { host: "::1".to_owned(), port: 2 }));
    }
}
