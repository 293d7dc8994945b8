//! Campaigns, usage counters and rotation by schedule over a real token, store and audit log, started as
//! often as a test needs.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod campaigns;
mod faults;
mod schedule;
mod usage;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use claviger_audit::{AuditConfig, AuditLog, Record, read_segment, segments};
use claviger_hierarchy::{Hierarchy, HierarchyConfig, QuarantineOrder, init_root};
use claviger_keystore::{
    Commit, Document, KeyStore, NamedDocument, PutDocument, SqliteStore, StoreError, StoredHead,
    StoredRecord,
};
use claviger_kms::{
    Binding, CreateKey, CreateVersion, Decrypt, GenerateDataKey, KeyId, KeyManagementService as _,
    KeyPath, QuarantineReason, RequestId, Result, Rewrap, Rewrapped, Timestamp,
};
use claviger_operations::{Caller, LocalKms, Operations};
use claviger_policy::{Policy, Question};
use claviger_root_key::{Pkcs11Token, Token};
use claviger_testkit::SoftHsm;

const POLICY: &str = r#"
[[rule]]
name = "all"
principals = ["local:admin", "local:admin-*"]
actions = ["*"]
keys = ["**"]

[[rule]]
name = "runner"
principals = ["local:runner"]
actions = ["rewrap"]
keys = ["us/**"]
"#;

/// A token after its ceremony, and a folder for store and log.
struct Bench {
    hsm: SoftHsm,
    token: Arc<dyn Token>,
    folder: tempfile::TempDir,
    crashes: AtomicU32,
}

impl Bench {
    async fn new() -> Self {
        let hsm = SoftHsm::new();
        let token = Arc::new(Pkcs11Token::open(&hsm.token_config()).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let bench = Self { hsm, token, folder, crashes: AtomicU32::new(0) };
        init_root(bench.token.as_ref(), bench.store().as_ref()).await.unwrap();
        bench
    }

    /// A service with the keys `eu` and `us`.
    async fn with_keys() -> (Self, Arc<Operations>) {
        let bench = Self::new().await;
        let operations = bench.start().await;
        for key in ["eu", "us"] {
            kms(&operations, "admin").create_key(CreateKey::at(path(key))).await.unwrap();
        }
        (bench, operations)
    }

    fn store(&self) -> Arc<dyn KeyStore> {
        Arc::new(SqliteStore::open(&self.folder.path().join("keys.db")).unwrap())
    }

    async fn start(&self) -> Arc<Operations> {
        self.start_on(self.store()).await
    }

    async fn start_on(&self, store: Arc<dyn KeyStore>) -> Arc<Operations> {
        let mut audit = AuditConfig::in_directory(self.audit());
        audit.segment_bytes = 4 << 20;
        audit.reserve_bytes = 1 << 20;
        let (audit, _) = AuditLog::open(audit).await.unwrap();
        let tree = self.tree_on(store).await;
        Operations::start(tree, Policy::parse(POLICY).unwrap(), audit).await.unwrap()
    }

    /// Ends a service as `kill -9` does: nothing is written any more. The log is left to its writer, so
    /// the next one is begun beside it.
    async fn crash(&self, operations: Arc<Operations>) {
        self.crashes.fetch_add(1, SeqCst);
        let alone = Arc::into_inner(operations).expect("nobody else has the service");
        drop(alone);
        // A write that was under way is carried to its end.
        while SqliteStore::open(&self.folder.path().join("keys.db")).is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn audit(&self) -> std::path::PathBuf {
        self.folder.path().join(format!("audit-{}", self.crashes.load(SeqCst)))
    }

    fn records(&self) -> Vec<Record> {
        let files = segments(self.audit()).unwrap();
        files.iter().flat_map(|file| read_segment(file).unwrap().map(Result::unwrap)).collect()
    }

    /// Stops all versions of a key and gives it a new one, while no service runs.
    async fn quarantine(&self, key: &str, drain: bool) {
        let tree = self.tree_on(self.store()).await;
        let policy = Policy::parse(POLICY).unwrap();
        let (principal, key) = ("local:admin".parse().unwrap(), path(key));
        let context = Default::default();
        let question =
            Question { principal: &principal, key: &key, context: &context, at: Timestamp::now() };
        let permit = policy.permit(&question).unwrap();
        let order = QuarantineOrder {
            reason: QuarantineReason::MisuseSuspected,
            drain,
            version: None,
            request: RequestId::make_random().unwrap(),
            idempotency_key: None,
        };
        tree.stop(std::slice::from_ref(&permit), &order).await.unwrap();
        drop(tree.replace_stopped(&permit, &order).await.unwrap());
    }

    async fn tree_on(&self, store: Arc<dyn KeyStore>) -> Hierarchy {
        let mut config = HierarchyConfig::default();
        config.require_locked = false;
        Hierarchy::open(Arc::clone(&self.token), store, config).await.unwrap()
    }
}

fn kms(operations: &Arc<Operations>, who: &str) -> LocalKms {
    operations.local_kms(Caller::in_process(format!("local:{who}").parse().unwrap()).unwrap())
}

fn path(text: &str) -> KeyPath {
    text.parse().unwrap()
}

async fn data_key(kms: &LocalKms, key: &str) -> Result<Vec<u8>> {
    let request = GenerateDataKey { key: path(key), binding: Binding::default() };
    Ok(kms.generate_wrapped_data_key(request).await?.ciphertext)
}

async fn decrypt(kms: &LocalKms, ciphertext: &[u8]) -> Result<()> {
    let request = Decrypt { ciphertext: ciphertext.to_vec(), binding: Binding::default() };
    kms.decrypt(request).await.map(drop)
}

async fn rewrap(
    kms: &LocalKms,
    ciphertext: &[u8],
    campaign: Option<claviger_kms::CampaignId>,
) -> Result<Rewrapped> {
    let ciphertext = ciphertext.to_vec();
    kms.rewrap(Rewrap { ciphertext, binding: Binding::default(), campaign }).await
}

async fn rotate(kms: &LocalKms, key: &str) {
    let request = CreateVersion { key: path(key), idempotency_key: None };
    kms.rotate(request).await.unwrap();
}

/// A store whose documents cannot be written, or are written and the reply is lost.
#[derive(Debug)]
struct FailingStore {
    store: Arc<dyn KeyStore>,
    refuses: AtomicBool,
    loses_replies: AtomicBool,
}

impl FailingStore {
    fn over(store: Arc<dyn KeyStore>) -> Arc<Self> {
        let (refuses, loses_replies) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { store, refuses, loses_replies })
    }
}

fn failure() -> StoreError {
    StoreError::Unavailable { reason: "the disk is full".to_owned() }
}

#[async_trait]
impl KeyStore for FailingStore {
    async fn head(&self) -> Result<Option<StoredHead>, StoreError> {
        self.store.head().await
    }
    async fn record(&self, id: KeyId) -> Result<Option<StoredRecord>, StoreError> {
        self.store.record(id).await
    }
    async fn records(
        &self,
        after: Option<KeyId>,
        limit: usize,
    ) -> Result<Vec<StoredRecord>, StoreError> {
        self.store.records(after, limit).await
    }
    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        self.store.commit(commit).await
    }
    async fn document(&self, name: &str) -> Result<Option<Document>, StoreError> {
        self.store.document(name).await
    }
    async fn documents(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<NamedDocument>, StoreError> {
        self.store.documents(prefix, after, limit).await
    }
    async fn put_documents(&self, puts: Vec<PutDocument>) -> Result<(), StoreError> {
        if self.refuses.load(SeqCst) {
            return Err(failure());
        }
        let done = self.store.put_documents(puts).await;
        if self.loses_replies.swap(false, SeqCst) { Err(failure()) } else { done }
    }
    async fn remove_document(&self, name: &str, expected_revision: u64) -> Result<(), StoreError> {
        self.store.remove_document(name, expected_revision).await
    }
    async fn purge(&self) -> Result<(), StoreError> {
        self.store.purge().await
    }
    fn watch(&self) -> tokio::sync::watch::Receiver<u64> {
        self.store.watch()
    }
    async fn lease(&self, name: &str, holder: &str, term: Duration) -> Result<bool, StoreError> {
        self.store.lease(name, holder, term).await
    }
}
