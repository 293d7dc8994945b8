//! What every operation needs: the tree, the policy, the audit log, the counters.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use claviger_audit::{
    AuditDecision, AuditHealth, AuditLog, AuditResult, Digest, Entry, KeyedHasher, Proof,
    ServiceEvent,
};
use claviger_hierarchy::{Hierarchy, HierarchyHealth};
use claviger_kms::{KeyVersion, KmsError, RequestId, Result, Timestamp};
use claviger_policy::Policy;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::{
    Caller, LocalKms, alerts::Alerts, campaigns::Campaigns, emergency::Owed, metrics::Metrics,
    policy_in_force::PolicyInForce, readiness::ReadinessCache, schedule::Schedule, usage::Usage,
};

/// The service without its doors.
#[derive(Debug)]
pub struct Operations {
    pub(crate) hierarchy: Arc<Hierarchy>,
    pub(crate) campaigns: Campaigns,
    pub(crate) usage: Usage,
    pub(crate) schedule: Schedule,
    pub(crate) policy: ArcSwap<PolicyInForce>,
    pub(crate) audit: AuditLog,
    pub(crate) hasher: KeyedHasher,
    pub(crate) metrics: Metrics,
    pub(crate) readiness: ReadinessCache,
    pub(crate) under_way: TaskTracker,
    pub(crate) places: Arc<Semaphore>,
    started_at: Timestamp,
    pub(crate) alerts: Alerts,
    pub(crate) owed: Owed,
}

/// State of the service, for operators.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct Status {
    /// Release of the program.
    pub version: &'static str,
    /// When it started.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub started_at: Timestamp,
    /// Fingerprint of the root.
    pub root_fingerprint: String,
    /// SHA-256 of the policy in force.
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^[0-9a-f]{64}$"))]
    pub policy_hash: Digest,
    /// Tree and cache.
    pub hierarchy: HierarchyHealth,
    /// Audit log.
    pub audit: AuditHealth,
}

impl Operations {
    /// Wires the parts and records that the service started.
    ///
    /// # Errors
    /// [`KmsError::Unavailable`] when the audit log cannot be written or the key store not be read.
    pub async fn start(hierarchy: Hierarchy, policy: Policy, audit: AuditLog) -> Result<Arc<Self>> {
        let policy = ArcSwap::from_pointee(PolicyInForce::new(policy)?);
        let (key, number) = hierarchy.audit_hash_key();
        let version = KeyVersion::new(number)
            .ok_or_else(|| KmsError::unavailable("the record-MAC key has number 0"))?;
        let campaigns = Campaigns::load(&hierarchy).await?;
        let hierarchy = Arc::new(hierarchy);
        let operations = Arc::new(Self {
            metrics: Metrics::new(),
            hasher: KeyedHasher::new(key, version),
            readiness: ReadinessCache::default(),
            under_way: TaskTracker::new(),
            places: Arc::new(Semaphore::new(MOST_UNDER_WAY)),
            started_at: Timestamp::now(),
            alerts: Alerts::start(),
            owed: Owed::default(),
            campaigns,
            schedule: Schedule::new()?,
            usage: Usage::start(Arc::clone(&hierarchy)),
            hierarchy,
            policy,
            audit,
        });
        let logged = operations.hierarchy.logged_generation();
        operations.replay_emergencies(logged).await?;
        // From here on a store older than this one is noticed, whatever the log lacked before.
        let generation = operations.hierarchy.health().generation;
        operations.record_event(ServiceEvent::Started, Some(generation)).await?;
        Ok(operations)
    }

    /// The key service as this caller sees it.
    #[must_use]
    pub fn local_kms(self: &Arc<Self>, caller: Caller) -> LocalKms {
        LocalKms::new(Arc::clone(self), caller)
    }

    /// State of the service.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            version: env!("CARGO_PKG_VERSION"),
            started_at: self.started_at,
            root_fingerprint: self.hierarchy.root().fingerprint.clone(),
            policy_hash: self.policy.load().hash,
            hierarchy: self.hierarchy.health(),
            audit: self.audit.health(),
        }
    }

    /// Counters and gauges in the OpenMetrics text format.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        self.metrics.text(&self.hierarchy.health(), &self.audit.health())
    }

    /// Waits for the operations under way, writes exact usage counters, records that the service stops,
    /// closes the audit log and wipes
    /// all keys. Call it when the doors are closed.
    pub async fn stop(&self) {
        self.under_way.close();
        if tokio::time::timeout(LONGEST_STOP, self.under_way.wait()).await.is_err() {
            let left = self.under_way.len();
            tracing::warn!(left, "operations still wait for the token or the store; stopping");
        }
        if let Err(error) = self.pay_the_log().await {
            tracing::warn!(%error, "changes made in an emergency are recorded at the next start");
        }
        self.usage.stop().await;
        self.schedule.resign(&self.hierarchy).await;
        if let Err(error) = self.record_event(ServiceEvent::Stopping, None).await {
            tracing::warn!(%error, "the stop could not be recorded");
        }
        self.audit.close().await;
        self.hierarchy.forget_keys();
    }

    async fn record_event(&self, event: ServiceEvent, generation: Option<u64>) -> Result<()> {
        let mut entry = self.event(event, self.policy.load().hash)?;
        entry.store_generation = generation;
        self.audit.append(entry).await.map_err(|error| {
            tracing::error!(%error, "the audit log cannot be written");
            error
        })?;
        Ok(())
    }

    /// The entry of something that happened to the service, under the policy of this hash.
    pub(crate) fn event(&self, event: ServiceEvent, policy: Digest) -> Result<Entry> {
        let request = RequestId::make_random()?;
        let mut entry = Entry::new(request, event, AuditDecision::Internal, AuditResult::Done);
        entry.proof = Proof::Internal;
        entry.policy_hash = Some(policy);
        Ok(entry)
    }
}

/// Operations under way at once; further ones wait for a place. An operation outlives a caller who went
/// away, so connections alone do not bound them.
const MOST_UNDER_WAY: usize = 2048;

/// Longest wait for operations under way when stopping: more than the default deadlines of token and log.
const LONGEST_STOP: Duration = Duration::from_secs(15);
