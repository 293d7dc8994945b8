//! The few connections of a source, each used by one batch at a time.
//!
//! Invariants: at most as many as batches under way, and one for the scan; a connection that broke is not used
//! again; every statement ends soon, whatever it meets.

use std::{
    str::FromStr as _,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio_postgres::{Client, Config, NoTls, config::SslMode};

use super::of_database;
use crate::SourceError;

#[derive(Debug)]
pub(super) struct Connections {
    config: Config,
    idle: Mutex<Vec<Client>>,
    most_idle: usize,
}

impl Connections {
    /// Reads a connection string; it is never shown.
    pub(super) fn new(connection: &str, concurrency: usize) -> Result<Self, SourceError> {
        let mut config = Config::from_str(connection)
            .map_err(|_| SourceError::unusable("the connection string is not one of libpq's"))?;
        if config.get_ssl_mode() == SslMode::Require {
            return Err(SourceError::unusable(
                "sslmode=require is not supported by this release; use a Unix socket or a tunnel",
            ));
        }
        config.ssl_mode(SslMode::Disable);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(10));
        }
        if config.get_application_name().is_none() {
            config.application_name("claviger-campaign");
        }
        Ok(Self { config, idle: Mutex::default(), most_idle: concurrency.saturating_add(1) })
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
        let (client, connection) = self.config.connect(NoTls).await.map_err(of_database)?;
        // When it breaks, the next statement says so.
        tokio::spawn(connection);
        client.batch_execute(SETTINGS).await.map_err(of_database)?;
        Ok(client)
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
