//! The few connections of a source, each used by one batch at a time.
//!
//! Invariants: at most as many as batches under way, and one for the scan; a connection that broke is not used
//! again; every statement ends soon, whatever it meets.

use std::{
    fmt,
    str::FromStr as _,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio_postgres::{
    Client, Config, NoTls,
    config::{Host, SslMode},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{of_database, tls};
use crate::{SourceError, campaign_file::PostgresTls};

pub(super) struct Connections {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    idle: Mutex<Vec<Client>>,
    most_idle: usize,
}

impl Connections {
    /// Reads a connection string, which is never shown, and the CA file. Blocking.
    pub(super) fn new(
        connection: &str,
        settings: &PostgresTls,
        concurrency: usize,
    ) -> Result<Self, SourceError> {
        let mut config = Config::from_str(connection)
            .map_err(|_| SourceError::unusable("the connection string is not one of libpq's"))?;
        let tls = tls::connector(&config, settings)?;
        config.ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable });
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(10));
        }
        if config.get_application_name().is_none() {
            config.application_name("claviger-campaign");
        }
        Ok(Self { config, tls, idle: Mutex::default(), most_idle: concurrency.saturating_add(1) })
    }

    pub(super) async fn take(&self) -> Result<Client, SourceError> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match idle {
                Some(client) if client.is_closed() => {}
                Some(client) => return Ok(client),
                None => return self.connect().await,
            }
        }
    }

    pub(super) fn give_back(&self, client: Client) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.most_idle && !client.is_closed() {
            idle.push(client);
        }
    }

    async fn connect(&self) -> Result<Client, SourceError> {
        // When a connection breaks, the next statement says so.
        let client = match &self.tls {
            None => {
                let connected = self.config.connect(NoTls).await;
                let (client, connection) = connected.map_err(|error| self.of_address(error))?;
                tokio::spawn(connection);
                client
            }
            Some(tls) => {
                let connected = self.config.connect(tls.clone()).await;
                let (client, connection) = connected.map_err(|error| self.of_address(error))?;
                tokio::spawn(connection);
                client
            }
        };
        client.batch_execute(SETTINGS).await.map_err(of_database)?;
        Ok(client)
    }

    /// With the hosts that were tried; user, password and database are not shown.
    fn of_address(&self, error: tokio_postgres::Error) -> SourceError {
        let named = self.config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        });
        let (hosts, ports) = (named.collect::<Vec<_>>().join(", "), self.config.get_ports());
        let ports = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        let at = if ports.is_empty() { hosts } else { format!("{hosts} port {ports}") };
        match of_database(error) {
            SourceError::Unreachable { reason } => {
                SourceError::unreachable(format!("{at}: {reason}"))
            }
            other => other,
        }
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("tls", &self.tls.is_some()).finish_non_exhaustive()
    }
}

/// Text that is read back means the same, nothing waits for long, and where policies hide rows from this role a
/// statement fails instead of leaving them out.
const SETTINGS: &str = "
    SET lock_timeout = '2s';
    SET statement_timeout = '60s';
    SET idle_in_transaction_session_timeout = '60s';
    SET default_transaction_isolation = 'read committed';
    SET DateStyle = 'ISO, YMD';
    SET IntervalStyle = 'iso_8601';
    SET TimeZone = 'UTC';
    SET extra_float_digits = 3;
    SET bytea_output = 'hex';
    SET row_security = off;
";
