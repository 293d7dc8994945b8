//! A slow token and a store whose replies get lost: the real ones, with a delay or a cut in front.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use claviger_hierarchy::{Hierarchy, HierarchyConfig, add_root_version, prune_root};
use claviger_keystore::{
    Commit, Document, KeyStore, NamedDocument, PutDocument, StoreError, StoredHead, StoredRecord,
};
use claviger_kms::{Derivation, KeyId, KeyVersion, KmsError, SecretBytes, SecretKey, VersionState};
use claviger_root_key::{ObjectId, ObjectKind, ObjectReport, Token, TokenError, TokenReport};

use crate::{Site, binding, request};

#[derive(Debug)]
struct SlowToken {
    token: Arc<dyn Token>,
    delay_ms: AtomicU64,
    derivations: AtomicU64,
    keeps_objects: AtomicBool,
}

#[async_trait]
impl Token for SlowToken {
    async fn derive(&self, object: ObjectId, of: &Derivation) -> Result<SecretKey, TokenError> {
        self.derivations.fetch_add(1, SeqCst);
        tokio::time::sleep(Duration::from_millis(self.delay_ms.load(SeqCst))).await;
        self.token.derive(object, of).await
    }
    async fn sign_checkpoint(&self, object: ObjectId, text: &str) -> Result<[u8; 64], TokenError> {
        self.token.sign_checkpoint(object, text).await
    }
    async fn random(&self, length: usize) -> Result<SecretBytes, TokenError> {
        self.token.random(length).await
    }
    async fn make_object(&self, kind: ObjectKind) -> Result<ObjectReport, TokenError> {
        self.token.make_object(kind).await
    }
    async fn inspect_object(
        &self,
        kind: ObjectKind,
        object: ObjectId,
    ) -> Result<ObjectReport, TokenError> {
        self.token.inspect_object(kind, object).await
    }
    async fn destroy_object(&self, kind: ObjectKind, object: ObjectId) -> Result<(), TokenError> {
        if self.keeps_objects.load(SeqCst) {
            let code = "CKR_DEVICE_ERROR".to_owned();
            return Err(TokenError::Unreachable { function: "C_DestroyObject", code });
        }
        self.token.destroy_object(kind, object).await
    }
    async fn report(&self) -> Result<TokenReport, TokenError> {
        self.token.report().await
    }
    async fn forget_pin_refusal(&self) {
        self.token.forget_pin_refusal().await;
    }
}

#[derive(Debug)]
struct LossyStore {
    store: Arc<dyn KeyStore>,
    loses_replies: AtomicBool,
    unreadable: AtomicBool,
}

fn lost() -> StoreError {
    StoreError::Unavailable { reason: "the line is cut".to_owned() }
}

#[async_trait]
impl KeyStore for LossyStore {
    async fn head(&self) -> Result<Option<StoredHead>, StoreError> {
        if self.unreadable.load(SeqCst) { Err(lost()) } else { self.store.head().await }
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
        let done = self.store.commit(commit).await;
        if self.loses_replies.load(SeqCst) { Err(lost()) } else { done }
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
        self.store.put_documents(puts).await
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

fn version(number: u32) -> KeyVersion {
    KeyVersion::new(number).unwrap()
}

async fn over_slow_token(site: &Site) -> (Arc<SlowToken>, Hierarchy) {
    let token = Arc::new(SlowToken {
        token: Arc::clone(&site.token),
        delay_ms: AtomicU64::new(0),
        derivations: AtomicU64::new(0),
        keeps_objects: AtomicBool::new(false),
    });
    let config = HierarchyConfig::default();
    let tree = Hierarchy::open(Arc::clone(&token) as _, site.store(), config).await.unwrap();
    (token, tree)
}

async fn over_lossy_store(site: &Site) -> (Arc<LossyStore>, Hierarchy) {
    let store = Arc::new(LossyStore {
        store: site.store(),
        loses_replies: AtomicBool::new(false),
        unreadable: AtomicBool::new(false),
    });
    let config = HierarchyConfig::default();
    let tree =
        Hierarchy::open(Arc::clone(&site.token), Arc::clone(&store) as _, config).await.unwrap();
    (store, tree)
}

/// A decrypt was waiting for the token while an operator disabled the version: it gave out the plaintext
/// after the disable had been answered, and its late load put the key back into the cache.
#[tokio::test]
async fn a_use_that_waits_for_the_token_ends_with_the_disable() {
    let site = Site::new().await;
    let (token, tree) = over_slow_token(&site).await;
    site.create(&tree, "eu").await.unwrap();
    let (_, wrapped) = site.data_key(&tree, "eu").await;
    site.rotate(&tree, "eu").await.unwrap();
    tree.forget_keys();
    token.delay_ms.store(300, SeqCst);
    let waiting = site.unwrap(&tree, "eu", &wrapped);
    let disabling = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        tree.disable_version(site.permit("eu"), version(1), request()).await.unwrap();
    };
    let (opened, ()) = futures::future::join(waiting, disabling).await;
    assert!(matches!(opened, Err(KmsError::KeyUnusable { .. })), "{opened:?}");
    assert_eq!(tree.health().cached_keks, 0, "the disabled key stayed in the cache");
}

#[tokio::test]
async fn a_disable_does_not_wait_for_the_token() {
    let site = Site::new().await;
    let (token, tree) = over_slow_token(&site).await;
    site.create(&tree, "eu").await.unwrap();
    site.rotate(&tree, "eu").await.unwrap();
    token.delay_ms.store(1000, SeqCst);
    let slow = async {
        for region in ["a", "b", "c"] {
            site.create(&tree, region).await.unwrap();
        }
    };
    let begun = Instant::now();
    let disabling = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        tree.disable_version(site.permit("eu"), version(1), request()).await.unwrap();
        begun.elapsed()
    };
    let ((), elapsed) = futures::future::join(slow, disabling).await;
    assert!(elapsed < Duration::from_millis(900), "the disable waited {elapsed:?}");
}

#[tokio::test]
async fn a_disable_whose_reply_is_lost_is_in_force() {
    let site = Site::new().await;
    let (store, tree) = over_lossy_store(&site).await;
    site.create(&tree, "eu").await.unwrap();
    let (_, wrapped) = site.data_key(&tree, "eu").await;
    site.rotate(&tree, "eu").await.unwrap();
    store.loses_replies.store(true, SeqCst);
    // The store can be read again: the change is found to have happened.
    tree.disable_version(site.permit("eu"), version(1), request()).await.unwrap();
    let refused = site.unwrap(&tree, "eu", &wrapped).await.unwrap_err();
    assert!(matches!(refused, KmsError::KeyUnusable { .. }), "{refused}");
}

/// The reply was lost and the store could not be read: the version went on opening until the next write.
#[tokio::test]
async fn while_the_last_change_is_in_doubt_no_key_is_used() {
    let site = Site::new().await;
    let (store, tree) = over_lossy_store(&site).await;
    site.create(&tree, "eu").await.unwrap();
    let (_, wrapped) = site.data_key(&tree, "eu").await;
    site.rotate(&tree, "eu").await.unwrap();
    store.loses_replies.store(true, SeqCst);
    store.unreadable.store(true, SeqCst);
    let lost = tree.disable_version(site.permit("eu"), version(1), request()).await.unwrap_err();
    assert!(lost.is_retryable(), "{lost}");
    let refused = site.unwrap(&tree, "eu", &wrapped).await.unwrap_err();
    assert!(refused.is_retryable(), "{refused}");
    assert!(tree.check().await.1.is_err(), "it called itself ready");
    store.loses_replies.store(false, SeqCst);
    store.unreadable.store(false, SeqCst);
    let refused = site.unwrap(&tree, "eu", &wrapped).await.unwrap_err();
    assert!(matches!(refused, KmsError::KeyUnusable { .. }), "{refused}");
    let states: Vec<_> =
        tree.describe(site.permit("eu")).unwrap().versions.iter().map(|v| v.state).collect();
    assert_eq!(states, [VersionState::Disabled, VersionState::Primary]);
}

/// Who may rotate could undo a disable: a child left behind was moved from under the disabled version.
#[tokio::test]
async fn a_child_under_a_disabled_version_is_not_moved() {
    let site = Site::new().await;
    let tree = site.open().await;
    site.create(&tree, "eu").await.unwrap();
    site.create(&tree, "eu/users").await.unwrap();
    let (_, wrapped) = site.data_key(&tree, "eu/users").await;
    // Rotated, and interrupted before the child was moved.
    drop(tree.rotate(site.permit("eu"), None).await.unwrap());
    tree.disable_version(site.permit("eu"), version(1), request()).await.unwrap();
    let written = tree.rotate(site.permit("eu"), None).await.unwrap();
    let moved = tree.move_children(written.behind.as_ref().unwrap()).await.unwrap();
    assert!(moved.changes.is_empty() && moved.notice.is_some(), "{moved:?}");
    let refused = site.unwrap(&tree, "eu/users", &wrapped).await.unwrap_err();
    assert!(matches!(refused, KmsError::KeyUnusable { .. }), "{refused}");
    // Enabled again, it moves.
    tree.enable_version(site.permit("eu"), version(1), None).await.unwrap();
    site.move_children(&tree, &written).await.unwrap();
    assert!(tree.disable_version(site.permit("eu"), version(1), request()).await.is_ok());
    site.unwrap(&tree, "eu/users", &wrapped).await.unwrap();
}

#[tokio::test]
async fn more_children_than_one_commit_holds_are_all_moved() {
    let site = Site::new().await;
    let tree = site.open().await;
    site.create(&tree, "eu").await.unwrap();
    for n in 0..120 {
        site.create(&tree, &format!("eu/k{n}")).await.unwrap();
    }
    let written = tree.rotate(site.permit("eu"), None).await.unwrap();
    let behind = written.behind.as_ref().unwrap();
    let mut sizes = Vec::new();
    loop {
        let moved = tree.move_children(behind).await.unwrap();
        if moved.changes.is_empty() {
            break;
        }
        sizes.push(moved.changes.len());
    }
    assert_eq!(sizes, [50, 50, 20]);
    let permit = site.permit::<claviger_policy::action::DataKey>("eu/k119");
    tree.generate_data_key(permit, &binding("1")).await.unwrap();
}

#[tokio::test]
async fn many_callers_of_one_cold_key_cost_the_token_one_call() {
    let site = Site::new().await;
    let (token, tree) = over_slow_token(&site).await;
    site.create(&tree, "eu").await.unwrap();
    site.create(&tree, "eu/users").await.unwrap();
    let (plain, wrapped) = site.data_key(&tree, "eu/users").await;
    tree.forget_keys();
    token.delay_ms.store(50, SeqCst);
    token.derivations.store(0, SeqCst);
    let callers = (0..64).map(|_| site.unwrap(&tree, "eu/users", &wrapped));
    for opened in futures::future::join_all(callers).await {
        assert!(opened.unwrap().is_same_as(&plain));
    }
    assert_eq!(token.derivations.load(SeqCst), 1);
}

/// Once the facts no longer named a former root, a token that failed then would have kept it for ever.
#[tokio::test]
async fn a_former_root_that_the_token_could_not_destroy_is_destroyed_when_that_is_repeated() {
    let site = Site::new().await;
    let former = site.open().await.root().root_object;
    add_root_version(site.token.as_ref(), site.store().as_ref()).await.unwrap();
    let (token, tree) = over_slow_token(&site).await;
    let store = Arc::clone(tree.store());
    token.keeps_objects.store(true, SeqCst);
    assert!(prune_root(token.as_ref(), store.as_ref(), &tree).await.is_err());
    site.token.inspect_object(ObjectKind::Derivation, former).await.unwrap();
    drop((tree, store));

    let (token, tree) = over_slow_token(&site).await;
    let pruned = prune_root(token.as_ref(), tree.store().as_ref(), &tree).await.unwrap();
    assert_eq!(pruned, [former]);
    assert!(site.token.inspect_object(ObjectKind::Derivation, former).await.is_err());
}
