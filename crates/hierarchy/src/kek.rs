//! From the root down to one KEK version.
//!
//! Invariants: every ancestor version on the way must be in a state that still unwraps internally, also
//! when the key is cached already, so that disabling a parent stops its children at once; many callers
//! of one cold key cost the token one call.

use std::sync::Arc;

use claviger_cobblestone as cobblestone;
use claviger_keystore::{KeyRecord, Material, VersionRecord};
use claviger_kms::{
    Derivation, KeyState, KeyVersion, KmsError, Result, Role, SecretKey, VersionState, VersionUse,
};

use crate::{
    binding::{self, Node},
    hierarchy::Hierarchy,
};

/// One KEK version on the way down.
#[derive(Debug, Clone)]
struct Step {
    record: Arc<KeyRecord>,
    version: KeyVersion,
}

impl Hierarchy {
    /// The input key of one message under a KEK version, which is loaded if it is cold.
    pub(crate) async fn derive(
        &self,
        record: &Arc<KeyRecord>,
        version: KeyVersion,
        derivation: &Derivation,
    ) -> Result<SecretKey> {
        let way = self.way_down(record, version)?;
        // A key may be evicted by others between being loaded and being used, in a cache that is too
        // small; a few attempts tell that apart from a cold key.
        for _ in 0..LOAD_ATTEMPTS {
            let derived =
                self.cache.with(record.id, version, |kek| derivation.derive_from_bytes(kek));
            if let Some(key) = derived {
                return key;
            }
            self.load(&way).await?;
        }
        Err(KmsError::unavailable(
            "the key cache is too small for the keys in use at once: raise [cache] capacity",
        ))
    }

    /// The input key for a child of `parent` (of the root, if `None`).
    pub(crate) async fn derive_for_child(
        &self,
        parent: Option<(&Arc<KeyRecord>, KeyVersion)>,
        root_version: KeyVersion,
        derivation: &Derivation,
    ) -> Result<SecretKey> {
        match parent {
            Some((record, version)) => self.derive(record, version, derivation).await,
            None => self.derive_from_root(root_version, derivation).await,
        }
    }

    /// The versions from the region down to this one, each checked.
    fn way_down(&self, record: &Arc<KeyRecord>, version: KeyVersion) -> Result<Vec<Step>> {
        let tree = self.tree();
        let mut way = vec![Step { record: Arc::clone(record), version }];
        let mut below = Arc::clone(record);
        let mut number = version_of(&below, version)?.parent_version;
        while let Some(path) = below.path.parent() {
            let parent = tree
                .at(&path)
                .ok_or_else(|| KmsError::unavailable(format!("{path} is not in the tree")))?;
            let wrapping = version_of(&parent, number)?;
            if parent.state == KeyState::Disabled
                || !wrapping.state.allows(VersionUse::UnwrapInternally, false)
            {
                return Err(KmsError::key_unusable(format!(
                    "version {number} of {path}, above this key, is {}",
                    if parent.state == KeyState::Disabled {
                        VersionState::Disabled
                    } else {
                        wrapping.state
                    }
                )));
            }
            way.push(Step { record: Arc::clone(&parent), version: number });
            number = wrapping.parent_version;
            below = parent;
        }
        way.reverse();
        Ok(way)
    }

    /// Whether every version above this one may still unwrap.
    pub(crate) fn check_ancestors(
        &self,
        record: &Arc<KeyRecord>,
        version: KeyVersion,
    ) -> Result<()> {
        self.way_down(record, version).map(drop)
    }

    /// Unwraps what is not in the cache, from the deepest cached ancestor down.
    async fn load(&self, way: &[Step]) -> Result<()> {
        let cached = way
            .iter()
            .rposition(|step| self.cache.with(step.record.id, step.version, |_| ()).is_some());
        let first_cold = cached.map_or(0, |at| at + 1);
        for (at, step) in way.iter().enumerate().skip(first_cold) {
            let parent = at.checked_sub(1).and_then(|above| way.get(above));
            if !self.load_one(parent, step).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Unwraps one KEK under its parent; `false` if the parent left the cache meanwhile.
    async fn load_one(&self, parent: Option<&Step>, step: &Step) -> Result<bool> {
        let lock = usize::from(step.record.id.as_bytes().first().copied().unwrap_or(0));
        let lock = self.loading.get(lock % self.loading.len().max(1));
        let _loading = match lock {
            Some(lock) => Some(lock.lock().await),
            None => None,
        };
        if self.cache.with(step.record.id, step.version, |_| ()).is_some() {
            return Ok(true);
        }
        let version = version_of(&step.record, step.version)?;
        let child = Node::of(&step.record, step.version);
        let (wrapping, message) = match parent {
            Some(above) => (Node::of(&above.record, above.version), wrapped_key(version)?),
            None => (self.facts.node(version.parent_version), wrapped_key(version)?),
        };
        let context = binding::of_kek(wrapping, child);
        let derivation = Derivation::new(Role::KekWrap, cobblestone::salt_of(message)?, &context);
        let input = match parent {
            None => self.derive_from_root(version.parent_version, &derivation).await?,
            Some(above) => {
                let derived = self
                    .cache
                    .with(above.record.id, above.version, |kek| derivation.derive_from_bytes(kek));
                match derived {
                    Some(key) => key?,
                    None => return Ok(false),
                }
            }
        };
        let kek = cobblestone::unwrap_key(input, &context, message).map_err(|_| {
            KmsError::unavailable(format!(
                "version {} of {} does not open under its parent: the store was altered, or the \
                 token's root is another one; run `clavigerd root verify`",
                step.version, step.record.path
            ))
        })?;
        self.cache.insert(step.record.id, step.version, kek);
        Ok(true)
    }

    async fn derive_from_root(
        &self,
        version: KeyVersion,
        derivation: &Derivation,
    ) -> Result<SecretKey> {
        let root = self
            .facts
            .root(version)
            .ok_or_else(|| KmsError::unavailable(format!("root version {version} is unknown")))?;
        Ok(self.token.derive(root.object, derivation).await?)
    }
}

/// A version that must exist, since another record names it.
pub(crate) fn version_of(record: &KeyRecord, version: KeyVersion) -> Result<&VersionRecord> {
    record
        .version(version)
        .ok_or_else(|| KmsError::not_found(format!("version {version} of the key {}", record.path)))
}

/// The wrapped key of a version held in memory.
pub(crate) fn wrapped_key(version: &VersionRecord) -> Result<&[u8; 104]> {
    match &version.material {
        Material::Wrapped(bytes) => bytes
            .first_chunk()
            .filter(|message| message.len() == bytes.len())
            .ok_or_else(|| KmsError::unavailable("a wrapped key has a wrong length")),
        _ => Err(KmsError::key_unusable(format!(
            "version {} has no wrapped key material",
            version.number
        ))),
    }
}

const LOAD_ATTEMPTS: usize = 4;
