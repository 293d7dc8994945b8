//! A 256-bit key as a message: salt 24, commitment 32, key 32, tag 16, which is 104 bytes.
//!
//! Invariant: the plain key stands only in [`SecretKey`]s, from one to the other by way of the cipher.

#![expect(clippy::disallowed_methods, reason = "seals the bytes of the key that is wrapped")]

use claviger_kms::{Salt, SecretKey};

use crate::{
    Error, Result,
    layout::{OVERHEAD, WRAPPED_KEY_LENGTH},
    message_key::MessageKey,
};

/// Wraps `key` under the input key derived for `salt`, bound to `context`.
///
/// # Errors
/// [`Error::CipherFailed`].
pub fn wrap_key(
    derived: SecretKey,
    salt: Salt,
    context: &[u8],
    key: &SecretKey,
) -> Result<[u8; WRAPPED_KEY_LENGTH]> {
    let (message_key, header) = MessageKey::for_sealing(&derived, &salt, context)?;
    let mut wrapped = [0; WRAPPED_KEY_LENGTH];
    let (start, body) = wrapped.split_first_chunk_mut::<OVERHEAD>().ok_or(Error::CipherFailed)?;
    *start = header;
    key.with_bytes(|plain| message_key.seal_chunk(0, plain, body))?;
    Ok(wrapped)
}

/// Unwraps what [`wrap_key`] made, with the input key derived for the salt it begins with
/// ([`salt_of`](crate::salt_of)).
///
/// # Errors
/// [`Error::Rejected`].
pub fn unwrap_key(
    derived: SecretKey,
    context: &[u8],
    wrapped: &[u8; WRAPPED_KEY_LENGTH],
) -> Result<SecretKey> {
    let (header, body) = wrapped.split_first_chunk::<OVERHEAD>().ok_or(Error::Rejected)?;
    let message_key = MessageKey::for_opening(&derived, context, header)?;
    SecretKey::make_with(|plain| message_key.open_chunk(0, body, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapping_key(byte: u8) -> SecretKey {
        SecretKey::make_with(|key| {
            key.fill(byte);
            Ok::<_, Error>(())
        })
        .unwrap()
    }

    const SALT: [u8; 24] = [3; 24];

    fn wrapped(key: &SecretKey) -> [u8; WRAPPED_KEY_LENGTH] {
        wrap_key(wrapping_key(1), Salt::from_bytes(SALT), b"context", key).unwrap()
    }

    #[test]
    fn a_wrapped_key_unwraps_to_the_same_key() {
        let key = SecretKey::make_random().unwrap();
        let wrapped = wrapped(&key);
        assert_eq!(crate::salt_of(&wrapped).unwrap().as_bytes(), &SALT);
        let unwrapped = unwrap_key(wrapping_key(1), b"context", &wrapped).unwrap();
        assert!(unwrapped.is_same_as(&key));
    }

    #[test]
    fn a_wrapped_key_is_a_message_of_32_bytes() {
        let key = SecretKey::make_random().unwrap();
        let opened = crate::open_derived(wrapping_key(1), b"context", &wrapped(&key)).unwrap();
        assert!(opened.into_secret_key().unwrap().is_same_as(&key));
    }

    #[test]
    fn refuses_every_altered_byte_another_context_and_another_key() {
        let wrapped = wrapped(&SecretKey::make_random().unwrap());
        let rejected = |key: u8, context: &[u8], wrapped: &[u8; WRAPPED_KEY_LENGTH]| {
            matches!(unwrap_key(wrapping_key(key), context, wrapped), Err(Error::Rejected))
        };
        assert!(rejected(2, b"context", &wrapped));
        for context in [&b""[..], b"contex", b"context\0", b"Context"] {
            assert!(rejected(1, context, &wrapped));
        }
        for at in 0..WRAPPED_KEY_LENGTH {
            let mut altered = wrapped;
            altered[at] ^= 0x80;
            assert!(rejected(1, b"context", &altered), "byte {at}");
        }
    }
}
