//! Whose key service made a wrap: one byte in the header.

use std::{fmt, num::NonZeroU8};

use serde::{Serialize, Serializer};

/// The kind of key service a wrap belongs to. Numbers without a name are read and kept, so that a file
/// wrapped by a newer release as well still opens through the wraps known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Provider(NonZeroU8);

impl Provider {
    /// A Claviger service: the ciphertext has the layout of [`claviger_kms::Ciphertext`].
    pub const CLAVIGER: Self = Self::numbered(1);
    /// AWS KMS.
    pub const AWS_KMS: Self = Self::numbered(2);
    /// Google Cloud KMS.
    pub const GCP_KMS: Self = Self::numbered(3);
    /// Azure Key Vault.
    pub const AZURE_KEY_VAULT: Self = Self::numbered(4);
    /// The Transit engine of Vault or OpenBao.
    pub const VAULT_TRANSIT: Self = Self::numbered(5);

    /// The provider with this number; `None` for 0, which no provider has.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        NonZeroU8::new(number).map(Self)
    }

    /// The number in the header.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0.get()
    }

    const fn numbered(number: u8) -> Self {
        match NonZeroU8::new(number) {
            Some(number) => Self(number),
            None => Self(NonZeroU8::MIN),
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::CLAVIGER => f.pad("claviger"),
            Self::AWS_KMS => f.pad("aws-kms"),
            Self::GCP_KMS => f.pad("gcp-kms"),
            Self::AZURE_KEY_VAULT => f.pad("azure-key-vault"),
            Self::VAULT_TRANSIT => f.pad("vault-transit"),
            Self(number) => write!(f, "provider-{number}"),
        }
    }
}

impl Serialize for Provider {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_those_of_the_format() {
        let names = ["claviger", "aws-kms", "gcp-kms", "azure-key-vault", "vault-transit"];
        for (number, name) in (1..).zip(names) {
            assert_eq!(Provider::from_number(number).unwrap().to_string(), name);
        }
        assert_eq!(Provider::from_number(200).unwrap().to_string(), "provider-200");
        assert!(Provider::from_number(0).is_none());
    }
}
