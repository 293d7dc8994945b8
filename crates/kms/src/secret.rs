//! Secret bytes: on the heap, made in place, wiped when dropped.
//!
//! Invariant: the only way to look inside is [`SecretKey::with_bytes`] / [`SecretBytes::with_bytes`],
//! which hand out a reference for the length of a closure. Both are banned by the workspace's clippy
//! configuration and allowed again, with a reason, in the modules that `README.md` lists.
//! Neither type can be cloned, compared, displayed or serialised, and `Debug` shows only the length.

#![expect(clippy::disallowed_methods, reason = "the accessors themselves")]

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

use crate::KmsError;

/// A 256-bit key (32 bytes) held on the heap and wiped when dropped.
pub struct SecretKey(Box<Zeroizing<[u8; SecretKey::LENGTH]>>);

impl SecretKey {
    /// Length of a key in bytes.
    pub const LENGTH: usize = 32;

    /// A key of 32 bytes from the operating system's generator (`getrandom(2)`).
    ///
    /// # Errors
    /// [`KmsError::Unavailable`] when the operating system gives no random bytes.
    pub fn make_random() -> Result<Self, KmsError> {
        let mut key = Self::zeroed();
        fill_random(key.0.as_mut_slice())?;
        Ok(key)
    }

    /// A key whose bytes are written in place by `fill`, which gets 32 zero bytes.
    ///
    /// # Errors
    /// Whatever `fill` returns.
    pub fn make_with<E>(
        fill: impl FnOnce(&mut [u8; Self::LENGTH]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut key = Self::zeroed();
        fill(&mut key.0)?;
        Ok(key)
    }

    /// Looks at the 32 bytes for the length of `look`.
    pub fn with_bytes<R>(&self, look: impl FnOnce(&[u8; Self::LENGTH]) -> R) -> R {
        look(&self.0)
    }

    /// Whether both keys are the same, in constant time.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        use subtle::ConstantTimeEq as _;
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }

    /// The same key as variable-length secret bytes; the original is wiped.
    #[must_use]
    pub fn into_secret_bytes(self) -> SecretBytes {
        self.with_bytes(|key| SecretBytes::copy_of(key))
    }

    fn zeroed() -> Self {
        Self(Box::new(Zeroizing::new([0; Self::LENGTH])))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(32 bytes)")
    }
}

/// Secret bytes of any length held on the heap and wiped when dropped.
pub struct SecretBytes(Zeroizing<Box<[u8]>>);

impl SecretBytes {
    /// Takes a vector over; its whole buffer, spare capacity included, is wiped if it must move.
    #[must_use]
    pub fn from_vec(mut bytes: Vec<u8>) -> Self {
        if bytes.len() == bytes.capacity() {
            return Self(Zeroizing::new(bytes.into_boxed_slice()));
        }
        let copy = Self::copy_of(&bytes);
        bytes.zeroize();
        copy
    }

    /// A copy of `bytes`, for callers who do not own a buffer; they wipe their own.
    #[must_use]
    pub fn copy_of(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(Box::from(bytes)))
    }

    /// Number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether both are the same, in constant time for equal lengths.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        use subtle::ConstantTimeEq as _;
        self.0.as_ref().ct_eq(other.0.as_ref()).into()
    }

    /// Looks at the bytes for the length of `look`.
    pub fn with_bytes<R>(&self, look: impl FnOnce(&[u8]) -> R) -> R {
        look(&self.0)
    }

    /// The bytes as a 256-bit key; the original is wiped.
    ///
    /// # Errors
    /// [`KmsError::Invalid`] unless there are exactly 32 bytes.
    pub fn into_secret_key(self) -> Result<SecretKey, KmsError> {
        let length = self.len();
        SecretKey::make_with(|key| {
            if length != key.len() {
                return Err(KmsError::invalid(format!(
                    "a key has 32 bytes, these secret bytes have {length}"
                )));
            }
            key.copy_from_slice(&self.0);
            Ok(())
        })
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} bytes)", self.len())
    }
}

/// Fills `bytes` from the operating system's generator.
///
/// # Errors
/// [`KmsError::Unavailable`] when the operating system gives no random bytes.
pub fn fill_random(bytes: &mut [u8]) -> Result<(), KmsError> {
    getrandom::fill(bytes).map_err(|source| {
        KmsError::unavailable(format!("the operating system gives no random bytes: {source}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_byte() {
        let key = SecretKey::make_with(|k| {
            k.fill(0xAB);
            Ok::<_, KmsError>(())
        })
        .unwrap();
        assert_eq!(format!("{key:?}"), "SecretKey(32 bytes)");
        assert_eq!(format!("{:?}", SecretBytes::copy_of(b"hunter2")), "SecretBytes(7 bytes)");
    }

    #[test]
    fn refuses_a_key_of_31_or_33_bytes() {
        for length in [0, 31, 33] {
            assert!(SecretBytes::from_vec(vec![1; length]).into_secret_key().is_err());
        }
    }

    #[test]
    fn two_random_keys_differ_and_a_copy_is_the_same() {
        let (a, b) = (SecretKey::make_random().unwrap(), SecretKey::make_random().unwrap());
        assert!(!a.is_same_as(&b));
        let copy = a.with_bytes(|x| SecretBytes::copy_of(x)).into_secret_key().unwrap();
        assert!(a.is_same_as(&copy));
    }
}
