//! Data keys and small values: wrap, unwrap, rewrap.
//!
//! Invariants: only the primary version wraps; a ciphertext opens only under the key and version it names,
//! with the binding it was made with; every failure to open is the one [`KmsError::Rejected`].

#![expect(clippy::disallowed_methods, reason = "seals a value under its data key")]

use std::sync::Arc;

use claviger_cobblestone as cobblestone;
use claviger_keystore::KeyRecord;
use claviger_kms::{
    Binding, Ciphertext, CiphertextKind, Derivation, KeyId, KeyPath, KeyVersion, KmsError, Purpose,
    Result, Role, Salt, SecretBytes, SecretKey, VersionUse,
};
use claviger_policy::{Permit, action};

use crate::{
    binding::{self, Node},
    hierarchy::Hierarchy,
    uses::{check_use, check_wrapped, primary_of},
};

/// What a rewrap is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RewrapUse {
    /// Nothing but itself.
    Plain,
    /// A campaign on the ciphertext's key that was found open.
    Campaign,
    /// The same, after which the content gets a new data key.
    Reencryption,
}

impl Hierarchy {
    /// Makes a data key, plain and wrapped.
    ///
    /// # Errors
    /// [`KmsError::NotFound`], [`KmsError::KeyUnusable`], [`KmsError::Unavailable`].
    pub async fn generate_data_key(
        &self,
        permit: Permit<action::DataKey>,
        binding: &Binding,
    ) -> Result<(SecretKey, Ciphertext)> {
        self.make_data_key(permit.key(), CiphertextKind::DataKey, binding).await
    }

    /// Makes a data key, wrapped only.
    ///
    /// # Errors
    /// As [`generate_data_key`](Self::generate_data_key).
    pub async fn generate_wrapped_data_key(
        &self,
        permit: Permit<action::DataKeyWrapped>,
        binding: &Binding,
    ) -> Result<Ciphertext> {
        let made = self.make_data_key(permit.key(), CiphertextKind::DataKey, binding).await?;
        Ok(made.1)
    }

    /// Encrypts a value of at most [`Ciphertext::MAX_VALUE`] bytes under a data key of its own.
    ///
    /// # Errors
    /// [`KmsError::Invalid`] if it is longer; else as [`generate_data_key`](Self::generate_data_key).
    pub async fn encrypt(
        &self,
        permit: Permit<action::Encrypt>,
        plaintext: &SecretBytes,
        binding: &Binding,
    ) -> Result<Ciphertext> {
        if plaintext.len() > Ciphertext::MAX_VALUE {
            return Err(KmsError::invalid(format!(
                "the value has {} bytes; the service encrypts at most {}: seal it with a data key",
                plaintext.len(),
                Ciphertext::MAX_VALUE
            )));
        }
        let (key, wrapped) =
            self.make_data_key(permit.key(), CiphertextKind::Value, binding).await?;
        let context = binding::of_value(binding);
        let sealed = plaintext.with_bytes(|value| cobblestone::seal(&key, &context, value))?;
        Ok(Ciphertext::of_value(
            wrapped.key_id(),
            wrapped.version(),
            *wrapped.wrapped_key(),
            sealed,
        ))
    }

    /// Opens a ciphertext: the value, or the 32 bytes of the data key.
    ///
    /// # Errors
    /// [`KmsError::Rejected`] if it does not open, [`KmsError::KeyUnusable`] if the version may not,
    /// [`KmsError::Unavailable`].
    pub async fn decrypt(
        &self,
        permit: Permit<action::Decrypt>,
        ciphertext: &Ciphertext,
        binding: &Binding,
    ) -> Result<SecretBytes> {
        self.certain().await?;
        let record = self.key_of(permit.key(), ciphertext)?;
        let key = self.unwrap(&record, ciphertext, binding, VersionUse::UnwrapForCaller).await?;
        match ciphertext.kind() {
            CiphertextKind::DataKey => Ok(key.into_secret_bytes()),
            _ => {
                let context = binding::of_value(binding);
                Ok(cobblestone::open(&key, &context, ciphertext.sealed_value())?)
            }
        }
    }

    /// Moves a ciphertext to the primary version. The new wrapping is unwrapped again and compared
    /// before it is returned; one that is there already is opened too, then returned as it is.
    ///
    /// # Errors
    /// As [`decrypt`](Self::decrypt). A quarantined version is moved for a campaign only, unless it is
    /// being drained.
    pub async fn rewrap(
        &self,
        permit: Permit<action::Rewrap>,
        ciphertext: Ciphertext,
        binding: &Binding,
        usage: RewrapUse,
    ) -> Result<Ciphertext> {
        self.certain().await?;
        let record = self.key_of(permit.key(), &ciphertext)?;
        // First of all: a refusal is counted under the version, which must be one.
        let found = record.version(ciphertext.version()).ok_or(KmsError::Rejected)?;
        let version = primary_of(&record)?;
        if usage != RewrapUse::Reencryption && self.has_leaked(&record.path, found) {
            return Err(KmsError::key_unusable(format!(
                "key material of {} may have leaked, and a rewrap does not cure that; run a campaign of mode \
                 reencrypt",
                record.path
            )));
        }
        let wanted = match usage {
            RewrapUse::Plain => VersionUse::UnwrapForCaller,
            RewrapUse::Campaign | RewrapUse::Reencryption => VersionUse::UnwrapInternally,
        };
        let key = self.unwrap(&record, &ciphertext, binding, wanted).await?;
        if ciphertext.version() == version {
            return Ok(ciphertext);
        }
        let kind = ciphertext.kind();
        let wrapped = self.wrap(&record, version, kind, binding, &key).await?;
        let moved = ciphertext.rewrapped(version, wrapped);
        let again = self.unwrap(&record, &moved, binding, VersionUse::UnwrapForCaller).await?;
        if !again.is_same_as(&key) {
            return Err(KmsError::unavailable(
                "a data key did not come out of its new wrapping as it went in; keep the old one",
            ));
        }
        Ok(moved)
    }

    /// The key that a campaign is to move envelopes of, and the version it moves them to.
    ///
    /// # Errors
    /// [`KmsError::NotFound`], [`KmsError::Invalid`] for a signing key, [`KmsError::KeyUnusable`] if no
    /// version is primary.
    pub async fn rewrap_target(
        &self,
        permit: &Permit<action::Rewrap>,
    ) -> Result<(KeyId, KeyVersion)> {
        self.certain().await?;
        let record = self.record(permit.key())?;
        if record.purpose != Purpose::Encryption {
            return Err(KmsError::invalid(format!(
                "the key {} signs; it wraps nothing",
                record.path
            )));
        }
        Ok((record.id, primary_of(&record)?))
    }

    async fn make_data_key(
        &self,
        path: &KeyPath,
        kind: CiphertextKind,
        binding: &Binding,
    ) -> Result<(SecretKey, Ciphertext)> {
        self.certain().await?;
        let record = self.record(path)?;
        if record.purpose != Purpose::Encryption {
            return Err(KmsError::invalid(format!("the key {path} signs; it wraps nothing")));
        }
        let version = primary_of(&record)?;
        let key = SecretKey::make_random()?;
        let wrapped = self.wrap(&record, version, kind, binding, &key).await?;
        Ok((key, Ciphertext::of_data_key(record.id, version, wrapped)))
    }

    async fn wrap(
        &self,
        record: &Arc<KeyRecord>,
        version: KeyVersion,
        kind: CiphertextKind,
        binding: &Binding,
        key: &SecretKey,
    ) -> Result<[u8; Ciphertext::WRAPPED_KEY]> {
        let context = binding::of_data_key(Node::of(record, version), kind, binding);
        let salt = Salt::make_random()?;
        let derivation = Derivation::new(Role::DekWrap, salt, &context);
        let input = self.derive(record, version, &derivation).await?;
        let wrapped = cobblestone::wrap_key(input, salt, &context, key)?;
        self.confirm(record, version, |now| check_wrapped(now, version))?;
        Ok(wrapped)
    }

    async fn unwrap(
        &self,
        record: &Arc<KeyRecord>,
        ciphertext: &Ciphertext,
        binding: &Binding,
        wanted: VersionUse,
    ) -> Result<SecretKey> {
        let number = ciphertext.version();
        check_use(record, number, wanted)?;
        let context = binding::of_data_key(Node::of(record, number), ciphertext.kind(), binding);
        let message = ciphertext.wrapped_key();
        let derivation = Derivation::new(Role::DekWrap, cobblestone::salt_of(message)?, &context);
        let input = self.derive(record, number, &derivation).await?;
        let key = cobblestone::unwrap_key(input, &context, message)?;
        self.confirm(record, number, |now| check_use(now, number, wanted))?;
        Ok(key)
    }

    /// Whether the use is still allowed, after the token was waited for: a version that was disabled
    /// meanwhile gives nothing any more, and its key, if it was loaded late, leaves the cache.
    fn confirm(
        &self,
        record: &Arc<KeyRecord>,
        version: KeyVersion,
        check: impl FnOnce(&KeyRecord) -> Result<()>,
    ) -> Result<()> {
        let now = self.record(&record.path).map_err(|_| KmsError::Rejected)?;
        check(&now)
            .and_then(|()| self.check_ancestors(&now, version))
            .inspect_err(|_| self.cache.forget(record.id, version))
    }

    /// The record a ciphertext names, which must be the one permitted.
    fn key_of(&self, permitted: &KeyPath, ciphertext: &Ciphertext) -> Result<Arc<KeyRecord>> {
        let record = self.record(permitted).map_err(|_| KmsError::Rejected)?;
        if record.id == ciphertext.key_id() { Ok(record) } else { Err(KmsError::Rejected) }
    }
}
