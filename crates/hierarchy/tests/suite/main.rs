//! The tree over a real SoftHSM2 token and a real SQLite store.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

mod ceremony;
mod damage;
mod data;
mod faults;
mod lifecycle;
mod memory;
mod quarantine;
mod root_rotation;
mod versions;

use std::{path::PathBuf, sync::Arc};

use claviger_hierarchy::{Hierarchy, HierarchyConfig, OpenError, RootSummary, Written, init_root};
use claviger_keystore::{KeyStore, SqliteStore};
use claviger_kms::{
    Binding, Ciphertext, CreateKey, EncryptionContext, KeyMetadata, KeyPath, Principal, RequestId,
    Result, SecretKey, Timestamp,
};
use claviger_policy::{ActionType, Permit, Policy, Question, action};
use claviger_root_key::{Pkcs11Token, Token};
use claviger_testkit::SoftHsm;

/// One token and one store directory, opened as often as a test needs.
struct Site {
    hsm: SoftHsm,
    token: Arc<dyn Token>,
    directory: tempfile::TempDir,
    policy: Policy,
}

impl Site {
    /// A token, logged in, and no ceremony yet.
    fn bare() -> Self {
        let hsm = SoftHsm::new();
        let token = Arc::new(Pkcs11Token::open(&hsm.token_config()).unwrap());
        let policy = Policy::parse(
            "[[rule]]\nname = \"all\"\nprincipals = [\"local:test\"]\nactions = [\"*\"]\nkeys = [\"**\"]",
        )
        .unwrap();
        Self { hsm, token, directory: tempfile::tempdir().unwrap(), policy }
    }

    /// After the ceremony.
    async fn new() -> Self {
        let site = Self::bare();
        site.init().await.unwrap();
        site
    }

    fn store_path(&self) -> PathBuf {
        self.directory.path().join("keys.db")
    }

    fn store(&self) -> Arc<dyn KeyStore> {
        Arc::new(SqliteStore::open(&self.store_path()).unwrap())
    }

    async fn init(&self) -> Result<RootSummary, OpenError> {
        init_root(self.token.as_ref(), self.store().as_ref()).await
    }

    async fn open(&self) -> Hierarchy {
        self.open_with(|_| ()).await.unwrap()
    }

    async fn open_with(
        &self,
        change: impl FnOnce(&mut HierarchyConfig),
    ) -> Result<Hierarchy, OpenError> {
        let mut config = HierarchyConfig::default();
        change(&mut config);
        Hierarchy::open(Arc::clone(&self.token), self.store(), config).await
    }

    fn permit<A: ActionType>(&self, key: &str) -> Permit<A> {
        let principal: Principal = "local:test".parse().unwrap();
        let (key, context) = (path(key), EncryptionContext::new());
        let at = Timestamp::now();
        let question = Question { principal: &principal, key: &key, context: &context, at };
        self.policy.permit(&question).unwrap()
    }

    async fn create(&self, tree: &Hierarchy, key: &str) -> Result<KeyMetadata> {
        let request = CreateKey::at(path(key));
        Ok(tree.create_key(self.permit(key), &request).await?.metadata)
    }

    async fn rotate(&self, tree: &Hierarchy, key: &str) -> Result<KeyMetadata> {
        let written = tree.rotate(self.permit(key), None).await?;
        self.move_children(tree, &written).await?;
        Ok(written.metadata)
    }

    async fn move_children(&self, tree: &Hierarchy, written: &Written) -> Result<()> {
        let behind = written.behind.as_ref().unwrap();
        while !tree.move_children(behind).await?.changes.is_empty() {}
        Ok(())
    }

    async fn data_key(&self, tree: &Hierarchy, key: &str) -> (SecretKey, Ciphertext) {
        tree.generate_data_key(self.permit::<action::DataKey>(key), &binding("17")).await.unwrap()
    }

    async fn unwrap(&self, tree: &Hierarchy, key: &str, wrapped: &Ciphertext) -> Result<SecretKey> {
        let permit = self.permit::<action::Decrypt>(key);
        tree.decrypt(permit, wrapped, &binding("17")).await?.into_secret_key()
    }
}

fn request() -> RequestId {
    RequestId::make_random().unwrap()
}

fn path(text: &str) -> KeyPath {
    text.parse().unwrap()
}

fn binding(row: &str) -> Binding {
    let context = EncryptionContext::from_pairs([("row", row)]).unwrap();
    Binding { context, envelope_id: None }
}
