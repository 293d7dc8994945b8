//! Reload: policy, certificates, PIN and log level are read again, upon SIGHUP or `POST /v1/reload`.
//!
//! Invariants: one reload at a time; everything is read and checked before anything changes, so one bad file
//! leaves all as it was; a new policy is recorded before it is in force. The files are those named at the
//! start: a key with another name in it needs a restart, and is named.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Error};
use async_trait::async_trait;
use claviger_api::{PreparedTls, TlsMaterial};
use claviger_kms::{KmsError, Result};
use claviger_operations::{Asked, Operations, Reload, Reloaded};
use claviger_policy::Policy;
use claviger_root_key::Token;
use claviger_service::{config::Config, parts};
use tokio::sync::Mutex;
use tracing_subscriber::EnvFilter;

use super::supervision;
use crate::logging::{self, Level};

/// What is replaced, and where it is read from.
#[derive(Debug)]
pub(crate) struct Reloader {
    pub(crate) file: PathBuf,
    /// As read at the start.
    pub(crate) running: Config,
    pub(crate) operations: Arc<Operations>,
    pub(crate) token: Arc<dyn Token>,
    pub(crate) tls: Vec<(&'static str, Arc<TlsMaterial>)>,
    pub(crate) level: Level,
    pub(crate) one_at_a_time: Mutex<()>,
}

/// Read and checked, not in force yet.
struct Prepared {
    config: Config,
    filter: EnvFilter,
    tls: Vec<PreparedTls>,
    policy: Policy,
}

/// Why nothing is reloaded.
struct Refusal {
    for_its_policy: bool,
    error: Error,
}

#[async_trait]
impl Reload for Reloader {
    async fn reload(&self, asked: Asked) -> Result<Reloaded> {
        let _alone = self.one_at_a_time.lock().await;
        supervision::reloading();
        let by = match &asked {
            Asked::BySignal => "SIGHUP".to_owned(),
            Asked::ByCaller(permit) => permit.principal().to_string(),
        };
        let outcome = self.reload_alone().await;
        match &outcome {
            Ok(done) => tracing::info!(
                by,
                reloaded = done.reloaded.join(" "),
                policy = %done.policy_hash,
                needs_restart = done.needs_restart.join(" "),
                "reloaded"
            ),
            Err(error) => tracing::error!(by, %error, "nothing is reloaded, all stays as it was"),
        }
        supervision::ready();
        outcome
    }
}

impl Reloader {
    async fn reload_alone(&self) -> Result<Reloaded> {
        let prepared = match tokio::task::block_in_place(|| self.prepare()) {
            Ok(prepared) => prepared,
            Err(Refusal { for_its_policy, error }) => {
                self.operations.record_refused_reload(for_its_policy).await;
                return Err(KmsError::invalid(format!("nothing is reloaded: {error:#}")));
            }
        };
        let policy_hash = self.operations.put_in_force(prepared.policy).await?;
        // From here on nothing fails.
        for ((_, material), ready) in self.tls.iter().zip(prepared.tls) {
            material.install(ready);
        }
        self.level.set(prepared.filter);
        self.token.forget_pin_refusal().await;
        let mut reloaded = self.running.files_read_again();
        reloaded.extend(Config::TAKEN_BY_RELOAD.map(str::to_owned));
        let needs_restart = self.running.needs_restart(&prepared.config);
        Ok(Reloaded { reloaded, policy_hash, needs_restart })
    }

    /// Reads everything. The policy comes last, so that its refusal says that all else was good.
    fn prepare(&self) -> std::result::Result<Prepared, Refusal> {
        let (config, filter, tls) = self
            .prepare_all_but_the_policy()
            .map_err(|error| Refusal { for_its_policy: false, error })?;
        let policy = parts::read_policy(self.policy_file())
            .map_err(|error| Refusal { for_its_policy: true, error })?;
        Ok(Prepared { config, filter, tls, policy })
    }

    fn prepare_all_but_the_policy(&self) -> anyhow::Result<(Config, EnvFilter, Vec<PreparedTls>)> {
        let config = Config::read(&self.file)?;
        let filter = logging::filter(&config.log)?;
        self.running.token.check_files().context("the token")?;
        let tls = self
            .tls
            .iter()
            .map(|(name, material)| material.prepare().with_context(|| format!("listen.{name}")));
        Ok((config, filter, tls.collect::<anyhow::Result<_>>()?))
    }

    fn policy_file(&self) -> &Path {
        &self.running.policy.file
    }
}
