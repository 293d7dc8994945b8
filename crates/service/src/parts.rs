//! Opening the parts of the service, each with a reason that says what to do when it does not open.

use std::{fs, path::Path, sync::Arc};

use anyhow::{Context as _, Result, bail};
use claviger_api::TlsMaterial;
use claviger_audit::{AuditLog, Recovered};
use claviger_hierarchy::{Hierarchy, OpenError};
use claviger_keystore::{KeyStore, SqliteStore};
use claviger_operations::Operations;
use claviger_policy::Policy;
use claviger_root_key::{Pkcs11Token, Token};

use crate::config::{Config, TlsConfig};

/// Reads the policy.
///
/// # Errors
/// When the file cannot be read or the policy is refused.
pub fn read_policy(file: &Path) -> Result<Policy> {
    let text = fs::read_to_string(file)
        .with_context(|| format!("the policy {} cannot be read", file.display()))?;
    Policy::parse(&text).with_context(|| format!("the policy {}", file.display()))
}

/// Reads the files of a TLS listener and checks that they belong together.
///
/// # Errors
/// When one of them is missing, unreadable, expired or of another kind, or the key is not the certificate's.
pub fn read_tls(name: &str, config: &TlsConfig) -> Result<Arc<TlsMaterial>> {
    let material = TlsMaterial::read(config.files()).with_context(|| format!("listen.{name}"))?;
    if config.crl.is_empty() {
        tracing::warn!(
            "listen.{name} has no crl: a revoked certificate is let in until it expires"
        );
    }
    Ok(Arc::new(material))
}

/// Opens the key store; one process at a time holds it.
///
/// # Errors
/// When it is in use, damaged, of another kind or of a newer release.
pub fn open_store(config: &Config) -> Result<Arc<dyn KeyStore>> {
    let path = &config.store.path;
    let store =
        SqliteStore::open(path).with_context(|| format!("the key store {}", path.display()))?;
    Ok(Arc::new(store))
}

/// Opens the token and logs in, once.
///
/// # Errors
/// When the module, the token or the PIN is not what the configuration says.
pub async fn open_token(config: &Config) -> Result<Arc<dyn Token>> {
    let token = config.token.clone();
    let token = tokio::task::spawn_blocking(move || Pkcs11Token::open(&token))
        .await
        .context("the token's module ended the thread that opened it")?
        .context("the token")?;
    Ok(Arc::new(token))
}

/// Opens the audit log.
///
/// # Errors
/// When it is in use, damaged, or its directory cannot be made.
pub async fn open_audit(config: &Config) -> Result<(AuditLog, Recovered)> {
    let (audit, recovered) = AuditLog::open(config.audit.clone()).await.context("the audit log")?;
    if recovered.torn_bytes > 0 {
        tracing::warn!(
            bytes = recovered.torn_bytes,
            "cut off the unacknowledged end that a crash left in the audit log"
        );
    }
    Ok((audit, recovered))
}

/// Opens everything and starts the operations; the token is for whoever reloads its PIN.
///
/// # Errors
/// The first part that does not open.
pub async fn open_operations(config: &Config) -> Result<(Arc<Operations>, Arc<dyn Token>)> {
    let policy = read_policy(&config.policy.file)?;
    let store = open_store(config)?;
    let (audit, recovered) = open_audit(config).await?;
    let token = open_token(config).await?;
    let seen = recovered.highest_generation;
    let hierarchy = Hierarchy::open(Arc::clone(&token), store, config.hierarchy(seen)).await;
    let hierarchy = match hierarchy {
        Err(OpenError::NoRoot) if seen > 0 => bail!(
            "the key store {} is empty, and the audit log {} has seen one of generation {seen}: \
             restore that store",
            config.store.path.display(),
            config.audit.directory.display()
        ),
        opened => {
            opened.with_context(|| format!("the key store {}", config.store.path.display()))?
        }
    };
    let generation = hierarchy.health().generation;
    if seen == 0 && generation > 1 {
        tracing::warn!(
            generation,
            "the audit log is new and the key store is not: whether the store was rolled back cannot \
             be told this time; if nobody moved the log aside, find out who did"
        );
    }
    for warning in &hierarchy.root().warnings {
        tracing::warn!(warning, "the token");
    }
    Ok((Operations::start(hierarchy, policy, audit).await?, token))
}
