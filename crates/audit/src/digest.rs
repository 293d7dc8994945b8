//! Hashes and ids in hexadecimal: lower case, fixed length, one spelling.

use std::{fmt, str::FromStr};

use claviger_kms::{KmsError, fill_random};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

macro_rules! hex_value {
    ($(#[$doc:meta])* $name:ident, $what:literal, $length:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; $length]);

        impl $name {
            /// Length in bytes; there are twice as many hexadecimal digits.
            pub const LENGTH: usize = $length;

            /// The value with these bytes.
            #[must_use]
            pub fn from_bytes(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = KmsError;

            fn from_str(text: &str) -> Result<Self, KmsError> {
                let refused = || {
                    KmsError::invalid(format!(
                        concat!($what, " has {} hexadecimal digits in lower case"),
                        2 * $length
                    ))
                };
                if text.chars().any(|c| c.is_ascii_uppercase()) {
                    return Err(refused());
                }
                let mut bytes = [0; $length];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| refused())?;
                Ok(Self(bytes))
            }
        }

        impl TryFrom<String> for $name {
            type Error = KmsError;

            fn try_from(text: String) -> Result<Self, KmsError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&hex::encode(self.0))
            }
        }
    };
}

hex_value!(
    /// A SHA-256 hash (FIPS 180-4) of something that is not secret: a policy, a key record, a segment.
    Digest,
    "a hash",
    32
);
hex_value!(
    /// One run of one service process: random, made when it opens the log.
    InstanceId,
    "an instance id",
    8
);

impl Digest {
    /// SHA-256(`bytes`). Not for values a reader could guess: those need
    /// [`KeyedHasher`](crate::KeyedHasher).
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl InstanceId {
    /// A random id.
    ///
    /// # Errors
    /// [`KmsError::Unavailable`] when the operating system gives no random bytes.
    pub fn make_random() -> Result<Self, KmsError> {
        let mut bytes = [0; Self::LENGTH];
        fill_random(&mut bytes)?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_has_one_spelling() {
        let hash = Digest::of(b"abc");
        // FIPS 180-4, the example of one block.
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.to_string(), known);
        assert_eq!(known.parse(), Ok(hash));
        for bad in [&known.to_uppercase(), &known[1..], &format!("{known}0"), "", "zz"] {
            assert!(bad.parse::<Digest>().is_err(), "{bad} was taken");
        }
    }
}
