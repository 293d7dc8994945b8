//! The bucket of a source, and where its credentials are.

use std::{env, fmt, fs, net::IpAddr, path::PathBuf};

use http::Uri;

/// A bucket in a store that speaks S3.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Bucket {
    /// The bucket.
    pub name: String,
    /// The store's address; without one it is Amazon's of the region.
    pub endpoint: Option<String>,
    /// What the keys begin with; not a pattern.
    pub prefix: String,
    /// Which objects, by what comes after the prefix in their keys.
    pub include: Vec<String>,
    /// The region that requests are signed for.
    pub region: String,
    /// Where the credentials are.
    pub credentials: Credentials,
    /// The CAs to believe about the store, PEM; without it the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether requests may leave this machine without TLS.
    pub allow_http: bool,
    /// Longest object that is replaced.
    pub max_object_bytes: u64,
}

/// Where an access key is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Credentials {
    /// In `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, if need be, `AWS_SESSION_TOKEN`.
    Environment,
    /// In a file as Amazon's tools write it: the section `[default]`, or lines before any section.
    File(PathBuf),
}

/// An access key. Never shown.
pub(crate) struct AccessKey {
    pub(crate) key_id: String,
    pub(crate) secret: String,
    pub(crate) token: Option<String>,
}

impl Bucket {
    /// Whether requests go without TLS.
    pub(crate) fn over_http(&self) -> bool {
        self.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"))
    }

    pub(super) fn checked(self) -> Result<Self, String> {
        let (least, most) = (1024 * 1024, 5 * 1024 * 1024 * 1024_u64);
        super::within("max-object-bytes", self.max_object_bytes, least, most)?;
        let Some(endpoint) = &self.endpoint else { return Ok(self) };
        let uri: Uri = endpoint.parse().map_err(|_| ENDPOINT.to_owned())?;
        let (Some(scheme @ ("http" | "https")), Some(authority)) =
            (uri.scheme_str(), uri.authority())
        else {
            return Err(ENDPOINT.to_owned());
        };
        // Names and passwords in an address would end up in logs.
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(ENDPOINT.to_owned());
        }
        if scheme == "http" && !self.allow_http && !is_loopback(authority.host()) {
            return Err("the endpoint is not on this machine, so it must be https://; with \
                        allow-http = true requests go there without TLS"
                .to_owned());
        }
        Ok(self)
    }
}

impl Credentials {
    /// Blocking.
    pub(crate) fn read(&self) -> Result<AccessKey, String> {
        match self {
            Self::Environment => {
                let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
                match (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
                    (Some(key_id), Some(secret)) => {
                        Ok(AccessKey { key_id, secret, token: variable("AWS_SESSION_TOKEN") })
                    }
                    _ => Err("there are no credentials: set AWS_ACCESS_KEY_ID and \
                              AWS_SECRET_ACCESS_KEY, or name a credentials-file"
                        .to_owned()),
                }
            }
            Self::File(path) => {
                let text = fs::read_to_string(path)
                    .map_err(|error| format!("reading {} failed: {error}", path.display()))?;
                AccessKey::parse(&text).ok_or_else(|| {
                    format!(
                        "{} has no aws_access_key_id and aws_secret_access_key in its section [default]",
                        path.display()
                    )
                })
            }
        }
    }
}

impl AccessKey {
    fn parse(text: &str) -> Option<Self> {
        let (mut key_id, mut secret, mut token) = (None, None, None);
        let mut counts = true;
        for line in text.lines().map(str::trim) {
            if let Some(section) = line.strip_prefix('[') {
                counts = section.trim_end_matches(']').trim() == "default";
            }
            let Some((name, value)) = line.split_once('=').filter(|_| counts) else { continue };
            let place = match name.trim() {
                "aws_access_key_id" => &mut key_id,
                "aws_secret_access_key" => &mut secret,
                "aws_session_token" => &mut token,
                _ => continue,
            };
            *place = Some(value.trim().to_owned());
        }
        Some(Self { key_id: key_id?, secret: secret?, token })
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").finish_non_exhaustive()
    }
}

/// Whether a host's name or address is this machine's own.
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

const ENDPOINT: &str = "endpoint is not an address such as https://store.example:9000";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_default_section_of_a_credentials_file_counts() {
        let text = "# mine\n[other]\naws_access_key_id = no\naws_secret_access_key = no\n\
                    [default]\naws_access_key_id=AKIA\n aws_secret_access_key = s/+=\n[third]\n\
                    aws_session_token = no\n";
        let found = AccessKey::parse(text).unwrap();
        assert_eq!((found.key_id.as_str(), found.secret.as_str()), ("AKIA", "s/+="));
        assert_eq!(found.token, None);
        assert!(!format!("{found:?}").contains("AKIA"));
        assert!(AccessKey::parse("[default]\naws_access_key_id = AKIA\n").is_none());
    }

    #[test]
    fn loopback_is_this_machine_and_nothing_that_looks_like_it() {
        for host in ["localhost", "127.0.0.1", "127.9.9.9", "[::1]", "::1"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example", "10.0.0.1", "127.0.0.1.example", "0.0.0.0", "[::]"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
