//! After a rotation: the direct children move under the new primary version, and nothing else changes.
//!
//! Invariant: each child's keys stay the same, only their wrapping is new; every commit moves at most
//! fifty records, so that others get their turn between them; what is left after an interruption still
//! opens under the former version; a version that may not unwrap is not used to move what it wraps.

use std::sync::Arc;

use claviger_cobblestone as cobblestone;
use claviger_keystore::{Commit, KeyRecord, Material};
use claviger_kms::{Derivation, Result, Role, SecretKey, VersionUse};

use crate::{
    Change, ChildrenBehind,
    binding::{self, Node},
    commit::{ATTEMPTS, Seen, overtaken},
    hierarchy::Hierarchy,
    kek::{version_of, wrapped_key},
    make::Parent,
    uses::primary_of,
};

/// What one step of moving children did.
#[derive(Debug)]
#[non_exhaustive]
pub struct Moved {
    /// The records changed, at most fifty; none when there is nothing left to move.
    pub changes: Vec<Change>,
    /// What stays behind.
    pub notice: Option<String>,
}

impl Hierarchy {
    /// Moves one batch of children under the primary version of their rotated parent. No change means
    /// that none is left to move; then the notice, if there is one, says which stay behind and why.
    ///
    /// # Errors
    /// [`KmsError::Unavailable`](claviger_kms::KmsError::Unavailable): what was not moved still opens
    /// under its former version.
    pub async fn move_children(&self, behind: &ChildrenBehind) -> Result<Moved> {
        self.certain().await?;
        for _ in 0..ATTEMPTS {
            let parent = self.record(&behind.parent)?;
            let newest =
                Parent { version: primary_of(&parent)?, record: Some(Arc::clone(&parent)) };
            let mut seen = vec![Seen::record(&parent)];
            let (mut batch, mut stuck) = (Vec::new(), 0_usize);
            let children = self.tree().children(&behind.parent);
            for child in children {
                if child.versions.iter().all(|version| version.parent_version == newest.version) {
                    continue;
                }
                let (moved, left) = self.rewrapped(&newest, &child).await?;
                stuck += left;
                if let Some(moved) = moved {
                    seen.push(Seen::record(&child));
                    batch.push(moved);
                }
                if batch.len() == Commit::MAX_RECORDS {
                    break;
                }
            }
            if batch.is_empty() {
                let notice = (stuck > 0).then(|| {
                    format!(
                        "{stuck} key versions below stay under versions of {} that may not unwrap",
                        behind.parent
                    )
                });
                return Ok(Moved { changes: Vec::new(), notice });
            }
            if let Some(changes) = self.commit_if(&seen, batch).await? {
                return Ok(Moved { changes, notice: None });
            }
        }
        Err(overtaken(&behind.parent))
    }

    /// The child with its versions under `newest`, or `None` if nothing could be moved; and how many
    /// had to stay, because the version that wraps them may not unwrap.
    async fn rewrapped(
        &self,
        newest: &Parent,
        child: &Arc<KeyRecord>,
    ) -> Result<(Option<KeyRecord>, usize)> {
        let Some(above) = &newest.record else { return Ok((None, 0)) };
        let mut record = KeyRecord::clone(child);
        let (mut moved, mut left) = (false, 0);
        for version in &mut record.versions {
            if version.parent_version == newest.version
                || !matches!(version.material, Material::Wrapped(_))
            {
                continue;
            }
            let wrapping = version_of(above, version.parent_version)?;
            if !wrapping.state.allows(VersionUse::UnwrapInternally, false) {
                left += 1;
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
        Ok((moved.then_some(record), left))
    }
}
