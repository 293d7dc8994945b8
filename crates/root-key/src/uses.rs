//! The three uses of keys: derive, sign a checkpoint, random bytes.
//!
//! Invariant: an answer of an unexpected length is refused, never padded or cut.

use claviger_kms::{SecretBytes, SecretKey};
use cryptoki::{
    error::{Error, RvError},
    mechanism::Mechanism,
    object::ObjectHandle,
    session::Session,
};
use sha2::{Digest as _, Sha256};

use crate::{
    ObjectId, ObjectKind, TokenError, attributes::unsafe_object, fault::Fault, find, worker::Call,
};

/// HMAC-SHA-256 of `block` under the object.
pub(crate) fn derive(call: &Call<'_>, object: ObjectId, block: &[u8]) -> Result<SecretKey, Fault> {
    let key = find::usable(call, ObjectKind::Derivation, object)?;
    hmac(call.session, key, block)
}

/// HMAC-SHA-256 of `block` under the key with this handle.
pub(crate) fn hmac(session: &Session, key: ObjectHandle, block: &[u8]) -> Result<SecretKey, Fault> {
    let output = SecretBytes::from_vec(session.sign(&Mechanism::Sha256Hmac, key, block)?);
    let length = output.len();
    output.into_secret_key().map_err(|_| wrong_length("HMAC-SHA-256", length))
}

/// ECDSA over the SHA-256 of `text`: `r || s`.
pub(crate) fn checkpoint(call: &Call<'_>, object: ObjectId, text: &str) -> Result<[u8; 64], Fault> {
    let key = find::usable(call, ObjectKind::CheckpointSigning, object)?;
    ecdsa(call.session, key, text.as_bytes())
}

/// ECDSA over the SHA-256 of `message` with the key with this handle.
pub(crate) fn ecdsa(
    session: &Session,
    key: ObjectHandle,
    message: &[u8],
) -> Result<[u8; 64], Fault> {
    let signature = session.sign(&Mechanism::Ecdsa, key, &Sha256::digest(message))?;
    let length = signature.len();
    signature.try_into().map_err(|_| wrong_length("an ECDSA signature", length))
}

/// `length` random bytes.
pub(crate) fn random(session: &Session, length: usize) -> Result<SecretBytes, Fault> {
    let mut bytes = vec![0; length];
    session.generate_random_slice(&mut bytes)?;
    Ok(SecretBytes::from_vec(bytes))
}

/// Whether the public key belongs to the private one: signs and verifies, both in the token. A module
/// that cannot verify gives a warning.
///
/// # Errors
/// [`TokenError::ObjectUnsafe`] when the two do not belong together.
pub(crate) fn check_pair(
    call: &Call<'_>,
    id: ObjectId,
    private: ObjectHandle,
    public: ObjectHandle,
) -> Result<Option<String>, Fault> {
    let signature = ecdsa(call.session, private, PAIR_CHECK)?;
    let session = call.throw_away_session()?;
    match session.verify(&Mechanism::Ecdsa, public, &Sha256::digest(PAIR_CHECK), &signature) {
        Ok(()) => Ok(None),
        Err(Error::Pkcs11(RvError::SignatureInvalid | RvError::SignatureLenRange, _)) => {
            unsafe_object(id, "its public key does not verify its signatures")
        }
        Err(error) => Ok(Some(format!(
            "the module cannot verify, so the public key is taken on its word: {error}"
        ))),
    }
}

fn wrong_length(what: &str, length: usize) -> Fault {
    TokenError::Refused { function: "C_Sign", code: format!("{what} of {length} bytes") }.into()
}

/// What is signed to check a key pair; no checkpoint begins like it.
const PAIR_CHECK: &[u8] = b"claviger/1/key-pair-check";
