//! The store: one key's record and its revision, and what an envelope needs of it.

use std::{
    hash::{Hash, Hasher},
    ops::Deref,
    sync::Arc,
};

use claviger_hierarchy::steps;
use claviger_keystore::{KeyRecord, Material, VersionRecord};
use claviger_kms::{
    KeyDetails, KeyId, KeyState, KeyVersion, Principal, Protection, Purpose, StoreId, Timestamp,
    VersionState,
};

/// A key record as it is stored: shared, compared by content.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stored(Arc<KeyRecord>);

impl Stored {
    pub(crate) fn new(record: KeyRecord) -> Self {
        Self(Arc::new(record))
    }

    pub(crate) fn copy(&self) -> KeyRecord {
        KeyRecord::clone(&self.0)
    }

    pub(crate) fn is(&self, number: KeyVersion, state: VersionState) -> bool {
        self.version(number).is_some_and(|version| version.state == state)
    }
}

impl Deref for Stored {
    type Target = KeyRecord;

    fn deref(&self) -> &KeyRecord {
        &self.0
    }
}

/// Only what the steps change.
impl Hash for Stored {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.state, self.primary, self.epoch).hash(state);
        self.quarantine.as_ref().map(|facts| facts.drain).hash(state);
        self.quarantine_request.hash(state);
        for version in &self.versions {
            (version.number, version.state, version.ever_quarantined).hash(state);
            (material(version), version.destroy_after.is_some()).hash(state);
            (version.evidence.is_some(), &version.request).hash(state);
        }
    }
}

/// An envelope, as far as the protocol sees it: the key version and material it was made under, and the
/// mark that the application put into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Envelope {
    pub(crate) version: KeyVersion,
    pub(crate) material: u8,
    pub(crate) mark: u8,
}

impl Envelope {
    /// An envelope under this version as it is now.
    pub(crate) fn under(record: &KeyRecord, version: KeyVersion, mark: u8) -> Option<Self> {
        let material = material(record.version(version)?)?;
        Some(Self { version, material, mark })
    }

    pub(crate) fn opens(&self, record: &KeyRecord) -> bool {
        record.version(self.version).and_then(material) == Some(self.material)
    }
}

/// Which key a version is: one byte stands for it.
pub(crate) fn material(version: &VersionRecord) -> Option<u8> {
    match &version.material {
        Material::Wrapped(bytes) => bytes.first().copied(),
        _ => None,
    }
}

/// A key with one version, primary; or with two.
pub(crate) fn new_key(rotated: bool) -> Stored {
    let mut record = KeyRecord {
        format: KeyRecord::FORMAT,
        store_id: StoreId::from_bytes([1; 16]),
        id: key_id(),
        path: "eu/payments".parse().expect("a path"),
        purpose: Purpose::Encryption,
        protection: Protection::Memory,
        state: KeyState::Active,
        details: KeyDetails::default(),
        rotation_period: None,
        primary: None,
        epoch: 1,
        quarantine: None,
        quarantine_request: None,
        emergencies: Vec::new(),
        made_at: NOW,
        made_by: Principal::of_uid(1),
        request: None,
        versions: vec![pending(KeyVersion::FIRST, 0, None)],
    };
    steps::promote(&mut record, KeyVersion::FIRST, NOW).expect("the first version");
    if rotated {
        let second = KeyVersion::FIRST.next().expect("there are more");
        record.versions.push(pending(second, u8::MAX, None));
        steps::promote(&mut record, second, NOW).expect("the second version");
    }
    Stored::new(record)
}

/// A new version of its own key material.
pub(crate) fn pending(number: KeyVersion, material: u8, request: Option<String>) -> VersionRecord {
    VersionRecord {
        number,
        state: VersionState::Pending,
        made_at: NOW,
        state_changed_at: NOW,
        parent_version: KeyVersion::FIRST,
        material: Material::Wrapped(vec![material]),
        fingerprint: String::new(),
        ever_quarantined: false,
        backed_up: false,
        destroy_after: None,
        evidence: None,
        request,
    }
}

pub(crate) fn key_id() -> KeyId {
    KeyId::from_bytes([2; 16])
}

pub(crate) fn newest(record: &KeyRecord) -> KeyVersion {
    record.versions.last().map_or(KeyVersion::FIRST, |version| version.number)
}

/// Time stands still: whatever is due may come at any moment, and that is every delay there is.
pub(crate) const NOW: Timestamp = Timestamp::UNIX_EPOCH;
