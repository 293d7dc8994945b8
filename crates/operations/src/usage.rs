//! Who used which key version how often, counted in memory and never less than what was acknowledged.
//!
//! Invariants: while the store can be written, a use is answered only when a count at least as high, and a time
//! at least as late, is durable in the document `usage/KEY-ID/VERSION` of the key store. Documents are written
//! ahead of need, by a task of its own: a block of uses and an hour beyond what was used, so that a request waits
//! only for the first use of a version by a caller, or when the store is too slow. A stop writes exact numbers;
//! after a crash counting goes on from what is durable. While the store cannot be written uses go on uncounted in the store,
//! since keys in memory serve then: they are counted in memory, and written when the store is back.
//!
//! Known limits: a crash while the store cannot be written leaves counts too low, by what only the audit log
//! has then. Documents have a MAC but are not under the store's head, so that whoever writes the
//! store's file can put back lower numbers, while the service is stopped. Callers beyond
//! [`VersionUsage::MAX_CALLERS`] are counted as one.

mod counters;
mod pending;
mod writer;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use claviger_hierarchy::Hierarchy;
use claviger_kms::{KeyId, KeyVersion, KmsError, Principal, Result, Timestamp, VersionUsage};
use tokio::sync::mpsc;

pub(crate) use counters::UseKind;
use counters::{StoredUsage, VersionCounters};
pub(crate) use pending::Pending;
use writer::Writer;

/// Counters of every version used since the start.
#[derive(Debug)]
pub(crate) struct Usage {
    shards: [RwLock<Shard>; SHARDS],
    hierarchy: Arc<Hierarchy>,
    asked: mpsc::UnboundedSender<Arc<VersionCounters>>,
    writer: Writer,
}

type Shard = HashMap<(KeyId, KeyVersion), Arc<VersionCounters>>;

impl Usage {
    pub(crate) fn start(hierarchy: Arc<Hierarchy>) -> Self {
        let (asked, asks) = mpsc::unbounded_channel();
        let writer = Writer::start(asks, &hierarchy);
        Self { shards: std::array::from_fn(|_| RwLock::default()), hierarchy, asked, writer }
    }

    /// Counts one use. It may be answered once what is returned is durable.
    pub(crate) async fn count(
        &self,
        key_id: KeyId,
        version: KeyVersion,
        principal: &Principal,
        kind: UseKind,
    ) -> Result<Pending> {
        let counters = match self.cached(key_id, version) {
            Some(counters) => counters,
            None => self.load(key_id, version).await?,
        };
        Ok(Pending::count(counters, principal, kind, &self.asked, &self.writer.outage))
    }

    /// The uses of a version.
    pub(crate) async fn of_version(
        &self,
        key_id: KeyId,
        version: KeyVersion,
    ) -> Result<VersionUsage> {
        if let Some(counters) = self.cached(key_id, version) {
            return Ok(counters.now());
        }
        let name = counters::name_of(key_id, version);
        match self.hierarchy.document::<StoredUsage>(&name).await? {
            None => Ok(VersionUsage::none(version)),
            Some(stored) => stored.value.of(version).ok_or_else(|| {
                KmsError::unavailable("the usage counters are not ones this release reads")
            }),
        }
    }

    /// The uses of a version, of which exact numbers are written, so that a crash does not make them higher.
    pub(crate) async fn settled(&self, key_id: KeyId, version: KeyVersion) -> Result<VersionUsage> {
        if let Some(counters) = self.cached(key_id, version) {
            writer::save_exactly(&self.hierarchy, &[counters]).await;
        }
        self.of_version(key_id, version).await
    }

    /// Writes exact numbers. Nothing is counted any more.
    pub(crate) async fn stop(&self) {
        self.writer.stop().await;
        let mut all = Vec::new();
        for shard in &self.shards {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            all.extend(shard.values().cloned());
        }
        writer::save_exactly(&self.hierarchy, &all).await;
    }

    fn cached(&self, key_id: KeyId, version: KeyVersion) -> Option<Arc<VersionCounters>> {
        let shard = self.shard(key_id).read().unwrap_or_else(PoisonError::into_inner);
        shard.get(&(key_id, version)).cloned()
    }

    /// Counters that go on from what is stored. Counting that was altered or damaged begins anew, which its
    /// `counted_since` and the log say.
    async fn load(&self, key_id: KeyId, version: KeyVersion) -> Result<Arc<VersionCounters>> {
        let name = counters::name_of(key_id, version);
        let (revision, stored) = match self.hierarchy.document::<StoredUsage>(&name).await {
            Ok(Some(stored)) => (Some(stored.revision), stored.value.of(version)),
            Ok(None) => (None, None),
            // Fails again if it is the store that is out of reach.
            Err(_) => (self.hierarchy.document_revision(&name).await?, None),
        };
        if stored.is_none() && revision.is_some() {
            tracing::error!(name, "usage counters are not readable and begin anew");
        }
        let loaded = VersionCounters::new(key_id, version, revision, stored, Timestamp::now());
        let mut shard = self.shard(key_id).write().unwrap_or_else(PoisonError::into_inner);
        // Whoever came first stays: it may have counted already.
        Ok(Arc::clone(shard.entry((key_id, version)).or_insert(Arc::new(loaded))))
    }

    fn shard(&self, key_id: KeyId) -> &RwLock<Shard> {
        let [first, ..] = key_id.as_bytes();
        let [zero, ..] = &self.shards;
        self.shards.get(usize::from(*first) % SHARDS).unwrap_or(zero)
    }
}

const SHARDS: usize = 16;
