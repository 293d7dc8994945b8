//! After a rotation: the direct children move under the new primary version, and nothing else changes.
//!
//! Invariant: each child's keys stay the same, only their wrapping is new; every commit moves at most
//! fifty records, so that others get their turn between them; what is left after an interruption still
//! opens under the former version; a version that may not unwrap is not used to move what it wraps.

use std::{collections::BTreeSet, sync::Arc};

use claviger_cobblestone as cobblestone;
use claviger_keystore::{Commit, KeyRecord, Material, VersionRecord};
use claviger_kms::{Derivation, KmsError, Result, Role, SecretKey, VersionUse};

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
            let newest = self.newest(behind)?;
            let mut seen: Vec<Seen> =
                newest.record.as_deref().map(Seen::record).into_iter().collect();
            let (mut batch, mut stuck) = (Vec::new(), 0_usize);
            let children = self.tree().children(behind.parent.as_ref());
            for child in children {
                if !child.versions.iter().any(|version| is_behind(version, &newest)) {
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
                        behind.name()
                    )
                });
                return Ok(Moved { changes: Vec::new(), notice });
            }
            if let Some(changes) = self.commit_if(&seen, batch).await? {
                return Ok(Moved { changes, notice: None });
            }
        }
        Err(overtaken(behind.name()))
    }

    /// Parents whose children were left behind and can be moved, as after a crash amid a rotation.
    #[must_use]
    pub fn left_behind(&self) -> Vec<ChildrenBehind> {
        let mut parents = BTreeSet::new();
        for path in self.paths(None, None, usize::MAX) {
            let behind = ChildrenBehind { parent: path.parent() };
            if parents.contains(&behind) {
                continue;
            }
            // A parent that can wrap nothing now moves nothing.
            let (Some(child), Ok(newest)) = (self.tree().at(&path), self.newest(&behind)) else {
                continue;
            };
            let movable = |version: &VersionRecord| {
                is_behind(version, &newest) && may_unwrap(&newest, version).unwrap_or(false)
            };
            if child.versions.iter().any(movable) {
                parents.insert(behind);
            }
        }
        parents.into_iter().collect()
    }

    /// The version that children are to be under.
    fn newest(&self, behind: &ChildrenBehind) -> Result<Parent> {
        let Some(path) = &behind.parent else {
            let root = self.facts.primary().map_err(|e| KmsError::unavailable(e.to_string()))?;
            return Ok(Parent { version: root.number, record: None });
        };
        let record = self.record(path)?;
        Ok(Parent { version: primary_of(&record)?, record: Some(record) })
    }

    /// The child with its versions under `newest`, or `None` if nothing could be moved; and how many
    /// had to stay, because the version that wraps them may not unwrap.
    async fn rewrapped(
        &self,
        newest: &Parent,
        child: &Arc<KeyRecord>,
    ) -> Result<(Option<KeyRecord>, usize)> {
        let mut record = KeyRecord::clone(child);
        let (mut moved, mut left) = (false, 0);
        for version in &mut record.versions {
            if !is_behind(version, newest) {
                continue;
            }
            if !may_unwrap(newest, version)? {
                left += 1;
                continue;
            }
            let node = Node::of(child, version.number);
            let above = newest.record.as_ref().map(|record| (record, version.parent_version));
            let former = match above {
                Some((record, number)) => Node::of(record, number),
                None => self.facts.node(version.parent_version),
            };
            let context = binding::of_kek(former, node);
            let message = wrapped_key(version)?;
            let derivation =
                Derivation::new(Role::KekWrap, cobblestone::salt_of(message)?, &context);
            let input = self.derive_for_child(above, version.parent_version, &derivation).await?;
            let key: SecretKey = cobblestone::unwrap_key(input, &context, message)?;
            version.material = Material::Wrapped(self.wrap_kek(newest, node, &key).await?);
            version.parent_version = newest.version;
            moved = true;
        }
        Ok((moved.then_some(record), left))
    }
}

/// Whether a child's version is wrapped by another version than the newest.
fn is_behind(version: &VersionRecord, newest: &Parent) -> bool {
    version.parent_version != newest.version && matches!(version.material, Material::Wrapped(_))
}

/// Whether the version that wraps this one may be used to move it; versions of the root always may.
fn may_unwrap(newest: &Parent, version: &VersionRecord) -> Result<bool> {
    let Some(above) = &newest.record else { return Ok(true) };
    let wrapping = version_of(above, version.parent_version)?;
    Ok(wrapping.state.allows(VersionUse::UnwrapInternally, false))
}
