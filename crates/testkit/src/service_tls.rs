//! The TLS listeners of a service under test, and callers of them.

#![expect(clippy::unwrap_used, reason = "a test fails where its service does not start")]

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use claviger_api::{Limits, Listener, TlsFiles, TlsMaterial, admin_router, data_router};
use claviger_client::{Client, ClientConfig, Endpoint, Tls};
use tokio::net::TcpListener;

use crate::{
    Service,
    certificates::{Authority, Issued, Wanted},
};

/// A data and an admin listener with TLS.
#[derive(Debug)]
pub struct TlsDoors {
    /// Who signed the service's certificate and may sign callers'.
    pub authority: Authority,
    /// Address of the data listener, on 127.0.0.1.
    pub data: SocketAddr,
    /// Address of the admin listener, on 127.0.0.1.
    pub admin: SocketAddr,
    /// What both listeners use.
    pub material: Arc<TlsMaterial>,
    /// Where it was read.
    pub files: TlsFiles,
    folder: PathBuf,
}

impl Service {
    /// Who a caller with [`TlsDoors::tls`] is.
    pub const TLS_CALLER: &str = "spiffe://claviger.test/tester";

    /// Adds a data and an admin listener with TLS to a running service. No serial number is revoked.
    ///
    /// # Panics
    /// When a part of it does not start.
    pub async fn listen_tls(&mut self, limits: Limits) -> TlsDoors {
        let folder = self.folder().join("tls");
        std::fs::create_dir(&folder).unwrap();
        let authority = Authority::new("the authority");
        let own = authority.issue(&folder, "server", &Wanted::server());
        let (ca, list) = (folder.join("ca.pem"), folder.join("crl.pem"));
        authority.write(&ca);
        std::fs::write(&list, authority.revoke(&[], 2100)).unwrap();
        let files = TlsFiles {
            certificate: own.certificate,
            key: own.key,
            client_ca: ca,
            revocation_lists: vec![list],
            trust_domains: vec!["claviger.test".parse().unwrap()],
        };
        let material = Arc::new(TlsMaterial::read(files.clone()).unwrap());
        let mut addresses = Vec::new();
        for router in [
            data_router(Arc::clone(self.operations()), limits),
            admin_router(Arc::clone(self.operations()), limits, None),
        ] {
            let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(socket.local_addr().unwrap());
            self.listen(Listener::tls(socket, Arc::clone(&material)), router, limits);
        }
        let (admin, data) = (addresses.pop().unwrap(), addresses.pop().unwrap());
        TlsDoors { authority, data, admin, material, files, folder }
    }
}

impl TlsDoors {
    /// A client of both listeners, as [`Service::TLS_CALLER`].
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.config(self.tls()))
    }

    /// The configuration of a client of both listeners.
    #[must_use]
    pub fn config(&self, tls: Tls) -> ClientConfig {
        ClientConfig::at([endpoint(self.data)]).with_admin([endpoint(self.admin)]).with_tls(tls)
    }

    /// The side of TLS of [`Service::TLS_CALLER`].
    ///
    /// # Panics
    /// When the files cannot be written.
    #[must_use]
    pub fn tls(&self) -> Tls {
        self.tls_of(&self.issue("caller", &Wanted::caller(Service::TLS_CALLER)))
    }

    /// The side of TLS of whoever holds this certificate.
    ///
    /// # Panics
    /// When the files cannot be read.
    #[must_use]
    pub fn tls_of(&self, issued: &Issued) -> Tls {
        Tls::read(self.client_files(issued)).unwrap()
    }

    /// The files of whoever holds this certificate.
    #[must_use]
    pub fn client_files(&self, issued: &Issued) -> claviger_client::TlsFiles {
        claviger_client::TlsFiles {
            certificate: issued.certificate.clone(),
            key: issued.key.clone(),
            ca: self.files.client_ca.clone(),
            server_name: None,
        }
    }

    /// A certificate of the authority the service believes.
    #[must_use]
    pub fn issue(&self, name: &str, wanted: &Wanted) -> Issued {
        self.authority.issue(&self.folder, name, wanted)
    }

    /// The folder with all their files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// An address with TLS.
#[must_use]
pub fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint::Https { host: address.ip().to_string(), port: address.port() }
}
