//! Where everything stands in a message: salt, commitment, then chunks, each with its tag.
//!
//! Invariant: there is one chunking for every length. All chunks hold [`CHUNK`] bytes but the last,
//! which is shorter and may be empty, so a length says how many chunks there are and a message that
//! ends on a full chunk has lost its end. Source: C2SP chunked-encryption v1, "Message chunking".

use claviger_kms::{Ciphertext, Salt};

use crate::{Error, Result};

/// Bytes before the first chunk: salt 24 and commitment 32.
pub const OVERHEAD: usize = Salt::LENGTH + COMMITMENT;

/// Bytes of plaintext in every chunk but the last.
pub const CHUNK: usize = 16 * 1024;

/// Bytes of the tag at the end of every chunk.
pub const TAG: usize = 16;

/// Bytes of a wrapped 256-bit key: overhead, 32 bytes, one tag.
pub const WRAPPED_KEY_LENGTH: usize = Ciphertext::WRAPPED_KEY;

/// Bytes of the message for `plain` bytes of plaintext; `None` past the limit of 2^52 - 1 bytes, which
/// is 2^38 chunks with the last one not full.
///
/// `56 + plain + 16 * (plain / 16384 + 1)`
#[must_use]
pub fn sealed_length(plain: u64) -> Option<u64> {
    let chunks = plain / CHUNK as u64 + 1;
    (plain <= MOST_PLAIN).then(|| OVERHEAD as u64 + plain + chunks * TAG as u64)
}

/// Bytes of plaintext in a message of `sealed` bytes. The length alone is not proof of anything:
/// whoever seeks from the end verifies the last chunk first, as [`SeekReader`](crate::SeekReader) does.
///
/// # Errors
/// [`Error::Rejected`] for a length no message has: below 72, or 0 to 15 bytes past a full chunk, or
/// past the limit.
pub fn plain_length(sealed: u64) -> Result<u64> {
    let body = sealed.checked_sub(OVERHEAD as u64).ok_or(Error::Rejected)?;
    let (full, rest) = (body / SEALED_CHUNK as u64, body % SEALED_CHUNK as u64);
    let last = rest.checked_sub(TAG as u64).ok_or(Error::Rejected)?;
    if full >= MOST_CHUNKS {
        return Err(Error::Rejected);
    }
    Ok(full * CHUNK as u64 + last)
}

/// The salt a message begins with: what its input key is derived for.
///
/// # Errors
/// [`Error::Rejected`] for a message of a length that no message has.
pub fn salt_of(message: &[u8]) -> Result<Salt> {
    plain_length(message.len() as u64)?;
    let (header, _) = message.split_first_chunk().ok_or(Error::Rejected)?;
    Ok(split_header(header).0)
}

/// Salt and commitment.
pub(crate) fn split_header(header: &[u8; OVERHEAD]) -> (Salt, [u8; COMMITMENT]) {
    let (mut salt, mut commitment) = ([0; Salt::LENGTH], [0; COMMITMENT]);
    let (first, second) = header.split_at(Salt::LENGTH);
    salt.copy_from_slice(first);
    commitment.copy_from_slice(second);
    (Salt::from_bytes(salt), commitment)
}

/// Salt and commitment as they stand at the start of a message.
pub(crate) fn join_header(salt: &Salt, commitment: &[u8; COMMITMENT]) -> [u8; OVERHEAD] {
    let mut header = [0; OVERHEAD];
    let (first, second) = header.split_at_mut(Salt::LENGTH);
    first.copy_from_slice(salt.as_bytes());
    second.copy_from_slice(commitment);
    header
}

/// The refusal of a plaintext past the limit.
pub(crate) const TOO_LONG: Error = Error::TooLong { limit: MOST_PLAIN };

/// Bytes of the key commitment.
pub(crate) const COMMITMENT: usize = 32;

/// Bytes of a full chunk with its tag.
pub(crate) const SEALED_CHUNK: usize = CHUNK + TAG;

/// Most chunks in one message.
pub(crate) const MOST_CHUNKS: u64 = 1 << 38;

/// Most bytes of plaintext in one message: 4 PiB - 1.
const MOST_PLAIN: u64 = MOST_CHUNKS * CHUNK as u64 - 1;

const _: () = assert!(WRAPPED_KEY_LENGTH == OVERHEAD + 32 + TAG);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_as_specified() {
        for (plain, sealed) in [
            (0, 72),
            (1, 73),
            (32, 104),
            (16383, 16455),
            (16384, 16472),
            (16385, 16473),
            (32768, 32872),
            (MOST_PLAIN, 56 + (1 << 52) - 1 + (1 << 42)),
        ] {
            assert_eq!(sealed_length(plain), Some(sealed));
            assert_eq!(plain_length(sealed).unwrap(), plain);
        }
    }

    #[test]
    fn refuses_a_plaintext_past_the_limit() {
        for plain in [MOST_PLAIN + 1, u64::MAX] {
            assert_eq!(sealed_length(plain), None);
        }
    }

    #[test]
    fn refuses_lengths_no_message_has() {
        let impossible = (0..72)
            .chain([1, 2, 1000].into_iter().flat_map(|k| (0..16).map(move |n| 56 + k * 16400 + n)))
            .chain([56 + 16400 * (1 << 38) + 16, 56 + 16400 * (1 << 38), u64::MAX]);
        for sealed in impossible {
            assert!(matches!(plain_length(sealed), Err(Error::Rejected)), "took {sealed}");
        }
    }

    #[test]
    fn every_possible_length_up_to_three_chunks_has_one_plaintext_length() {
        let mut lengths = (72..56 + 3 * 16400).filter_map(|n| plain_length(n).ok());
        assert!(lengths.by_ref().eq(0..3 * 16384));
    }

    #[test]
    fn refuses_a_salt_from_a_message_that_is_too_short() {
        assert!(matches!(salt_of(&[7; 71]), Err(Error::Rejected)));
        assert_eq!(salt_of(&[7; 72]).unwrap().as_bytes(), &[7; 24]);
    }
}
