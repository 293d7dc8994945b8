//! The tree, open: the token, the store, the verified records and the cache of unwrapped keys.

use std::{
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use claviger_keystore::{KeyRecord, KeyStore};
use claviger_kms::{KeyId, KeyMetadata, KeyPath, KmsError, Result, SecretKey};
use claviger_policy::{Permit, action};
use claviger_root_key::Token;
use serde::Serialize;

use crate::{
    MemoryProtection, OpenError, Pace, RootSummary, arena::Arena, cache::KekCache,
    facts::RootFacts, record_mac::RecordMac, root::VerifiedRoot, tree::Tree,
};

/// How a tree is opened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HierarchyConfig {
    /// Most unwrapped KEKs held at once; default 4,096.
    pub cache_capacity: usize,
    /// How long an unwrapped KEK may be held; default one hour.
    pub cache_time_to_live: Duration,
    /// Whether a refusal to lock memory stops the start; default true.
    pub require_locked: bool,
    /// The lowest generation the store may have: the highest the audit log has seen.
    pub lowest_generation: u64,
    /// The root's fingerprint, if the operator pinned it.
    pub root_fingerprint: Option<String>,
    /// How long a day is; default real.
    pub pace: Pace,
}

impl Default for HierarchyConfig {
    fn default() -> Self {
        Self {
            cache_capacity: 4096,
            cache_time_to_live: Duration::from_secs(3600),
            require_locked: true,
            lowest_generation: 0,
            root_fingerprint: None,
            pace: Pace::REAL,
        }
    }
}

/// The tree of region and service keys under one root.
#[derive(Debug)]
pub struct Hierarchy {
    pub(crate) token: Arc<dyn Token>,
    pub(crate) store: Arc<dyn KeyStore>,
    pub(crate) facts: RootFacts,
    pub(crate) mac: RecordMac,
    pub(crate) cache: KekCache,
    pub(crate) loading: Vec<tokio::sync::Mutex<()>>,
    pub(crate) writing: tokio::sync::Mutex<()>,
    /// A commit's outcome is not known: nothing is done until the store was read again.
    pub(crate) in_doubt: AtomicBool,
    pub(crate) pace: Pace,
    logged: u64,
    tree: RwLock<Tree>,
    summary: RootSummary,
    memory: MemoryProtection,
    capacity: usize,
}

/// What the health report says of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct HierarchyHealth {
    /// Keys in the tree.
    pub keys: usize,
    /// Generation of the store.
    pub generation: u64,
    /// Unwrapped KEKs held now.
    pub cached_keks: usize,
    /// Most unwrapped KEKs held at once.
    pub cache_capacity: usize,
    /// How their memory is protected.
    pub memory: MemoryProtection,
}

impl Hierarchy {
    /// Verifies root, head and every record, and opens the tree.
    ///
    /// # Errors
    /// [`OpenError`]: no ceremony yet, another root, a rolled back, altered or damaged store, memory
    /// that could not be locked, a token or store out of reach.
    pub async fn open(
        token: Arc<dyn Token>,
        store: Arc<dyn KeyStore>,
        config: HierarchyConfig,
    ) -> Result<Self, OpenError> {
        let arena =
            Arena::map(config.cache_capacity).map_err(|source| OpenError::Memory { source })?;
        let root = VerifiedRoot::verify(token.as_ref(), store.as_ref()).await?;
        let memory = weakest(arena.protection(), root.mac.protection());
        if config.require_locked && memory == MemoryProtection::NotLocked {
            return Err(OpenError::Memory {
                source: std::io::Error::other(
                    "the operating system refuses to lock it: raise RLIMIT_MEMLOCK (LimitMEMLOCK= in a \
                 systemd unit, ulimit -l in a shell) to 1 MiB, or set require-locked = false",
                ),
            });
        }
        let summary = root.summary()?;
        if let Some(pinned) = config.root_fingerprint
            && pinned != summary.fingerprint
        {
            return Err(OpenError::WrongRoot {
                reason: format!(
                    "its fingerprint is {}, the configuration demands {pinned}",
                    summary.fingerprint
                ),
            });
        }
        if root.head.generation < config.lowest_generation {
            return Err(OpenError::RolledBack {
                found: root.head.generation,
                expected: config.lowest_generation,
            });
        }
        let tree = load(store.as_ref(), &root.facts, &root.mac).await?;
        Ok(Self {
            token,
            store,
            facts: root.facts,
            mac: root.mac,
            cache: KekCache::new(arena, config.cache_time_to_live),
            loading: (0..LOADING_LOCKS).map(|_| tokio::sync::Mutex::new(())).collect(),
            writing: tokio::sync::Mutex::new(()),
            in_doubt: AtomicBool::new(false),
            pace: config.pace,
            logged: config.lowest_generation,
            tree: RwLock::new(tree),
            summary,
            memory,
            capacity: config.cache_capacity,
        })
    }

    /// The root, as verified at start.
    #[must_use]
    pub fn root(&self) -> &RootSummary {
        &self.summary
    }

    /// The highest generation that the audit log named when this was opened.
    #[must_use]
    pub fn logged_generation(&self) -> u64 {
        self.logged
    }

    /// The store, for documents beside the key records.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn KeyStore> {
        &self.store
    }

    /// How long a day is.
    #[must_use]
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// The path of a key, by its id. Says nothing of whether the caller may know.
    #[must_use]
    pub fn path_of(&self, id: KeyId) -> Option<KeyPath> {
        self.tree().path_of(id).cloned()
    }

    /// The id of a key, by its path. Says nothing of whether the caller may know.
    #[must_use]
    pub fn id_of(&self, path: &KeyPath) -> Option<KeyId> {
        self.tree().at(path).map(|record| record.id)
    }

    /// Paths in order, at or under `under`, after `after`: candidates for a list, each to be permitted.
    #[must_use]
    pub fn paths(
        &self,
        under: Option<&KeyPath>,
        after: Option<&KeyPath>,
        most: usize,
    ) -> Vec<KeyPath> {
        self.tree().paths(under, after).take(most).cloned().collect()
    }

    /// The key and its versions.
    ///
    /// # Errors
    /// [`KmsError::NotFound`].
    pub fn describe(&self, permit: Permit<action::ReadMetadata>) -> Result<KeyMetadata> {
        Ok(self.record(permit.key())?.metadata())
    }

    /// State of tree and cache.
    #[must_use]
    pub fn health(&self) -> HierarchyHealth {
        let tree = self.tree();
        HierarchyHealth {
            keys: tree.len(),
            generation: tree.generation(),
            cached_keks: self.cache.len(),
            cache_capacity: self.capacity,
            memory: self.memory,
        }
    }

    /// Whether the token and the store answer now.
    pub async fn check(&self) -> (Result<()>, Result<()>) {
        (self.token.check().await.map_err(KmsError::from), self.check_store().await)
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn check_store(&self) -> Result<()> {
        self.certain().await?;
        self.store.check().await.map_err(KmsError::from)
    }

    /// A key for the audit log's keyed hashes, and its number.
    #[must_use]
    pub fn audit_hash_key(&self) -> (SecretKey, u32) {
        (self.mac.audit_hash_key(), self.mac.number())
    }

    /// Wipes expired KEKs; to be called every few seconds.
    pub fn sweep(&self) {
        self.cache.sweep();
    }

    /// Wipes all unwrapped KEKs: at shutdown.
    pub fn forget_keys(&self) {
        self.cache.clear();
    }

    pub(crate) fn record(&self, path: &KeyPath) -> Result<Arc<KeyRecord>> {
        self.tree().at(path).ok_or_else(|| KmsError::not_found(format!("the key {path}")))
    }

    pub(crate) fn tree(&self) -> RwLockReadGuard<'_, Tree> {
        self.tree.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tree_mut(&self) -> RwLockWriteGuard<'_, Tree> {
        self.tree.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the tree in memory is what the store holds; if a commit left that open, the store is read
    /// again first.
    pub(crate) async fn certain(&self) -> Result<()> {
        if !self.in_doubt.load(Ordering::Acquire) {
            return Ok(());
        }
        let _writing = self.writing.lock().await;
        self.settle().await
    }

    /// As [`certain`](Self::certain), for who holds the writing lock.
    pub(crate) async fn settle(&self) -> Result<()> {
        if !self.in_doubt.load(Ordering::Acquire) {
            return Ok(());
        }
        let reloaded = load(self.store.as_ref(), &self.facts, &self.mac).await.and_then(|fresh| {
            let known = self.tree().generation();
            if fresh.generation() < known {
                return Err(OpenError::RolledBack { found: fresh.generation(), expected: known });
            }
            Ok(fresh)
        });
        match reloaded {
            Ok(fresh) => {
                *self.tree_mut() = fresh;
                self.in_doubt.store(false, Ordering::Release);
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "the key store could not be read again");
                Err(KmsError::unavailable(
                    "whether the last change was stored is not known, and the key store cannot be \
                     read; keys are used again as soon as it can",
                ))
            }
        }
    }
}

async fn load(store: &dyn KeyStore, facts: &RootFacts, mac: &RecordMac) -> Result<Tree, OpenError> {
    const PAGE: usize = 500;
    let head =
        store.head().await?.ok_or_else(|| OpenError::tampered("the store head is missing"))?;
    let mut records = Vec::new();
    loop {
        let after = records.last().map(|record: &claviger_keystore::StoredRecord| record.id);
        let page = store.records(after, PAGE).await?;
        let last = page.len() < PAGE;
        records.extend(page);
        if last {
            break;
        }
    }
    Tree::verify(facts.store_id, mac, &head, records)
}

fn weakest(one: MemoryProtection, other: MemoryProtection) -> MemoryProtection {
    use MemoryProtection::{Locked, NotLocked, SecretMemory};
    match (one, other) {
        (NotLocked, _) | (_, NotLocked) => NotLocked,
        (Locked, _) | (_, Locked) => Locked,
        (SecretMemory, SecretMemory) => SecretMemory,
    }
}

const LOADING_LOCKS: usize = 64;
