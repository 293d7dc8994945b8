//! The wall clock jumps while the service runs. libfaketime, preloaded, moves it; the clocks that only go
//! forward stay, as they do on a machine whose clock is set.

use std::{
    env, fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use claviger_client::{ClientConfig, Tls, TlsFiles, blocking::Client};
use claviger_kms::{ListKeys, Result};
use claviger_testkit::{
    certificates::{Authority, Issued, Wanted},
    endpoint,
};
use claviger_tests::{Site, assert_unbroken, audit_trail, eventually};
use serde_json::json;

const CALLER: &str = "spiffe://claviger.test/tester";

#[test]
fn a_jump_of_years_and_back_spares_cached_keys_and_refuses_certificates_only_while_it_lasts() {
    let Some(library) = faketime() else { return };
    let site = Site::new();
    let clock = Clock { file: site.folder().join("clock") };
    clock.set("+0");
    let caller = Caller::of(&site);
    let service = site.start_in(|command| clock.moves(command, &library));
    service.create(&["eu"]);
    let sealed = service.encrypt("eu", "1", b"precious");
    caller.call().unwrap();
    // From here on only what is in memory serves.
    site.token().take_away();
    let unready = || service.look("/readyz").status == 503;
    eventually("the outage is noticed", Duration::from_secs(5), unready);

    let mut years = Vec::new();
    for (jump, lets_in) in
        [("+3y", false), ("+0", true), ("-1y", true), ("+3y", false), ("+0", true)]
    {
        clock.set(jump);
        for _ in 0..3 {
            assert_eq!(service.decrypt(&sealed, "1"), b"precious", "{jump}");
        }
        assert_eq!(caller.call().is_ok(), lets_in, "{jump}");
        let time = audit_trail(&site.audit()).last().unwrap().time.to_string();
        years.push(time[..4].parse::<i32>().unwrap() - this_year());
        assert_eq!(service.look("/livez").status, 200);
    }
    // Days are added, not years, so the first of January is not exact.
    let near = |found: &i32, expected: i32| (found - expected).abs() <= 1;
    assert!(
        years.iter().zip([3, 0, -1, 3, 0]).all(|(found, expected)| near(found, expected)),
        "{years:?}"
    );
    assert!(years[0] > years[1], "the clock did not jump: {years:?}");
    site.assert_log(&["a client certificate was refused", "xpired"]);

    site.token().bring_back();
    eventually("it is ready", Duration::from_secs(10), || !unready());
    service.rotate("eu");
    service.stop();
    // The next start has a clock that never jumped, and a log from the future.
    let service = site.start();
    assert_eq!(service.decrypt(&sealed, "1"), b"precious");
    service.stop();
    assert_unbroken(&site.audit());
}

/// A version made while the date was ahead is younger than every leak until then.
#[test]
fn a_version_made_under_a_date_ahead_is_no_less_leaked() {
    let Some(library) = faketime() else { return };
    let site = Site::new();
    let clock = Clock { file: site.folder().join("clock") };
    clock.set("+30d");
    let service = site.start_in(|command| clock.moves(command, &library));
    service.create(&["eu"]);
    let sealed = service.use_key("/v1/encrypt", &json!({"key": "eu", "plaintext": ""}));
    clock.set("+0");
    let leak = json!({"key": "eu", "reason": "material-leaked"});
    assert_eq!(service.manage("/v1/quarantine", &leak).status, 200);
    let campaign = json!({"key": "eu", "name": "cards", "mode": "rewrap"});
    let refused = service.manage("/v1/open-campaign", &campaign);
    refused.assert_problem(409, "key-unusable", "reencrypt");
    let campaign = json!({"key": "eu", "name": "cards", "mode": "reencrypt"});
    assert_eq!(service.manage("/v1/open-campaign", &campaign).status, 200);
    let plain = json!({"ciphertext": sealed.json()["ciphertext"]});
    service.use_key("/v1/rewrap", &plain).assert_problem(409, "key-unusable", "reencrypt");
    service.stop();
}

/// The offset that the service's wall clock has.
struct Clock {
    file: PathBuf,
}

impl Clock {
    fn moves(&self, command: &mut Command, library: &Path) {
        command
            .env("LD_PRELOAD", library)
            .env("FAKETIME_TIMESTAMP_FILE", &self.file)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }

    fn set(&self, offset: &str) {
        // Never half a line in its place.
        let next = self.file.with_extension("next");
        fs::write(&next, format!("{offset}\n")).unwrap();
        fs::rename(next, &self.file).unwrap();
    }
}

/// A caller over TLS whose certificate ends within the next two years.
struct Caller {
    address: SocketAddr,
    issued: Issued,
    ca: PathBuf,
}

impl Caller {
    /// Adds the listener to the site's configuration.
    fn of(site: &Site) -> Self {
        let (folder, authority) = (site.folder(), Authority::new("the authority"));
        drop(authority.issue(folder, "server", &Wanted::server()));
        let ends = Wanted { until: this_year() + 2, ..Wanted::caller(CALLER) };
        let issued = authority.issue(folder, "caller", &ends);
        let ca = folder.join("ca.pem");
        authority.write(&ca);
        fs::write(folder.join("ca.crl"), authority.revoke(&[], 2100)).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        site.change_config(
            "[cache]",
            &format!(
                "[listen.tls]\naddress = \"{address}\"\ncertificate = \"server.pem\"\n\
                 key = \"server.key\"\nclient-ca = \"ca.pem\"\ncrl = [\"ca.crl\"]\n\
                 trust-domains = [\"claviger.test\"]\n\n[cache]"
            ),
        );
        Self { address, issued, ca }
    }

    /// One call, with a handshake of its own.
    fn call(&self) -> Result<()> {
        let files = TlsFiles {
            certificate: self.issued.certificate.clone(),
            key: self.issued.key.clone(),
            ca: self.ca.clone(),
            server_name: None,
        };
        let config = ClientConfig::at([endpoint(self.address)]).with_tls(Tls::read(files)?);
        Client::new(config)?.list_keys(ListKeys::default()).map(drop)
    }
}

fn this_year() -> i32 {
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    // Mean Gregorian year.
    1970 + i32::try_from(seconds / 31_556_952).unwrap()
}

/// libfaketime for programs with threads, or `None`, which prints SKIP.
fn faketime() -> Option<PathBuf> {
    let below = |folder: &str| {
        let machine = env::consts::ARCH;
        Path::new(folder).join(format!("{machine}-linux-gnu/faketime/libfaketimeMT.so.1"))
    };
    let places = [
        below("/usr/lib"),
        PathBuf::from("/usr/lib64/faketime/libfaketimeMT.so.1"),
        PathBuf::from("/usr/lib/faketime/libfaketimeMT.so.1"),
    ];
    let found = places.into_iter().find(|library| library.exists());
    if found.is_none() {
        assert!(env::var_os("CLAVIGER_REQUIRE_FAKETIME").is_none(), "libfaketime is missing");
        println!("SKIP: no libfaketime on this machine; scripts/test installs it");
    }
    found
}
