//! Making keys and key versions.
//!
//! Invariant: a KEK version is a random 256-bit key, wrapped by its parent's primary version and never
//! a function of its name; before it is stored it was unwrapped again and compared.

use std::sync::Arc;

use claviger_cobblestone as cobblestone;
use claviger_keystore::{KeyRecord, Material, VersionRecord};
use claviger_kms::{
    CreateKey, Derivation, IdempotencyKey, KeyId, KeyState, KeyVersion, KmsError, Principal,
    Protection, Purpose, Result, Role, Salt, SecretKey, Timestamp, VersionState,
};
use claviger_policy::{Permit, action};

use crate::{
    Written,
    binding::{self, Node},
    commit::{ATTEMPTS, overtaken},
    hierarchy::Hierarchy,
    uses::primary_of,
};

/// The version that wraps a child: of a key, or of the root.
pub(crate) struct Parent {
    /// `None` for the root.
    pub(crate) record: Option<Arc<KeyRecord>>,
    pub(crate) version: KeyVersion,
}

impl Hierarchy {
    /// Makes a key with its first version, primary.
    ///
    /// # Errors
    /// [`KmsError::Conflict`] if the path is taken (unless by the same idempotency key),
    /// [`KmsError::NotFound`] if the key above is missing, [`KmsError::Invalid`] on details past their
    /// limits, [`KmsError::Unsupported`] on signing keys and token protection.
    pub async fn create_key(
        &self,
        permit: Permit<action::Create>,
        request: &CreateKey,
    ) -> Result<Written> {
        let path = permit.key().clone();
        if request.purpose != Purpose::Encryption {
            return Err(KmsError::unsupported("signing keys are not supported by this release"));
        }
        if request.protection != Protection::Memory {
            return Err(KmsError::unsupported(
                "keys of protection token are not supported by this release",
            ));
        }
        request.details.check()?;
        let tag = self.tag(permit.principal(), "create-key", request.idempotency_key.as_ref());
        self.certain().await?;
        for _ in 0..ATTEMPTS {
            if let Some(record) = self.tree().at(&path) {
                if tag.is_some() && record.request == tag {
                    return Ok(Written::new(record.metadata(), Vec::new()));
                }
                return Err(KmsError::conflict(format!("the key {path} exists already")));
            }
            let mut seen = vec![self.see(&path)];
            seen.extend(path.parent().map(|parent| self.see(&parent)));
            let mut record = self.new_record(&permit, request, tag.clone())?;
            let first = self.make_version(&record, KeyVersion::FIRST, None).await?;
            record.versions.push(VersionRecord { state: VersionState::Primary, ..first });
            if let Some(changes) = self.commit_if(&seen, vec![record]).await? {
                return Ok(Written::new(self.record(&path)?.metadata(), changes));
            }
        }
        Err(overtaken(&path))
    }

    fn new_record(
        &self,
        permit: &Permit<action::Create>,
        request: &CreateKey,
        tag: Option<String>,
    ) -> Result<KeyRecord> {
        Ok(KeyRecord {
            format: KeyRecord::FORMAT,
            store_id: self.facts.store_id,
            id: KeyId::make_random()?,
            path: permit.key().clone(),
            purpose: request.purpose,
            protection: request.protection,
            state: KeyState::Active,
            details: request.details.clone(),
            rotation_period: request.rotation_period,
            primary: Some(KeyVersion::FIRST),
            epoch: 0,
            quarantine: None,
            quarantine_request: None,
            emergencies: Vec::new(),
            made_at: Timestamp::now(),
            made_by: permit.principal().clone(),
            request: tag,
            versions: Vec::new(),
        })
    }

    /// A fresh version of a key, pending, wrapped and tested, not yet stored.
    pub(crate) async fn make_version(
        &self,
        record: &KeyRecord,
        number: KeyVersion,
        request: Option<String>,
    ) -> Result<VersionRecord> {
        let parent = self.parent_of(record)?;
        let key = SecretKey::make_random()?;
        let wrapped = self.wrap_kek(&parent, Node::of(record, number), &key).await?;
        let now = Timestamp::now();
        Ok(VersionRecord {
            number,
            state: VersionState::Pending,
            made_at: now,
            state_changed_at: now,
            parent_version: parent.version,
            material: Material::Wrapped(wrapped),
            fingerprint: self.mac.fingerprint(&key),
            ever_quarantined: false,
            backed_up: false,
            destroy_after: None,
            evidence: None,
            request,
        })
    }

    /// The primary version above a key.
    pub(crate) fn parent_of(&self, record: &KeyRecord) -> Result<Parent> {
        let Some(path) = record.path.parent() else {
            let root = self.facts.primary().map_err(|e| KmsError::unavailable(e.to_string()))?;
            return Ok(Parent { record: None, version: root.number });
        };
        let parent = self.record(&path).map_err(|_| {
            KmsError::not_found(format!("the key above, {path}, is missing; make it first: it"))
        })?;
        if parent.purpose != Purpose::Encryption {
            return Err(KmsError::invalid(format!(
                "{path} signs; keys stand under keys that wrap"
            )));
        }
        let version = primary_of(&parent)?;
        Ok(Parent { record: Some(parent), version })
    }

    /// Wraps a KEK under its parent, and unwraps it again to compare.
    pub(crate) async fn wrap_kek(
        &self,
        parent: &Parent,
        child: Node<'_>,
        key: &SecretKey,
    ) -> Result<Vec<u8>> {
        let wrapping = match &parent.record {
            Some(record) => Node::of(record, parent.version),
            None => self.facts.node(parent.version),
        };
        let context = binding::of_kek(wrapping, child);
        let salt = Salt::make_random()?;
        let derivation = Derivation::new(Role::KekWrap, salt, &context);
        let above = parent.record.as_ref().map(|record| (record, parent.version));
        let input = self.derive_for_child(above, parent.version, &derivation).await?;
        let wrapped = cobblestone::wrap_key(input, salt, &context, key)?;
        let again = self.derive_for_child(above, parent.version, &derivation).await?;
        let opened = cobblestone::unwrap_key(again, &context, &wrapped)?;
        if !opened.is_same_as(key) {
            return Err(KmsError::unavailable(
                "a new key did not come out of its wrapping as it went in; nothing was stored",
            ));
        }
        Ok(wrapped.to_vec())
    }

    /// How a record remembers the request that made it.
    pub(crate) fn tag(
        &self,
        principal: &Principal,
        operation: &str,
        key: Option<&IdempotencyKey>,
    ) -> Option<String> {
        key.map(|key| self.mac.request_tag(principal.as_str(), operation, key.as_str()))
    }
}
