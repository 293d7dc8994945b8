//! The root as this service sees it: objects checked, known answers compared, the record-MAC key
//! unwrapped. Shared by the ceremony and by every start.
//!
//! Invariant: [`VerifiedRoot`] exists only after the token answered for every root version as recorded
//! and the facts matched their MAC.

#![expect(clippy::disallowed_methods, reason = "hashes the known answer to compare it")]

use claviger_cobblestone as cobblestone;
use claviger_keystore::{KeyStore, StoredHead};
use claviger_kms::{Derivation, KeyVersion, Role, Salt, SecretKey, StoreId};
use claviger_root_key::{ObjectId, ObjectKind, Token};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{
    OpenError,
    binding::{self, Node},
    facts::{RootFacts, RootVersion, UnverifiedFacts, WrappedRecordMac},
    record_mac::RecordMac,
};

/// What a person needs to know of the root; nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RootSummary {
    /// The store it belongs to.
    pub store_id: StoreId,
    /// Number of the newest root version.
    pub root_version: KeyVersion,
    /// Its object in the token (`CKA_ID`).
    pub root_object: ObjectId,
    /// 32 hexadecimal digits to keep outside the machine and in `[root] fingerprint`.
    pub fingerprint: String,
    /// Former root versions whose objects are still in the token, oldest first.
    pub former: Vec<FormerRoot>,
    /// The audit log's verification key: an uncompressed SEC1 point, if the token signs.
    pub checkpoint_public_key: Option<String>,
    /// Generation of the store.
    pub generation: u64,
    /// What the token does less well than it should.
    pub warnings: Vec<String>,
}

/// A root version that a newer one has replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FormerRoot {
    /// Its number.
    pub version: KeyVersion,
    /// Its object in the token (`CKA_ID`).
    pub object: ObjectId,
    /// Its fingerprint.
    pub fingerprint: String,
}

/// A root whose token, facts and head were checked.
#[derive(Debug)]
pub(crate) struct VerifiedRoot {
    pub(crate) facts: RootFacts,
    pub(crate) mac: RecordMac,
    pub(crate) head: StoredHead,
    /// Revision of the facts' document.
    pub(crate) revision: u64,
    pub(crate) warnings: Vec<String>,
}

impl VerifiedRoot {
    /// Checks the token against the facts and the facts against the token.
    pub(crate) async fn verify(token: &dyn Token, store: &dyn KeyStore) -> Result<Self, OpenError> {
        let unverified = UnverifiedFacts::read(store).await?;
        let facts = &unverified.facts;
        let mut warnings = Vec::new();
        facts.primary()?;
        for root in &facts.roots {
            let report = token.inspect_object(ObjectKind::Derivation, root.object).await?;
            warnings.extend(report.warnings);
            let answer = known_answer(token, facts, root).await?;
            let recorded = root.known_answer_hash.as_bytes();
            if !bool::from(answer.as_bytes().ct_eq(recorded)) {
                return Err(OpenError::WrongRoot {
                    reason: format!(
                        "object {} of the token does not give the known answer recorded for root \
                         version {}; the token, or the store, is another one, or the object was \
                         planted",
                        root.object, root.number
                    ),
                });
            }
        }
        if let Some(signing) = &facts.checkpoint_key {
            let report =
                token.inspect_object(ObjectKind::CheckpointSigning, signing.object).await?;
            if report.public_key.as_deref() != Some(&signing.public_key) {
                return Err(OpenError::WrongRoot {
                    reason: "the audit signing key is not the one of the ceremony".to_owned(),
                });
            }
            warnings.extend(report.warnings);
        }
        let mac = unwrap_record_mac(token, facts).await?;
        let revision = unverified.revision;
        let facts = unverified.verify(&mac)?;
        let head = store
            .head()
            .await?
            .ok_or_else(|| OpenError::tampered("there are root facts but no store head"))?;
        if !mac.head_is_genuine(&head) {
            return Err(OpenError::tampered("the store head does not match its MAC"));
        }
        warnings.sort();
        warnings.dedup();
        Ok(Self { facts, mac, head, revision, warnings })
    }

    pub(crate) fn summary(&self) -> Result<RootSummary, OpenError> {
        let root = self.facts.primary()?;
        Ok(RootSummary {
            store_id: self.facts.store_id,
            root_version: root.number,
            root_object: root.object,
            fingerprint: self.facts.fingerprint()?,
            former: self.former(root.number),
            checkpoint_public_key: self
                .facts
                .checkpoint_key
                .as_ref()
                .map(|key| key.public_key.clone()),
            generation: self.head.generation,
            warnings: self.warnings.clone(),
        })
    }
}

impl VerifiedRoot {
    fn former(&self, newest: KeyVersion) -> Vec<FormerRoot> {
        let former = self.facts.roots.iter().filter(|root| root.number != newest);
        let told = former.map(|root| FormerRoot {
            version: root.number,
            object: root.object,
            fingerprint: self.facts.fingerprint_of(root),
        });
        told.collect()
    }
}

/// Checks the root against the token and returns what it is, changing nothing.
///
/// # Errors
/// [`OpenError`] naming what does not hold.
pub async fn verify_root(
    token: &dyn Token,
    store: &dyn KeyStore,
) -> Result<RootSummary, OpenError> {
    VerifiedRoot::verify(token, store).await?.summary()
}

/// SHA-256, in hexadecimal, of the key derived for the known answer of a root version.
pub(crate) async fn known_answer(
    token: &dyn Token,
    facts: &RootFacts,
    root: &RootVersion,
) -> Result<String, OpenError> {
    let context = binding::of_known_answer(facts.store_id, facts.node(root.number));
    let derivation = Derivation::new(Role::KnownAnswer, root.salt()?, &context);
    let answer = token.derive(root.object, &derivation).await?;
    Ok(hex::encode(answer.with_bytes(|bytes| Sha256::digest(bytes))))
}

/// Wraps the record-MAC key under a root version.
pub(crate) async fn wrap_record_mac(
    token: &dyn Token,
    store: StoreId,
    (node, object): (Node<'_>, ObjectId),
    number: u32,
    key: &SecretKey,
) -> Result<Vec<u8>, OpenError> {
    let context = binding::of_record_mac(store, node, number);
    let salt = Salt::make_random()?;
    let derivation = Derivation::new(Role::RecordMac, salt, &context);
    let input = token.derive(object, &derivation).await?;
    Ok(cobblestone::wrap_key(input, salt, &context, key)?.to_vec())
}

async fn unwrap_record_mac(token: &dyn Token, facts: &RootFacts) -> Result<RecordMac, OpenError> {
    let wrapped = facts
        .record_macs
        .last()
        .ok_or_else(|| OpenError::tampered("the root facts name no record-MAC key"))?;
    RecordMac::pin(open_record_mac(token, facts, wrapped).await?, wrapped.number)
}

/// The record-MAC key, opened under the root version that wraps it.
pub(crate) async fn open_record_mac(
    token: &dyn Token,
    facts: &RootFacts,
    wrapped: &WrappedRecordMac,
) -> Result<SecretKey, OpenError> {
    let root = facts
        .root(wrapped.root_version)
        .ok_or_else(|| OpenError::tampered("the record-MAC key is wrapped by an unknown root"))?;
    let message = wrapped
        .wrapped
        .first_chunk()
        .filter(|message| message.len() == wrapped.wrapped.len())
        .ok_or_else(|| OpenError::tampered("the record-MAC key has a wrong length"))?;
    let context = binding::of_record_mac(facts.store_id, facts.node(root.number), wrapped.number);
    let derivation = Derivation::new(Role::RecordMac, cobblestone::salt_of(message)?, &context);
    let input = token.derive(root.object, &derivation).await?;
    cobblestone::unwrap_key(input, &context, message)
        .map_err(|_| OpenError::tampered("the record-MAC key does not open under the root"))
}
