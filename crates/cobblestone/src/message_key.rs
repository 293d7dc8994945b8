//! The single-use key of one message: from input key, salt and context to cipher, nonces, commitment.
//!
//! ```text
//! key (32) || base nonce (12) || commitment (32) = HKDF-Expand-SHA-512(input key,
//!     "c2sp.org/chunked-encryption@v1+" || "AEAD_AES_256_GCM" || 00 || salt (24) || context)
//! ```
//!
//! Expand (RFC 5869, section 2.3) is written over HMAC: the input key is uniformly random, so there is
//! no Extract, and it has 32 bytes, which `Hkdf::from_prk` refuses for SHA-512.
//! Invariant: no chunk is opened before the commitment was compared, in constant time; a chunk number
//! past the limit has no nonce.

#![expect(clippy::disallowed_methods, reason = "keys the HMAC of HKDF-Expand with the input key")]

use claviger_kms::{Salt, SecretKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha512;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::{
    Result,
    aead::{Cipher, KEY, NONCE},
    error::Error,
    layout::{COMMITMENT, MOST_CHUNKS, OVERHEAD, TOO_LONG, join_header, split_header},
};

/// What seals or opens the chunks of one message.
pub(crate) struct MessageKey {
    cipher: Cipher,
    base_nonce: Zeroizing<[u8; NONCE]>,
    commitment: [u8; COMMITMENT],
}

impl MessageKey {
    /// The key of a new message, with the header the message begins with.
    pub(crate) fn for_sealing(
        input_key: &SecretKey,
        salt: &Salt,
        context: &[u8],
    ) -> Result<(Self, [u8; OVERHEAD])> {
        let key = Self::derive(input_key, salt, context)?;
        let header = join_header(salt, &key.commitment);
        Ok((key, header))
    }

    /// The key of the message that begins with this header.
    ///
    /// # Errors
    /// [`Error::Rejected`] when the commitment is another key's, salt's or context's.
    pub(crate) fn for_opening(
        input_key: &SecretKey,
        context: &[u8],
        header: &[u8; OVERHEAD],
    ) -> Result<Self> {
        let (salt, commitment) = split_header(header);
        let key = Self::derive(input_key, &salt, context)?;
        if bool::from(key.commitment.ct_eq(&commitment)) { Ok(key) } else { Err(Error::Rejected) }
    }

    /// Seals chunk `number` from `plain` into `sealed`, which is 16 bytes longer.
    ///
    /// # Errors
    /// [`Error::TooLong`] for chunk 2^38 and later.
    pub(crate) fn seal_chunk(&self, number: u64, plain: &[u8], sealed: &mut [u8]) -> Result<()> {
        self.cipher.seal(&self.nonce(number).ok_or(TOO_LONG)?, plain, sealed)
    }

    /// Opens chunk `number` from `sealed` into `plain`, which is 16 bytes shorter.
    ///
    /// # Errors
    /// [`Error::Rejected`]; `plain` then holds only zeros.
    pub(crate) fn open_chunk(&self, number: u64, sealed: &[u8], plain: &mut [u8]) -> Result<()> {
        self.cipher.open(&self.nonce(number).ok_or(Error::Rejected)?, sealed, plain)
    }

    fn derive(input_key: &SecretKey, salt: &Salt, context: &[u8]) -> Result<Self> {
        let mut output = expand(input_key, salt, context);
        let (key, rest) = output.split_at_mut(KEY);
        let (nonce, rest) = rest.split_at_mut(NONCE);
        let mut message_key = Self {
            cipher: Cipher::new((&*key).try_into().map_err(|_| Error::CipherFailed)?)?,
            base_nonce: Zeroizing::new([0; NONCE]),
            commitment: [0; COMMITMENT],
        };
        message_key.base_nonce.copy_from_slice(nonce);
        message_key.commitment.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        Ok(message_key)
    }

    /// The base nonce XOR the chunk's number, big-endian and as wide as the nonce.
    fn nonce(&self, number: u64) -> Option<[u8; NONCE]> {
        let mut nonce = *self.base_nonce;
        nonce.iter_mut().rev().zip(number.to_le_bytes()).for_each(|(to, from)| *to ^= from);
        (number < MOST_CHUNKS).then_some(nonce)
    }
}

/// Two blocks of HKDF-Expand-SHA-512: 128 bytes, of which the first 76 are used.
fn expand(input_key: &SecretKey, salt: &Salt, context: &[u8]) -> Zeroizing<[u8; 2 * HASH]> {
    // HMAC's own padding of a short key to its block: a key of block length cannot be refused.
    let mut block = Zeroizing::new([0; HMAC_BLOCK]);
    input_key.with_bytes(|key| block.iter_mut().zip(key).for_each(|(to, from)| *to = *from));
    let keyed = <Hmac<Sha512>>::new((&*block).into());

    let mut output = Zeroizing::new([0; 2 * HASH]);
    let (first, second) = output.split_at_mut(HASH);
    expand_block(&keyed, &[], salt, context, 1, first);
    expand_block(&keyed, first, salt, context, 2, second);
    output
}

/// `HMAC(input key, previous || info || counter)`
fn expand_block(
    keyed: &Hmac<Sha512>,
    previous: &[u8],
    salt: &Salt,
    context: &[u8],
    counter: u8,
    output: &mut [u8],
) {
    let mut mac = keyed.clone();
    for part in [previous, LABEL, salt.as_bytes(), context, &[counter]] {
        mac.update(part);
    }
    let mut block = mac.finalize().into_bytes();
    output.copy_from_slice(&block);
    block.as_mut_slice().zeroize();
}

/// What the derivation begins with: the construction, its version and the AEAD's IANA name.
const LABEL: &[u8] = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0";

/// Bytes of a SHA-512 hash.
const HASH: usize = 64;

/// Bytes of a SHA-512 block.
const HMAC_BLOCK: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TAG;

    fn key() -> SecretKey {
        SecretKey::make_with(|key| {
            key.fill(7);
            Ok::<_, Error>(())
        })
        .unwrap()
    }

    fn message_key() -> MessageKey {
        MessageKey::for_sealing(&key(), &Salt::from_bytes([1; 24]), b"c").unwrap().0
    }

    #[test]
    fn the_nonce_is_the_base_xor_the_number() {
        let key = message_key();
        let xor = |number: u64| -> Vec<u8> {
            let nonce = key.nonce(number).unwrap();
            nonce.iter().zip(*key.base_nonce).map(|(a, b)| a ^ b).collect()
        };
        assert_eq!(xor(0), [0; 12]);
        assert_eq!(xor(0x01_0203), [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3]);
        assert_eq!(xor(MOST_CHUNKS - 1), [0, 0, 0, 0, 0, 0, 0, 0x3F, 0xFF, 0xFF, 0xFF, 0xFF]);
    }

    #[test]
    fn refuses_a_chunk_past_the_limit() {
        let (key, mut sealed) = (message_key(), [0; TAG]);
        for number in [MOST_CHUNKS, MOST_CHUNKS + 1, u64::MAX] {
            let refused = key.seal_chunk(number, &[], &mut sealed);
            assert!(matches!(refused, Err(Error::TooLong { limit: 4_503_599_627_370_495 })));
            assert!(matches!(key.open_chunk(number, &sealed, &mut []), Err(Error::Rejected)));
        }
        assert!(key.seal_chunk(MOST_CHUNKS - 1, &[], &mut sealed).is_ok());
    }

    #[test]
    fn refuses_every_altered_bit_of_the_header() {
        let salt = Salt::from_bytes([1; 24]);
        let (_, header) = MessageKey::for_sealing(&key(), &salt, b"c").unwrap();
        assert!(MessageKey::for_opening(&key(), b"c", &header).is_ok());
        for bit in 0..OVERHEAD * 8 {
            let mut altered = header;
            altered[bit / 8] ^= 1 << (bit % 8);
            let refused = MessageKey::for_opening(&key(), b"c", &altered);
            assert!(matches!(refused, Err(Error::Rejected)), "bit {bit}");
        }
    }
}
