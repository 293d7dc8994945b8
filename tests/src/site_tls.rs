//! The TLS listeners of a site: addresses, an authority, and certificates of callers.

use std::{fs, net::SocketAddr, path::PathBuf};

use claviger_testkit::certificates::{Authority, Issued, Wanted};

use crate::Site;

/// Where a site listens with TLS.
#[derive(Debug)]
pub struct TlsAddresses {
    /// The data listener.
    pub data: SocketAddr,
    /// The admin listener.
    pub admin: SocketAddr,
    /// What both believe about callers, and callers about them.
    pub ca: PathBuf,
    authority: Authority,
    folder: PathBuf,
}

impl Site {
    /// Adds `[listen.tls]` and `[listen.admin-tls]` to the configuration, for callers of the trust domain
    /// `claviger.test`. To be called before the service is started.
    ///
    /// # Panics
    /// When a file cannot be written.
    #[must_use]
    pub fn add_tls(&self) -> TlsAddresses {
        let folder = self.folder().join("tls");
        fs::create_dir(&folder).unwrap();
        let authority = Authority::new("the authority");
        let ca = folder.join("ca.pem");
        authority.write(&ca);
        let server = authority.issue(&folder, "server", &Wanted::server());
        let [data, admin] = free_addresses();
        let mut config = fs::read_to_string(self.config()).unwrap();
        for (section, address) in [("tls", data), ("admin-tls", admin)] {
            config.push_str(&format!(
                "\n[listen.{section}]\naddress = \"{address}\"\ncertificate = {:?}\nkey = {:?}\n\
                 client-ca = {ca:?}\ntrust-domains = [\"claviger.test\"]\n",
                server.certificate, server.key,
            ));
        }
        fs::write(self.config(), config).unwrap();
        TlsAddresses { data, admin, ca, authority, folder }
    }
}

impl TlsAddresses {
    /// The certificate of a caller with this SPIFFE ID, by the authority the site believes.
    #[must_use]
    pub fn issue(&self, name: &str, spiffe_id: &str) -> Issued {
        self.authority.issue(&self.folder, name, &Wanted::caller(spiffe_id))
    }
}

/// Two ports nobody listens on now.
fn free_addresses() -> [SocketAddr; 2] {
    // Both are held before either is let go, so that they differ.
    let bound = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    bound.map(|listener| listener.local_addr().unwrap())
}
