//! Certificates for tests: an authority of one's own, and whatever it should never have signed.

#![expect(clippy::unwrap_used, reason = "a test fails where its certificates are not made")]

use std::{
    fmt, fs,
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};

/// A certificate authority, whose key is in memory only.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

/// What stands in a certificate.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// URI names.
    pub uris: Vec<String>,
    /// DNS names.
    pub dns: Vec<String>,
    /// Whether 127.0.0.1 is a name too.
    pub loopback: bool,
    /// Whether it says that it is a CA's.
    pub is_ca: bool,
    /// Whether its key usage lets it sign certificates.
    pub signs: bool,
    /// First year.
    pub from: i32,
    /// The year it ends, on the first of January.
    pub until: i32,
    /// Its serial number.
    pub serial: u64,
}

/// A certificate and its key, as files.
#[derive(Debug, Clone)]
pub struct Issued {
    /// PEM file.
    pub certificate: PathBuf,
    /// PEM file of mode 0600.
    pub key: PathBuf,
}

impl Wanted {
    /// For a caller: one SPIFFE ID, valid.
    #[must_use]
    pub fn caller(uri: &str) -> Self {
        Self { uris: vec![uri.to_owned()], dns: Vec::new(), loopback: false, ..Self::server() }
    }

    /// For a service at `localhost` and 127.0.0.1, valid.
    #[must_use]
    pub fn server() -> Self {
        Self {
            uris: Vec::new(),
            dns: vec!["localhost".to_owned()],
            loopback: true,
            is_ca: false,
            signs: false,
            from: 2020,
            until: 2100,
            serial: 1,
        }
    }
}

impl Authority {
    /// A new authority; its name tells it apart in a chain.
    ///
    /// # Panics
    /// When the system gives no random bytes.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// Its own certificate, PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.certificate
    }

    /// Writes its own certificate.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn write(&self, file: &Path) {
        fs::write(file, &self.certificate).unwrap();
    }

    /// Signs a certificate and writes it as `NAME.pem`, its key as `NAME.key`; existing ones are replaced.
    ///
    /// # Panics
    /// When the files cannot be written.
    #[must_use]
    pub fn issue(&self, folder: &Path, name: &str, wanted: &Wanted) -> Issued {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        let uris = wanted.uris.iter().map(|uri| SanType::URI(uri.as_str().try_into().unwrap()));
        let dns = wanted.dns.iter().map(|dns| SanType::DnsName(dns.as_str().try_into().unwrap()));
        let address =
            wanted.loopback.then_some(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        params.subject_alt_names = uris.chain(dns).chain(address).collect();
        if wanted.is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if wanted.signs {
            params.key_usages.push(KeyUsagePurpose::KeyCertSign);
        }
        params.not_before = date_time_ymd(wanted.from, 1, 1);
        params.not_after = date_time_ymd(wanted.until, 1, 1);
        params.serial_number = Some(SerialNumber::from(wanted.serial));
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        let issued = Issued {
            certificate: folder.join(format!("{name}.pem")),
            key: folder.join(format!("{name}.key")),
        };
        fs::write(&issued.certificate, certificate).unwrap();
        fs::write(&issued.key, key.serialize_pem()).unwrap();
        fs::set_permissions(&issued.key, fs::Permissions::from_mode(0o600)).unwrap();
        issued
    }

    /// A list that revokes these serial numbers until the first of January of a year, PEM.
    ///
    /// # Panics
    /// When it cannot be signed.
    #[must_use]
    pub fn revoke(&self, serials: &[u64], until: i32) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(until, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}
