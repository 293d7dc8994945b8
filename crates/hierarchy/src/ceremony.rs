//! The root ceremony: run once, by a person.
//!
//! It makes the root key and the audit signing key in the token, records the root's known answer, makes
//! the record-MAC key and writes all of it with an empty store head in one commit. If it is
//! interrupted before that commit the store is as empty as before; the objects it left in the token
//! are named by nothing and can be removed with the vendor's tool.

use claviger_keystore::{Commit, KeyStore, StoredHead};
use claviger_kms::{KeyId, KeyVersion, Salt, SecretKey, StoreId, Timestamp};
use claviger_root_key::{ObjectKind, Token, TokenError};

use crate::{
    OpenError,
    facts::{CheckpointKey, DOCUMENT, RootFacts, RootVersion, WrappedRecordMac},
    record_mac::RecordMac,
    root::{RootSummary, VerifiedRoot, known_answer, wrap_record_mac},
    tree::Tree,
};

/// Makes the root of an empty store, then verifies it as every start does.
///
/// # Errors
/// [`OpenError::RootExists`] when there is one already, which is left as it is; else what the token or
/// the store answered.
pub async fn init_root(token: &dyn Token, store: &dyn KeyStore) -> Result<RootSummary, OpenError> {
    if store.head().await?.is_some() || store.document(DOCUMENT).await?.is_some() {
        return Err(OpenError::RootExists);
    }
    let root = token.make_object(ObjectKind::Derivation).await?;
    let signing = match token.make_object(ObjectKind::CheckpointSigning).await {
        Ok(report) => CheckpointKey::of(&report),
        Err(TokenError::Refused { function, code }) => {
            tracing::warn!(function, code, "the token makes no ECDSA P-256 key");
            None
        }
        Err(other) => return Err(other.into()),
    };
    let facts = complete(token, root.id, signing).await?;
    let key = SecretKey::make_random()?;
    let number = 1;
    let node = facts.node(KeyVersion::FIRST);
    let wrapped = wrap_record_mac(token, facts.store_id, (node, root.id), number, &key).await?;
    let facts = RootFacts {
        record_macs: vec![WrappedRecordMac { number, root_version: KeyVersion::FIRST, wrapped }],
        ..facts
    };
    let mac = RecordMac::pin(key, number)?;
    let mut head = Tree::empty().next_head(&[]);
    mac.sign_head(&mut head);
    store
        .commit(Commit {
            expected_generation: None,
            head,
            records: Vec::new(),
            documents: vec![facts.seal(&mac, None)?],
        })
        .await?;
    VerifiedRoot::verify(token, store).await?.summary()
}

/// After a store was restored from an older copy: moves its generation past `seen`, so that this state
/// becomes the newest. Everything written since that copy is lost; whoever runs this says so.
///
/// # Errors
/// [`OpenError`] when the root does not verify or the store cannot be written.
pub async fn accept_restore(
    token: &dyn Token,
    store: &dyn KeyStore,
    seen: u64,
) -> Result<RootSummary, OpenError> {
    let root = VerifiedRoot::verify(token, store).await?;
    let found = root.head.generation;
    let mut head = StoredHead { generation: found.max(seen) + 1, ..root.head };
    root.mac.sign_head(&mut head);
    let commit = Commit {
        expected_generation: Some(found),
        head,
        records: Vec::new(),
        documents: Vec::new(),
    };
    store.commit(commit).await?;
    VerifiedRoot::verify(token, store).await?.summary()
}

async fn complete(
    token: &dyn Token,
    object: claviger_root_key::ObjectId,
    checkpoint_key: Option<CheckpointKey>,
) -> Result<RootFacts, OpenError> {
    let mut facts = RootFacts {
        format: RootFacts::FORMAT,
        store_id: StoreId::make_random()?,
        root_id: KeyId::make_random()?,
        roots: Vec::new(),
        record_macs: Vec::new(),
        checkpoint_key,
        leaving: Vec::new(),
    };
    let mut root = RootVersion {
        number: KeyVersion::FIRST,
        object,
        made_at: Timestamp::now(),
        known_answer_salt: Salt::make_random()?.as_bytes().to_vec(),
        known_answer_hash: String::new(),
    };
    root.known_answer_hash = known_answer(token, &facts, &root).await?;
    facts.roots.push(root);
    Ok(facts)
}
