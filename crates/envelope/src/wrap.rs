//! One wrap: the data key as one key service returned it.
//!
//! Invariant: 1 to 1,000 bytes, so that four wraps fit into one header slot of a file. A wrap that is
//! *made* for provider Claviger has that service's layout, which is what puts key id and version at a
//! fixed offset of the envelope; a wrap that is *read* may be of a layout still unknown here.

use claviger_kms::{Ciphertext, KeyId, KeyVersion, KmsError};

use crate::{EnvelopeError, Provider, Result};

/// A data key wrapped by one key service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrap {
    provider: Provider,
    ciphertext: Vec<u8>,
}

impl Wrap {
    /// Most bytes of one wrapped data key.
    pub const MAX_LENGTH: usize = 1000;
    /// Bytes before the wrapped data key: provider 1, length 2.
    pub const HEADER: usize = 3;

    /// The wrap of what a service of this provider returned.
    ///
    /// # Errors
    /// [`EnvelopeError::Kms`] with `KmsError::Invalid` when there are no bytes or too many, or when they
    /// are not what the provider's services return.
    pub fn new(provider: Provider, ciphertext: Vec<u8>) -> Result<Self> {
        if !Self::allows_length(ciphertext.len()) {
            return Err(EnvelopeError::from(KmsError::invalid(format!(
                "the key service returned a wrapped data key of {} bytes; an envelope holds 1 to {}",
                ciphertext.len(),
                Self::MAX_LENGTH
            ))));
        }
        if provider == Provider::CLAVIGER {
            Ciphertext::parse(&ciphertext)?;
        }
        Ok(Self { provider, ciphertext })
    }

    /// Reads one wrap off the front of `bytes`; gives the rest back.
    ///
    /// # Errors
    /// [`EnvelopeError::NotAnEnvelope`] when the bytes end before the wrap does, or a number is not allowed.
    pub(crate) fn parse(bytes: &[u8]) -> Result<(Self, &[u8])> {
        let ended = || EnvelopeError::not_an_envelope("it ends inside its header");
        let (&[provider, high, low], rest) =
            bytes.split_first_chunk::<{ Self::HEADER }>().ok_or_else(ended)?;
        let provider = Provider::from_number(provider)
            .ok_or_else(|| EnvelopeError::not_an_envelope("a wrap has provider 0"))?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if !Self::allows_length(length) {
            return Err(EnvelopeError::not_an_envelope(format!(
                "a wrap has {length} bytes; 1 to {} are allowed",
                Self::MAX_LENGTH
            )));
        }
        let (ciphertext, rest) = rest.split_at_checked(length).ok_or_else(ended)?;
        Ok((Self { provider, ciphertext: ciphertext.to_vec() }, rest))
    }

    pub(crate) fn write_to(&self, bytes: &mut Vec<u8>) {
        let length = u16::try_from(self.ciphertext.len()).unwrap_or(u16::MAX);
        bytes.push(self.provider.number());
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&self.ciphertext);
    }

    /// Whose key service it belongs to.
    #[must_use]
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// The wrapped data key, as the service returned it.
    #[must_use]
    pub fn ciphertext(&self) -> &[u8] {
        &self.ciphertext
    }

    /// The key and version it claims to be under, for provider Claviger. Reading needs no key, so trusting
    /// needs one.
    #[must_use]
    pub fn key_version(&self) -> Option<(KeyId, KeyVersion)> {
        if self.provider != Provider::CLAVIGER {
            return None;
        }
        let ciphertext = Ciphertext::parse(&self.ciphertext).ok()?;
        Some((ciphertext.key_id(), ciphertext.version()))
    }

    fn allows_length(length: usize) -> bool {
        (1..=Self::MAX_LENGTH).contains(&length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_to_make_a_wrap_that_is_empty_too_long_or_of_another_layout() {
        assert!(Wrap::new(Provider::AWS_KMS, Vec::new()).is_err());
        assert!(Wrap::new(Provider::AWS_KMS, vec![0; 1001]).is_err());
        assert!(Wrap::new(Provider::CLAVIGER, vec![2; 126]).is_err());
        assert!(Wrap::new(Provider::AWS_KMS, vec![0; 1000]).is_ok());
    }

    #[test]
    fn reads_a_claviger_wrap_of_a_later_layout_without_a_version() {
        let (wrap, rest) = Wrap::parse(&[1, 0, 2, 9, 9, 5]).unwrap();
        assert_eq!((wrap.key_version(), rest), (None, &[5][..]));
    }

    #[test]
    fn another_providers_bytes_are_never_taken_for_a_key_id() {
        let key = Ciphertext::of_data_key(KeyId::from_bytes([3; 16]), KeyVersion::FIRST, [4; 104]);
        let claviger = Wrap::new(Provider::CLAVIGER, key.to_bytes()).unwrap();
        let other = Wrap::new(Provider::AWS_KMS, key.to_bytes()).unwrap();
        assert_eq!(claviger.key_version(), Some((key.key_id(), key.version())));
        assert_eq!(other.key_version(), None);
    }
}
