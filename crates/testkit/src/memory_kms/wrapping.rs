//! What the service in memory binds, and how it wraps: as a Claviger service does, with a KEK in memory.
//!
//! Invariant: the wrapped key's context names everything a caller could mix up; the value's context names
//! nothing that a rewrap changes.

#![expect(clippy::disallowed_methods, reason = "seals the value that a test asked to encrypt")]

use claviger_cobblestone as cobblestone;
use claviger_kms::{
    Binding, Canonical, Ciphertext, Derivation, KeyMetadata, KeyVersion, KmsError, Result, Role,
    Salt, SecretBytes, SecretKey,
};

/// Wraps a data key under one version of a key.
pub(super) fn wrap(
    key: &KeyMetadata,
    version: KeyVersion,
    kek: &SecretKey,
    binding: &Binding,
    data_key: &SecretKey,
) -> Result<[u8; Ciphertext::WRAPPED_KEY]> {
    let salt = Salt::make_random()?;
    let context = wrapped_key_context(key, version, binding);
    let derived = Derivation::new(Role::DekWrap, salt, &context).derive_from(kek)?;
    Ok(cobblestone::wrap_key(derived, salt, &context, data_key)?)
}

/// Unwraps what [`wrap`] made.
pub(super) fn unwrap(
    key: &KeyMetadata,
    version: KeyVersion,
    kek: &SecretKey,
    binding: &Binding,
    wrapped: &[u8; Ciphertext::WRAPPED_KEY],
) -> Result<SecretKey> {
    let salt = cobblestone::salt_of(wrapped)?;
    let context = wrapped_key_context(key, version, binding);
    let derived = Derivation::new(Role::DekWrap, salt, &context).derive_from(kek)?;
    Ok(cobblestone::unwrap_key(derived, &context, wrapped)?)
}

/// Seals a small value under its data key.
pub(super) fn seal_value(
    data_key: &SecretKey,
    binding: &Binding,
    value: &SecretBytes,
) -> Result<Vec<u8>> {
    if value.len() > Ciphertext::MAX_VALUE {
        return Err(KmsError::invalid(format!(
            "a value of {} bytes; at most {} are encrypted by the service, seal an envelope instead",
            value.len(),
            Ciphertext::MAX_VALUE
        )));
    }
    let context = value_context(binding);
    Ok(value.with_bytes(|plain| cobblestone::seal(data_key, &context, plain))?)
}

/// Opens what [`seal_value`] made.
pub(super) fn open_value(
    data_key: &SecretKey,
    binding: &Binding,
    sealed: &[u8],
) -> Result<SecretBytes> {
    Ok(cobblestone::open(data_key, &value_context(binding), sealed)?)
}

fn wrapped_key_context(key: &KeyMetadata, version: KeyVersion, binding: &Binding) -> Vec<u8> {
    Canonical::new("claviger/1/dek-wrap")
        .u32(u32::from(Ciphertext::FORMAT))
        .bytes(key.id.as_bytes())
        .text(key.key.as_str())
        .u32(version.number())
        .text(key.purpose.as_str())
        .bytes(envelope_id(binding))
        .bytes(&binding.context.canonical_bytes())
        .finish()
}

fn value_context(binding: &Binding) -> Vec<u8> {
    Canonical::new("claviger/1/value")
        .u32(u32::from(Ciphertext::FORMAT))
        .bytes(envelope_id(binding))
        .bytes(&binding.context.canonical_bytes())
        .finish()
}

/// The 16 bytes, or none: an absent id is not the id of zeros.
fn envelope_id(binding: &Binding) -> &[u8] {
    binding.envelope_id.as_ref().map_or(&[], |id| id.as_bytes())
}
