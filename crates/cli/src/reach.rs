//! The options that say where the service is: Unix sockets, or addresses with TLS.

use std::path::PathBuf;

use clap::Args;
use claviger_client::{Client, ClientConfig, Endpoint, Tls, TlsFiles};

use crate::{
    arguments::GLOBAL,
    error::{CliError, Result},
};

/// Where the service is.
#[derive(Debug, Args)]
pub(crate) struct Reach {
    /// The service's data socket
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "CLAVIGER_SOCKET",
        default_value = "/run/claviger/data.sock",
        hide_env_values = true,
        help_heading = GLOBAL
    )]
    socket: PathBuf,
    /// The service's admin socket, for making and changing keys and for the status
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "CLAVIGER_ADMIN_SOCKET",
        default_value = "/run/claviger/admin.sock",
        hide_env_values = true,
        help_heading = GLOBAL
    )]
    admin_socket: PathBuf,
    /// Address of the service with TLS, in place of both sockets; repeat it for further ones to try
    #[arg(
        long,
        global = true,
        value_name = "https://HOST:PORT",
        env = "CLAVIGER_ADDRESS",
        value_delimiter = ',',
        hide_env_values = true,
        help_heading = GLOBAL
    )]
    address: Vec<Endpoint>,
    /// Address of its admin listener with TLS, in place of the admin socket; may be repeated too
    #[arg(
        long,
        global = true,
        value_name = "https://HOST:PORT",
        env = "CLAVIGER_ADMIN_ADDRESS",
        value_delimiter = ',',
        hide_env_values = true,
        help_heading = GLOBAL
    )]
    admin_address: Vec<Endpoint>,
    /// Your certificate, PEM: who you are to the service
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "CLAVIGER_TLS_CERT",
        hide_env_values = true,
        help_heading = GLOBAL
    )]
    tls_cert: Option<PathBuf>,
    /// Its key, PEM, of mode 0600
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "CLAVIGER_TLS_KEY",
        hide_env_values = true,
        help_heading = GLOBAL
    )]
    tls_key: Option<PathBuf>,
    /// The CAs to believe about the service, PEM
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "CLAVIGER_TLS_CA",
        hide_env_values = true,
        help_heading = GLOBAL
    )]
    tls_ca: Option<PathBuf>,
    /// The name in the service's certificate, where it is not the address's host
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "CLAVIGER_TLS_SERVER_NAME",
        hide_env_values = true,
        help_heading = GLOBAL
    )]
    tls_server_name: Option<String>,
}

impl Reach {
    /// A client of that service. An address takes the place of both sockets: the admin socket here could
    /// be another service's.
    pub(crate) fn client(&self, timeout: std::time::Duration) -> Result<Client> {
        let (data, admin) = self.endpoints();
        let over_tls = data.iter().chain(&admin).any(|at| matches!(at, Endpoint::Https { .. }));
        let mut config = ClientConfig::at(data).with_admin(admin).with_timeout(timeout);
        if over_tls {
            config = config.with_tls(Tls::read(self.tls_files()?)?);
        }
        Ok(Client::new(config))
    }

    fn endpoints(&self) -> (Vec<Endpoint>, Vec<Endpoint>) {
        let data = match self.address.as_slice() {
            [] => vec![Endpoint::Unix(self.socket.clone())],
            addresses => addresses.to_vec(),
        };
        let admin = match self.admin_address.as_slice() {
            [] if self.address.is_empty() => vec![Endpoint::Unix(self.admin_socket.clone())],
            addresses => addresses.to_vec(),
        };
        (data, admin)
    }

    fn tls_files(&self) -> Result<TlsFiles> {
        let (Some(certificate), Some(key), Some(ca)) =
            (&self.tls_cert, &self.tls_key, &self.tls_ca)
        else {
            return Err(CliError::usage(
                "an https address needs --tls-cert, --tls-key and --tls-ca",
            ));
        };
        Ok(TlsFiles {
            certificate: certificate.clone(),
            key: key.clone(),
            ca: ca.clone(),
            server_name: self.tls_server_name.clone(),
        })
    }
}
