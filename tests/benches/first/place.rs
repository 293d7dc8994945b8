//! The service under measurement: `clavigerd` on SoftHSM2, its store and its audit log on the disk, with
//! a Unix socket and TLS.

use std::{net::TcpListener, path::PathBuf};

use claviger_client::{Client, ClientConfig, Endpoint, Tls, TlsFiles};
use claviger_kms::KeyPath;
use claviger_testkit::certificates::{Authority, Wanted};
use claviger_tests::{Running, Site};

/// A site with a running service and the key [`KEY`].
pub(crate) struct Place {
    pub(crate) site: Site,
    pub(crate) service: Running,
    address: Endpoint,
    tls: Tls,
}

pub(crate) const KEY: &str = "us-east-1/payments";

impl Place {
    pub(crate) fn new() -> Self {
        let site = site();
        let folder = site.folder().join("tls");
        std::fs::create_dir(&folder).unwrap();
        let authority = Authority::new("the authority");
        let own = authority.issue(&folder, "server", &Wanted::server());
        let caller = authority.issue(&folder, "caller", &Wanted::caller(CALLER));
        let ca = folder.join("ca.pem");
        authority.write(&ca);

        // Free a moment ago; the service takes no port 0.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let listen = format!(
            "admin = \"admin.sock\"\n\n[listen.tls]\naddress = \"127.0.0.1:{port}\"\n\
             certificate = {:?}\nkey = {:?}\nclient-ca = {ca:?}\ntrust-domains = [\"claviger.test\"]\n",
            own.certificate, own.key
        );
        site.change_config("admin = \"admin.sock\"\n", &listen);
        site.write_policy(&format!(
            "[[rule]]\nname = \"all\"\nprincipals = [\"{}\", \"{CALLER}\"]\nactions = [\"*\"]\nkeys = [\"**\"]\n",
            Site::own_principal()
        ));
        let service = site.start();
        service.create(&["us-east-1", KEY]);

        let (certificate, key) = (caller.certificate, caller.key);
        let tls = Tls::read(TlsFiles { certificate, key, ca, server_name: None }).unwrap();
        let address = Endpoint::Https { host: "127.0.0.1".to_owned(), port };
        Self { site, service, address, tls }
    }

    /// A client with one connection.
    pub(crate) fn client(&self, transport: Transport) -> Client {
        self.reach(transport).client()
    }

    /// How to make such clients.
    pub(crate) fn reach(&self, transport: Transport) -> Reach {
        match transport {
            Transport::Socket => Reach::Socket(self.site.data_socket()),
            Transport::Tls => Reach::Tls(self.address.clone(), self.tls.clone()),
        }
    }

    /// A counter of the service, as its metrics say it.
    pub(crate) fn counter(&self, name: &str) -> f64 {
        let text = self.service.look("/metrics").body;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in the metrics")).parse().unwrap()
    }

    pub(crate) fn stop(self) {
        self.service.stop();
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Transport {
    Socket,
    Tls,
}

/// Where the service is.
#[derive(Clone)]
pub(crate) enum Reach {
    Socket(PathBuf),
    Tls(Endpoint, Tls),
}

impl Reach {
    /// A client that keeps one connection.
    pub(crate) fn client(&self) -> Client {
        let mut config = match self {
            Self::Socket(path) => ClientConfig::new(path),
            Self::Tls(address, tls) => ClientConfig::at([address.clone()]).with_tls(tls.clone()),
        };
        config.connections = 1;
        Client::new(config)
    }
}

/// A site whose audit log is as large as an operator's; that of a test is small.
pub(crate) fn site() -> Site {
    let site = Site::new();
    site.change_config("segment-bytes = 4194304\nreserve-bytes = 1048576\n", "");
    site
}

/// The key's path.
pub(crate) fn key() -> KeyPath {
    KEY.parse().unwrap()
}

const CALLER: &str = "spiffe://claviger.test/bench";
