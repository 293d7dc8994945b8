use std::{fs, os::unix::fs::PermissionsExt as _};

use claviger_api::{TlsError, TlsMaterial};
use claviger_testkit::{
    TlsDoors,
    certificates::{Authority, Issued, Wanted},
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use crate::tls_support::{connect_good, start};

fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

async fn asks(stream: &mut TlsStream<TcpStream>) -> bool {
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut some = [0; 1024];
    let length = stream.read(&mut some).await.unwrap();
    some[..length].starts_with(b"HTTP/1.1 200")
}

/// Makes a file bad.
type Spoil<'a> = Box<dyn Fn() + 'a>;

/// Issues the service's certificate anew, in place.
fn renew(doors: &TlsDoors, wanted: &Wanted) -> Issued {
    doors.issue("server", wanted)
}

#[tokio::test]
async fn new_connections_see_the_new_certificate_while_an_old_one_lives() {
    let (service, doors) = start(|_| {}).await;
    let mut old = connect_good(&doors).await;
    assert!(asks(&mut old).await);
    let new = renew(&doors, &Wanted { serial: 2, until: 2090, ..Wanted::server() });
    assert_eq!(shown(&connect_good(&doors).await), shown(&old), "changed before the reload");
    let until = doors.material.valid_until();
    doors.material.reload().unwrap();
    assert!(doors.material.valid_until() < until);
    let renewed = CertificateDer::from_pem_file(&new.certificate).unwrap();
    let mut young = connect_good(&doors).await;
    assert_eq!(shown(&young), renewed);
    assert!(asks(&mut old).await && asks(&mut young).await);
    service.stop().await;
}

#[tokio::test]
async fn whatever_is_bad_at_a_reload_leaves_everything_as_it_was() {
    let (service, doors) = start(|_| {}).await;
    let first = shown(&connect_good(&doors).await);
    let files = doors.files.clone();
    let list = files.revocation_lists[0].clone();
    let paths = [&files.certificate, &files.key, &files.client_ca, &list];
    let good: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    let restore = || {
        for (path, content) in paths.iter().zip(&good) {
            fs::write(path, content).unwrap();
        }
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).unwrap();
    };
    let spoil: [(&str, Spoil<'_>); 13] = [
        ("no certificate in PEM", Box::new(|| fs::write(&files.certificate, "").unwrap())),
        ("no certificate in PEM", Box::new(|| fs::write(&files.certificate, &good[1]).unwrap())),
        ("it is no PEM", Box::new(|| fs::write(&files.certificate, &good[0][..90]).unwrap())),
        ("No such file", Box::new(|| fs::remove_file(&files.certificate).unwrap())),
        ("no unencrypted private key", Box::new(|| fs::write(&files.key, &good[0]).unwrap())),
        (
            "does not belong to",
            Box::new(|| {
                let other = doors.issue("other", &Wanted::server());
                fs::copy(other.key, &files.key).unwrap();
            }),
        ),
        (
            "chmod 600",
            Box::new(|| {
                fs::set_permissions(&files.key, fs::Permissions::from_mode(0o640)).unwrap();
            }),
        ),
        (
            "has expired",
            Box::new(|| {
                drop(renew(&doors, &Wanted { until: 2021, ..Wanted::server() }));
            }),
        ),
        (
            "is not valid before",
            Box::new(|| {
                drop(renew(&doors, &Wanted { from: 2090, ..Wanted::server() }));
            }),
        ),
        ("no certificate in PEM", Box::new(|| fs::write(&files.client_ca, "").unwrap())),
        ("no revocation list in PEM", Box::new(|| fs::write(&list, "").unwrap())),
        (
            "has expired",
            Box::new(|| {
                fs::write(&list, doors.authority.revoke(&[], 2021)).unwrap();
            }),
        ),
        ("larger than", Box::new(|| fs::write(&list, vec![b'a'; 9 << 20]).unwrap())),
    ];
    for (says, spoil) in spoil {
        spoil();
        let refused = doors.material.reload().unwrap_err().to_string();
        assert!(refused.contains(says), "{says}: {refused}");
        assert!(!refused.contains("BEGIN") && !refused.contains("MII"), "{refused}");
        assert_eq!(shown(&connect_good(&doors).await), first, "{says}");
        restore();
    }
    doors.material.reload().unwrap();
    service.stop().await;
}

#[tokio::test]
async fn a_new_ca_lets_new_callers_in_and_old_ones_out() {
    let (service, doors) = start(|_| {}).await;
    assert!(asks(&mut connect_good(&doors).await).await);
    let other = Authority::new("another");
    other.write(&doors.files.client_ca);
    fs::write(&doors.files.revocation_lists[0], other.revoke(&[], 2100)).unwrap();
    doors.material.reload().unwrap();
    let mut old = connect_good(&doors).await;
    let _ = old.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(old.read(&mut [0; 64]).await.is_err());
    let caller = Wanted::caller(claviger_testkit::Service::TLS_CALLER);
    let new = other.issue(doors.folder(), "new", &caller);
    let config = crate::tls_support::config_of(&doors, Some(&new));
    assert!(asks(&mut crate::tls_support::connect(&doors, config).await.unwrap()).await);
    service.stop().await;
}

#[tokio::test]
async fn without_a_trust_domain_nothing_is_served() {
    let (service, doors) = start(|_| {}).await;
    let files = claviger_api::TlsFiles { trust_domains: Vec::new(), ..doors.files.clone() };
    assert!(matches!(TlsMaterial::read(files), Err(TlsError::NoTrustDomain)));
    service.stop().await;
}
