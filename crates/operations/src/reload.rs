//! Reloading: who may ask for it, what the audit log says of it, and the policy's turn.
//!
//! What else is reloaded (certificates, log level, PIN) is the service's own affair, behind [`Reload`].
//!
//! Invariant: a new policy is in force only after the record that names it is durable. If the log cannot
//! be written, the old one stays.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use claviger_audit::{AuditResult, Digest, ServiceEvent};
use claviger_kms::{Action, ErrorCode, Result};
use claviger_policy::{Policy, ServicePermit, action};
use serde::Serialize;

use crate::{
    LocalKms, Operations,
    attempt::{Attempt, Attempted, not_recorded},
    policy_in_force::PolicyInForce,
};

/// Reads again what can be replaced while the service runs.
#[async_trait]
pub trait Reload: Send + Sync + fmt::Debug {
    /// Takes all of it or, upon an error, nothing.
    ///
    /// # Errors
    /// What was not taken, why, and what to do.
    async fn reload(&self, asked: Asked) -> Result<Reloaded>;
}

/// On whose word a reload is done.
#[derive(Debug)]
pub enum Asked {
    /// The operating system let somebody send a signal.
    BySignal,
    /// The policy lets this caller.
    ByCaller(ServicePermit<action::Policy>),
}

/// What a reload came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reloaded {
    /// What was read again and is in force, by its keys in the configuration.
    pub reloaded: Vec<String>,
    /// SHA-256 of the policy in force.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub policy_hash: Digest,
    /// Keys of the configuration that have other values now and count only after a restart.
    pub needs_restart: Vec<String>,
}

impl Operations {
    /// Records that the configuration was read again, and the policy if it is another; then puts the policy
    /// in force. Requests that were decided before go on under the one they had.
    ///
    /// # Errors
    /// [`KmsError::Unavailable`](claviger_kms::KmsError::Unavailable) when the audit log cannot be written;
    /// then the old policy stays.
    pub async fn put_in_force(&self, policy: Policy) -> Result<Digest> {
        let next = PolicyInForce::new(policy)?;
        let hash = next.hash;
        let mut entries = Vec::new();
        if hash != self.policy.load().hash {
            entries.push(self.event(ServiceEvent::PolicyLoaded, hash)?);
        }
        entries.push(self.event(ServiceEvent::ConfigurationLoaded, hash)?);
        self.audit.append_all(entries).await.map_err(not_recorded)?;
        self.policy.store(Arc::new(next));
        Ok(hash)
    }

    /// Records that a reload was refused, for its policy or for something else.
    pub async fn record_refused_reload(&self, for_its_policy: bool) {
        let event = match for_its_policy {
            true => ServiceEvent::PolicyRefused,
            false => ServiceEvent::ConfigurationRefused,
        };
        let entry = self.event(event, self.policy.load().hash).map(|mut entry| {
            entry.result = AuditResult::Failed(ErrorCode::InvalidRequest);
            entry
        });
        let recorded = match entry {
            Ok(entry) => self.audit.append(entry).await.map(drop).map_err(Into::into),
            Err(error) => Err(error),
        };
        if let Err(error) = recorded {
            tracing::warn!(%error, "the refused reload could not be recorded");
        }
    }
}

impl LocalKms {
    /// Reloads the service, if the policy lets this caller: an intent before, an outcome after, and between
    /// them what [`Operations::put_in_force`] records.
    ///
    /// # Errors
    /// [`KmsError::Denied`](claviger_kms::KmsError::Denied), or those of [`Reload::reload`].
    pub async fn reload(&self, reload: Arc<dyn Reload>) -> Result<Reloaded> {
        self.to_the_end(|kms| async move { kms.reload_recorded(reload.as_ref()).await }).await
    }

    async fn reload_recorded(&self, reload: &dyn Reload) -> Result<Reloaded> {
        let mut attempt = Attempt::begin(self, Action::Policy);
        let permit = match attempt.permit_service::<action::Policy>(self) {
            Ok(permit) => permit,
            Err(denied) => {
                return Attempted { result: Err(denied), attempt }.recorded(self).await;
            }
        };
        self.in_two_records(attempt, async || reload.reload(Asked::ByCaller(permit)).await).await
    }
}
