//! The payload: one cobblestone message under the envelope's data key.
//!
//! Invariant: there is no [`PayloadKey`] without a data key that a key service has just made for this
//! envelope id and context, or has unwrapped for them, so a header that was not verified yields none; the
//! constructor is called in `data_key.rs` only. The payload's context names nothing that a rewrap or a
//! move to another key service changes.

use std::io::{Read, Seek, Write};

use claviger_cobblestone::{self as cobblestone, Reader, SeekReader, Writer};
use claviger_kms::{Canonical, EncryptionContext, EnvelopeId, SecretBytes, SecretKey};

use crate::{EnvelopeError, Header, Result};

/// What seals and opens the payload of one envelope (or, with data-key reuse, of several).
#[derive(Debug)]
pub(crate) struct PayloadKey {
    data_key: SecretKey,
    context: Vec<u8>,
}

impl PayloadKey {
    /// The payload key of this header, now that a key service has given out its data key.
    pub(crate) fn released(
        header: &Header,
        context: &EncryptionContext,
        data_key: SecretKey,
    ) -> Self {
        Self { data_key, context: payload_context(header.envelope_id(), context) }
    }

    /// Seals a whole payload in memory.
    pub(crate) fn seal(&self, plaintext: &[u8]) -> Result<Vec<u8>> {
        cobblestone::seal(&self.data_key, &self.context, plaintext)
            .map_err(|error| EnvelopeError::of_payload("sealing the payload", error))
    }

    /// Opens a whole payload in memory.
    pub(crate) fn open(&self, payload: &[u8]) -> Result<SecretBytes> {
        cobblestone::open(&self.data_key, &self.context, payload)
            .map_err(|error| EnvelopeError::of_payload("opening the payload", error))
    }

    /// Starts a payload in `sealed`.
    pub(crate) fn writer<W: Write>(&self, sealed: W) -> Result<Writer<W>> {
        Writer::new(sealed, &self.data_key, &self.context)
            .map_err(|error| EnvelopeError::of_payload("writing the envelope", error))
    }

    /// Reads the payload that `sealed` holds from here to its end.
    pub(crate) fn reader<R: Read>(&self, sealed: R) -> Result<Reader<R>> {
        Reader::new(sealed, &self.data_key, &self.context)
            .map_err(|error| EnvelopeError::of_payload("reading the envelope", error))
    }

    /// Reads the payload that begins at `start` of `sealed`, at any position.
    pub(crate) fn seek_reader<R: Read + Seek>(
        &self,
        sealed: R,
        start: u64,
    ) -> Result<SeekReader<R>> {
        SeekReader::new(sealed, start, &self.data_key, &self.context)
            .map_err(|error| EnvelopeError::of_payload("reading the envelope", error))
    }
}

/// What the payload is bound to; `FORMAT.md` spells it out byte by byte.
fn payload_context(envelope_id: EnvelopeId, context: &EncryptionContext) -> Vec<u8> {
    Canonical::new("claviger/1/payload")
        .u32(u32::from(Header::FORMAT))
        .bytes(envelope_id.as_bytes())
        .bytes(&context.canonical_bytes())
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of `FORMAT.md`.
    #[test]
    fn the_context_is_the_one_that_the_format_describes() {
        let context = EncryptionContext::from_pairs([("table", "users"), ("row", "17")]).unwrap();
        let bytes =
            payload_context(EnvelopeId::from_bytes(std::array::from_fn(|i| i as u8)), &context);
        let expected = "00000012636c6176696765722f312f7061796c6f6164\
                        0000000400000001\
                        00000010000102030405060708090a0b0c0d0e0f\
                        00000048\
                        0000001d636c6176696765722f312f656e6372797074696f6e2d636f6e74657874\
                        0000000400000002\
                        00000003726f77000000023137\
                        000000057461626c65000000057573657273";
        assert_eq!(hex::encode(bytes), expected);
        assert!(include_str!("../FORMAT.md").replace([' ', '\n'], "").contains(expected));
    }

    #[test]
    fn every_field_changes_the_context() {
        let one = EncryptionContext::from_pairs([("a", "1")]).unwrap();
        let base = payload_context(EnvelopeId::from_bytes([1; 16]), &one);
        assert_ne!(base, payload_context(EnvelopeId::from_bytes([2; 16]), &one));
        let other = EncryptionContext::new();
        assert_ne!(base, payload_context(EnvelopeId::from_bytes([1; 16]), &other));
    }
}
