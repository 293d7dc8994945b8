//! After a rotation: the direct children move under the new primary version, and nothing else changes.
//!
//! Invariant: each child's keys stay the same, only their wrapping is new; every commit moves at most
//! fifty records, and what is left after an interruption still opens under the former version.

use std::sync::Arc;

use claviger_cobblestone as cobblestone;
use claviger_keystore::{Commit, KeyRecord, Material};
use claviger_kms::{Derivation, KeyPath, Result, Role, SecretKey};

use crate::{
    Change,
    binding::{self, Node},
    hierarchy::Hierarchy,
    kek::wrapped_key,
    make::{Parent, primary_of},
};

impl Hierarchy {
    /// Re-wraps every version of every direct child that an older version of `parent` wraps.
    pub(crate) async fn rewrap_children(
        &self,
        parent: &KeyPath,
        changes: &mut Vec<Change>,
    ) -> Result<()> {
        let record = self.record(parent)?;
        let version = primary_of(&record)?;
        let newest = Parent { record: Some(record), version };
        let children = self.tree().children(parent);
        for batch in children.chunks(Commit::MAX_RECORDS) {
            let mut moved = Vec::with_capacity(batch.len());
            for child in batch {
                moved.extend(self.rewrapped(&newest, child).await?);
            }
            if !moved.is_empty() {
                changes.extend(self.commit(moved).await?);
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// The child with all its versions under `newest`, or `None` if they were there already.
    async fn rewrapped(
        &self,
        newest: &Parent,
        child: &Arc<KeyRecord>,
    ) -> Result<Option<KeyRecord>> {
        let Some(above) = &newest.record else { return Ok(None) };
        let mut record = KeyRecord::clone(child);
        let mut moved = false;
        for version in &mut record.versions {
            if version.parent_version == newest.version
                || !matches!(version.material, Material::Wrapped(_))
            {
                continue;
            }
            let node = Node::of(child, version.number);
            let former = Node::of(above, version.parent_version);
            let context = binding::of_kek(former, node);
            let message = wrapped_key(version)?;
            let derivation =
                Derivation::new(Role::KekWrap, cobblestone::salt_of(message)?, &context);
            let input = self.derive(above, version.parent_version, &derivation).await?;
            let key: SecretKey = cobblestone::unwrap_key(input, &context, message)?;
            version.material = Material::Wrapped(self.wrap_kek(newest, node, &key).await?);
            version.parent_version = newest.version;
            moved = true;
        }
        Ok(moved.then_some(record))
    }
}
