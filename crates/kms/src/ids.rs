//! Identifiers: newtypes with one parser each, shown and read the same everywhere.

use std::{fmt, num::NonZeroU32, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{KmsError, fill_random};

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// Length in bytes.
            pub const LENGTH: usize = 16;

            /// A random id (RFC 9562, version 4).
            ///
            /// # Errors
            /// [`KmsError::Unavailable`] when the operating system gives no random bytes.
            pub fn make_random() -> Result<Self, KmsError> {
                let mut bytes = [0; Self::LENGTH];
                fill_random(&mut bytes)?;
                Ok(Self(uuid::Builder::from_random_bytes(bytes).into_uuid()))
            }

            /// The id with these 16 bytes.
            #[must_use]
            pub fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The 16 bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; Self::LENGTH] {
                self.0.as_bytes()
            }
        }

        impl FromStr for $name {
            type Err = KmsError;

            fn from_str(text: &str) -> Result<Self, KmsError> {
                // Only the hyphenated lower-case form: one spelling for one id.
                match Uuid::parse_str(text) {
                    Ok(uuid) if uuid.hyphenated().to_string() == text => Ok(Self(uuid)),
                    _ => Err(KmsError::invalid(concat!(
                        $what,
                        " is a UUID such as 6f2c0a1e-5d3b-4c8f-9a7e-1b2c3d4e5f60, in lower case"
                    ))),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = KmsError;

            fn try_from(text: String) -> Result<Self, KmsError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }
    };
}

uuid_id!(
    /// The identity of a key: never reused, also not after its path is free again.
    KeyId,
    "a key id"
);
uuid_id!(
    /// The identity of an envelope, bound into its payload and into its wrapped data key.
    EnvelopeId,
    "an envelope id"
);
uuid_id!(
    /// The identity of a key store, made at the root ceremony.
    StoreId,
    "a store id"
);
uuid_id!(
    /// The identity of one request, in the reply's header, the log and the audit record.
    RequestId,
    "a request id"
);
uuid_id!(
    /// The identity of a request that waits for a second person.
    ApprovalId,
    "an approval id"
);
uuid_id!(
    /// The identity of one campaign, in its record, in the audit log and in each rewrap it asks for.
    CampaignId,
    "a campaign id"
);
uuid_id!(
    /// The identity of evidence that nothing needs a version, in the key's record.
    EvidenceId,
    "an evidence id"
);

/// The number of a key version: 1 for the first, one more for each further one, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyVersion(NonZeroU32);

impl KeyVersion {
    /// The first version of every key.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// The version with this number, or `None` for 0, which no version has.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0.get()
    }

    /// The version after this one.
    ///
    /// # Errors
    /// [`KmsError::Invalid`] after 2^32 - 1 versions.
    pub fn next(self) -> Result<Self, KmsError> {
        self.0.checked_add(1).map(Self).ok_or_else(|| {
            KmsError::invalid("the key has 4,294,967,295 versions, no more are possible")
        })
    }
}

impl fmt::Display for KeyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for KeyVersion {
    type Err = KmsError;

    fn from_str(text: &str) -> Result<Self, KmsError> {
        text.parse()
            .map(Self)
            .map_err(|_| KmsError::invalid("a key version is a number from 1 to 4294967295"))
    }
}

/// A caller's name for one creating request, so that repeating it creates nothing twice.
/// 1 to 64 characters of `A-Z a-z 0-9 . _ -`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IdempotencyKey {
    type Err = KmsError;

    fn from_str(text: &str) -> Result<Self, KmsError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if text.is_empty() || text.len() > 64 || !text.chars().all(plain) {
            return Err(KmsError::invalid(
                "an idempotency key has 1 to 64 characters of A-Z a-z 0-9 . _ -, such as a UUID",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for IdempotencyKey {
    type Error = KmsError;

    fn try_from(text: String) -> Result<Self, KmsError> {
        text.parse()
    }
}

impl From<IdempotencyKey> for String {
    fn from(key: IdempotencyKey) -> Self {
        key.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let id = KeyId::make_random().unwrap();
        assert_eq!(id.to_string().parse::<KeyId>().unwrap(), id);
        assert!(id.to_string().to_uppercase().parse::<KeyId>().is_err());
        assert!(id.to_string().replace('-', "").parse::<KeyId>().is_err());
        assert!(format!("{{{id}}}").parse::<KeyId>().is_err());
    }

    #[test]
    fn version_0_does_not_exist() {
        assert!(KeyVersion::new(0).is_none());
        assert!("0".parse::<KeyVersion>().is_err());
        assert!(serde_json::from_str::<KeyVersion>("0").is_err());
        assert!(KeyVersion::new(u32::MAX).unwrap().next().is_err());
    }

    #[test]
    fn refuses_an_idempotency_key_with_other_characters() {
        for bad in ["", "a b", "a\n", "ä", &"a".repeat(65)] {
            assert!(bad.parse::<IdempotencyKey>().is_err(), "{bad:?} was taken");
        }
    }
}
