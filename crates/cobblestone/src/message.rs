//! A whole message in memory, at once: each chunk goes straight from one buffer to the other.
//!
//! Invariant: [`open`] gives the whole plaintext of an untouched, complete message, or nothing; what it
//! had opened before it met a bad chunk is wiped.

use claviger_kms::{Salt, SecretBytes, SecretKey};
use zeroize::Zeroizing;

use crate::{
    Error, Result,
    layout::{CHUNK, OVERHEAD, SEALED_CHUNK, TOO_LONG, plain_length, sealed_length},
    message_key::MessageKey,
};

/// Seals `plaintext` under `key` with a fresh random salt, bound to `context` (any bytes, not secret,
/// not part of the message). See [`sealed_length`] for the size.
///
/// # Errors
/// [`Error::TooLong`], [`Error::Random`].
pub fn seal(key: &SecretKey, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>> {
    let salt = Salt::make_random().map_err(|source| Error::Random { source })?;
    seal_with(key, &salt, context, plaintext)
}

/// Opens what [`seal`] made with the same `key` and `context`.
///
/// # Errors
/// [`Error::Rejected`] for anything else, whatever the difference.
pub fn open(key: &SecretKey, context: &[u8], message: &[u8]) -> Result<SecretBytes> {
    let length = plain_length(message.len() as u64)?;
    let (header, body) = message.split_first_chunk::<OVERHEAD>().ok_or(Error::Rejected)?;
    let key = MessageKey::for_opening(key, context, header)?;

    let length = usize::try_from(length).map_err(|_| Error::Rejected)?;
    let mut plaintext = Zeroizing::new(vec![0; length]);
    let (sealed_chunks, sealed_last) = body.as_chunks::<SEALED_CHUNK>();
    let (chunks, last) = plaintext.as_chunks_mut::<CHUNK>();
    let mut number = 0;
    for (sealed, plain) in sealed_chunks.iter().zip(chunks) {
        key.open_chunk(number, sealed, plain)?;
        number += 1;
    }
    key.open_chunk(number, sealed_last, last)?;
    Ok(SecretBytes::from_vec(std::mem::take(&mut plaintext)))
}

/// As [`seal`], for a caller who brings the salt and the input key derived for it. The key is taken by
/// value: one derived key seals one message, for a salt must not come twice under one key.
///
/// ```compile_fail,E0382
/// # use claviger_cobblestone::seal_derived;
/// # use claviger_kms::{Salt, SecretKey};
/// let (derived, salt) = (SecretKey::make_random()?, Salt::make_random()?);
/// seal_derived(derived, salt, b"", b"one message")?;
/// seal_derived(derived, salt, b"", b"another")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::TooLong`].
pub fn seal_derived(
    derived: SecretKey,
    salt: Salt,
    context: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>> {
    seal_with(&derived, &salt, context, plaintext)
}

/// As [`open`], with the input key derived for the salt the message begins with
/// ([`salt_of`](crate::salt_of)).
///
/// # Errors
/// [`Error::Rejected`].
pub fn open_derived(derived: SecretKey, context: &[u8], message: &[u8]) -> Result<SecretBytes> {
    open(&derived, context, message)
}

fn seal_with(key: &SecretKey, salt: &Salt, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>> {
    let length = sealed_length(plaintext.len() as u64).ok_or(TOO_LONG)?;
    let mut message = vec![0; usize::try_from(length).map_err(|_| TOO_LONG)?];
    let (start, body) = message.split_first_chunk_mut::<OVERHEAD>().ok_or(TOO_LONG)?;
    let (key, header) = MessageKey::for_sealing(key, salt, context)?;
    *start = header;

    let (chunks, last) = plaintext.as_chunks::<CHUNK>();
    let (sealed_chunks, sealed_last) = body.as_chunks_mut::<SEALED_CHUNK>();
    let mut number = 0;
    for (plain, sealed) in chunks.iter().zip(sealed_chunks) {
        key.seal_chunk(number, plain, sealed)?;
        number += 1;
    }
    key.seal_chunk(number, last, sealed_last)?;
    Ok(message)
}
