//! One key of the service in memory: its metadata and the material of its versions.
//!
//! Invariant: at most one version is primary, and a version changes its state only along the table of
//! `claviger-kms`. Steps that need two persons or evidence are refused: there is nobody to ask.

use std::{collections::BTreeMap, fmt};

use claviger_kms::{
    Binding, Ciphertext, KeyDetails, KeyId, KeyMetadata, KeyPath, KeyState, KeyVersion, KmsError,
    Protection, Purpose, Requirement, Result, SecretKey, Timestamp, VersionMetadata, VersionState,
    VersionUse, fill_random,
};

use super::wrapping;

pub(super) struct Key {
    metadata: KeyMetadata,
    material: BTreeMap<KeyVersion, SecretKey>,
    parent_version: KeyVersion,
}

impl Key {
    /// A key with its first version, already primary.
    pub(super) fn make(
        path: KeyPath,
        details: KeyDetails,
        parent_version: KeyVersion,
    ) -> Result<Self> {
        let metadata = KeyMetadata {
            key: path,
            id: KeyId::make_random()?,
            purpose: Purpose::Encryption,
            protection: Protection::Memory,
            state: KeyState::Active,
            primary: None,
            details,
            rotation_period: None,
            made_at: Timestamp::now(),
            epoch: 0,
            quarantine: None,
            versions: Vec::new(),
            notices: Vec::new(),
        };
        let mut key = Self { metadata, material: BTreeMap::new(), parent_version };
        key.rotate()?;
        Ok(key)
    }

    pub(super) fn metadata(&self) -> &KeyMetadata {
        &self.metadata
    }

    /// A further version, pending.
    pub(super) fn add_version(&mut self) -> Result<KeyVersion> {
        let version = match self.metadata.versions.last() {
            Some(last) => last.version.next()?,
            None => KeyVersion::FIRST,
        };
        let mut fingerprint = [0; 8];
        fill_random(&mut fingerprint)?;
        self.material.insert(version, SecretKey::make_random()?);
        let now = Timestamp::now();
        self.metadata.versions.push(VersionMetadata {
            version,
            state: VersionState::Pending,
            made_at: now,
            state_changed_at: now,
            parent_version: self.parent_version,
            fingerprint: format!("{:016x}", u64::from_be_bytes(fingerprint)),
            ever_quarantined: false,
            destroy_after: None,
        });
        self.metadata.epoch += 1;
        Ok(version)
    }

    /// Makes a pending version primary; the primary is left as it is.
    pub(super) fn promote(&mut self, version: KeyVersion) -> Result<()> {
        if self.metadata.primary == Some(version) {
            return Ok(());
        }
        self.state_of(version)?.transition_to(VersionState::Primary)?;
        if let Some(former) = self.metadata.primary {
            self.set_state(former, VersionState::Enabled);
        }
        self.set_state(version, VersionState::Primary);
        self.metadata.primary = Some(version);
        Ok(())
    }

    /// A further version, primary at once.
    pub(super) fn rotate(&mut self) -> Result<()> {
        let version = self.add_version()?;
        self.promote(version)
    }

    /// One step along the table, other than a promotion. The state it has already changes nothing.
    pub(super) fn change_state(&mut self, version: KeyVersion, to: VersionState) -> Result<()> {
        let from = self.state_of(version)?;
        if from == to {
            return Ok(());
        }
        match from.transition_to(to)?.needs {
            Requirement::Nothing | Requirement::TwoPersonsIfEverQuarantined => {}
            Requirement::KeyRetired => {
                return Err(KmsError::key_unusable(format!(
                    "version {version} of {} is primary; rotate first, or retire the key",
                    self.metadata.key
                )));
            }
            _ => {
                return Err(KmsError::key_unusable(format!(
                    "version {version} of {} is {from}; only two persons can make it {to}",
                    self.metadata.key
                )));
            }
        }
        if self.metadata.primary == Some(version) {
            self.metadata.primary = None;
        }
        self.set_state(version, to);
        Ok(())
    }

    /// The version that wraps, and its material.
    pub(super) fn primary(&self) -> Result<(KeyVersion, &SecretKey)> {
        let version = self.metadata.primary.ok_or_else(|| {
            KmsError::key_unusable(format!("{} has no primary version", self.metadata.key))
        })?;
        Ok((version, self.material_for(version, VersionUse::Wrap)?))
    }

    /// The data key of a ciphertext that names this key.
    pub(super) fn unwrap(
        &self,
        ciphertext: &Ciphertext,
        binding: &Binding,
        wanted: VersionUse,
    ) -> Result<SecretKey> {
        let version = ciphertext.version();
        let kek = self.material_for(version, wanted)?;
        wrapping::unwrap(&self.metadata, version, kek, binding, ciphertext.wrapped_key())
    }

    fn material_for(&self, version: KeyVersion, wanted: VersionUse) -> Result<&SecretKey> {
        let state = self.state_of(version)?;
        if !state.allows(wanted, false) {
            return Err(KmsError::key_unusable(format!(
                "version {version} of {} is {state}",
                self.metadata.key
            )));
        }
        self.material.get(&version).ok_or_else(|| self.no_version(version))
    }

    fn state_of(&self, version: KeyVersion) -> Result<VersionState> {
        let found = self.metadata.versions.iter().find(|known| known.version == version);
        found.map(|known| known.state).ok_or_else(|| self.no_version(version))
    }

    fn set_state(&mut self, version: KeyVersion, state: VersionState) {
        let found = self.metadata.versions.iter_mut().find(|known| known.version == version);
        if let Some(known) = found {
            known.state = state;
            known.state_changed_at = Timestamp::now();
            self.metadata.epoch += 1;
        }
    }

    fn no_version(&self, version: KeyVersion) -> KmsError {
        KmsError::not_found(format!("version {version} of the key {}", self.metadata.key))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("metadata", &self.metadata).finish_non_exhaustive()
    }
}
