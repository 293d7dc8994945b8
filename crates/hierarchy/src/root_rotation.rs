//! Rotating the root: a further root key object, then the regions move under it; the old one goes when a
//! person says so.
//!
//! Invariants: the new root is in use only when one commit has recorded its object and known answer, and
//! moved the record-MAC key under it; regions open under the root that wraps them, before, amid and after
//! their move; a root object is destroyed only when no record names it, and its number is never used again.
//! Interrupted before that commit, a new object is left in the token that nothing names, as after an
//! interrupted ceremony. Interrupted later, the same command goes on where it was.

use claviger_keystore::{Commit, KeyStore, Material, StoredHead};
use claviger_kms::{KeyVersion, Salt, Timestamp};
use claviger_root_key::{ObjectId, ObjectKind, Token, TokenError};

use crate::{
    ChildrenBehind, Hierarchy, OpenError,
    facts::{RootFacts, RootVersion, WrappedRecordMac},
    root::{RootSummary, VerifiedRoot, known_answer, open_record_mac, wrap_record_mac},
};

/// Makes a further root version and takes it into use. The regions are then to be moved.
///
/// # Errors
/// [`OpenError`] when the root does not verify, the token makes no object, or the store cannot be written.
pub async fn add_root_version(
    token: &dyn Token,
    store: &dyn KeyStore,
) -> Result<RootSummary, OpenError> {
    let root = VerifiedRoot::verify(token, store).await?;
    let mut facts = root.facts.clone();
    let number = facts.primary()?.number.next().map_err(|e| OpenError::tampered(e.to_string()))?;
    let mut version = RootVersion {
        number,
        object: token.make_object(ObjectKind::Derivation).await?.id,
        made_at: Timestamp::now(),
        known_answer_salt: Salt::make_random()?.as_bytes().to_vec(),
        known_answer_hash: String::new(),
    };
    version.known_answer_hash = known_answer(token, &facts, &version).await?;
    for wrapped in &mut facts.record_macs {
        let key = open_record_mac(token, &root.facts, wrapped).await?;
        let above = (root.facts.node(number), version.object);
        let again = wrap_record_mac(token, facts.store_id, above, wrapped.number, &key).await?;
        *wrapped = WrappedRecordMac { root_version: number, wrapped: again, ..wrapped.clone() };
    }
    facts.roots.push(version);
    write(store, &root, &facts).await?;
    VerifiedRoot::verify(token, store).await?.summary()
}

/// Destroys the root versions that no record names any more. What was backed up under one of them can then
/// never be opened again.
///
/// # Errors
/// [`OpenError`]; what was not destroyed is, when this is repeated.
pub async fn prune_root(
    token: &dyn Token,
    store: &dyn KeyStore,
    tree: &Hierarchy,
) -> Result<Vec<ObjectId>, OpenError> {
    let root = VerifiedRoot::verify(token, store).await?;
    let mut facts = root.facts.clone();
    let newest = facts.primary()?.number;
    let needed = |number: KeyVersion| {
        number == newest
            || facts.record_macs.iter().any(|wrapped| wrapped.root_version == number)
            || tree.is_root_named(number)
    };
    let (kept, leaving) = facts.roots.iter().cloned().partition(|root| needed(root.number));
    facts.roots = kept;
    facts.leaving.extend(Vec::<RootVersion>::into_iter(leaving).map(|root| root.object));
    // Recorded first, so that a repeated run knows what is left to destroy.
    if facts != root.facts {
        write(store, &root, &facts).await?;
    }
    let mut destroyed = Vec::new();
    for object in &facts.leaving {
        match token.destroy_object(ObjectKind::Derivation, *object).await {
            Ok(()) | Err(TokenError::ObjectMissing { .. }) => destroyed.push(*object),
            Err(error) => return Err(error.into()),
        }
    }
    if !destroyed.is_empty() {
        let root = VerifiedRoot::verify(token, store).await?;
        facts.leaving.clear();
        write(store, &root, &facts).await?;
    }
    Ok(destroyed)
}

impl Hierarchy {
    /// Regions that are not under the newest root version, to be moved; none if all are.
    #[must_use]
    pub fn regions_behind(&self) -> Option<ChildrenBehind> {
        self.left_behind().into_iter().find(|behind| behind.parent.is_none())
    }

    /// Whether a region is wrapped by this root version.
    fn is_root_named(&self, number: KeyVersion) -> bool {
        self.tree().children(None).iter().any(|region| {
            region.versions.iter().any(|version| {
                version.parent_version == number && !matches!(version.material, Material::Gone)
            })
        })
    }
}

/// Writes the facts over those that were verified, in a generation of their own.
async fn write(
    store: &dyn KeyStore,
    root: &VerifiedRoot,
    facts: &RootFacts,
) -> Result<(), OpenError> {
    let found = root.head.generation;
    let mut head = StoredHead { generation: found + 1, ..root.head.clone() };
    root.mac.sign_head(&mut head);
    let commit = Commit {
        expected_generation: Some(found),
        head,
        records: Vec::new(),
        documents: vec![facts.seal(&root.mac, Some(root.revision))?],
    };
    Ok(store.commit(commit).await?)
}
