//! The header of an envelope: which data key it is under, wrapped one to four times.
//!
//! The layout stands in `FORMAT.md`. Invariants: a header has one encoding, and what is read gives the
//! same bytes when it is written again; every length is checked against its cap before anything is
//! allocated; the header holds ids only, never a key path; nothing in it but the envelope id is bound into
//! the payload, so it can be replaced by a rewrap.

use claviger_kms::{EnvelopeId, KeyId, KeyVersion, KmsError};
use serde::Serialize;

use crate::{EnvelopeError, Result, Wrap};

/// What an envelope holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EnvelopeKind {
    /// A record or a column's value: header, then payload.
    Record,
    /// A file: two header slots, then payload.
    File,
}

/// A parsed header. Parsing checks lengths and numbers, not authenticity: only a key service does that,
/// by unwrapping one of the wraps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    kind: EnvelopeKind,
    envelope_id: EnvelopeId,
    wraps: Vec<Wrap>,
}

impl Header {
    /// The first bytes.
    pub const MAGIC: [u8; 4] = *b"CLVE";
    /// The format written now.
    pub const FORMAT: u8 = 1;
    /// Most wraps.
    pub const MAX_WRAPS: usize = 4;
    /// Bytes before the first wrap: magic 4, format 1, kind 1, envelope id 16, number of wraps 1.
    pub const FIXED: usize = 23;
    /// Most bytes of a header.
    pub const MAX_LENGTH: usize = Self::FIXED + Self::MAX_WRAPS * (Wrap::HEADER + Wrap::MAX_LENGTH);

    /// A header of these wraps, tried in this order when the envelope is opened.
    ///
    /// # Errors
    /// [`EnvelopeError::Kms`] with `KmsError::Invalid` unless there are 1 to 4 wraps.
    pub fn new(kind: EnvelopeKind, envelope_id: EnvelopeId, wraps: Vec<Wrap>) -> Result<Self> {
        if !Self::allows_wraps(wraps.len()) {
            return Err(EnvelopeError::from(KmsError::invalid(format!(
                "{} wraps; an envelope has 1 to {}",
                wraps.len(),
                Self::MAX_WRAPS
            ))));
        }
        Ok(Self { kind, envelope_id, wraps })
    }

    /// Reads a header off the front of `bytes`; gives the rest back.
    ///
    /// # Errors
    /// [`EnvelopeError::NotAnEnvelope`], [`EnvelopeError::UnknownFormat`].
    pub fn parse(bytes: &[u8]) -> Result<(Self, &[u8])> {
        let Some((magic, rest)) = bytes.split_first_chunk::<4>() else {
            return Err(EnvelopeError::not_an_envelope("it has fewer than 4 bytes"));
        };
        if *magic != Self::MAGIC {
            return Err(EnvelopeError::not_an_envelope("it does not begin with CLVE"));
        }
        let ended = || EnvelopeError::not_an_envelope("it ends inside its header");
        let (&format, rest) = rest.split_first().ok_or_else(ended)?;
        if format != Self::FORMAT {
            return Err(EnvelopeError::UnknownFormat { format });
        }
        let (&kind, rest) = rest.split_first().ok_or_else(ended)?;
        let kind = EnvelopeKind::from_number(kind).ok_or_else(|| {
            EnvelopeError::not_an_envelope(format!("it has the unknown kind {kind}"))
        })?;
        let (id, rest) = rest.split_first_chunk::<{ EnvelopeId::LENGTH }>().ok_or_else(ended)?;
        let (&count, mut rest) = rest.split_first().ok_or_else(ended)?;
        if !Self::allows_wraps(usize::from(count)) {
            return Err(EnvelopeError::not_an_envelope(format!(
                "it has {count} wraps; 1 to {} are allowed",
                Self::MAX_WRAPS
            )));
        }
        let mut wraps = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let (wrap, after) = Wrap::parse(rest)?;
            wraps.push(wrap);
            rest = after;
        }
        Ok((Self { kind, envelope_id: EnvelopeId::from_bytes(*id), wraps }, rest))
    }

    /// Writes the layout of `FORMAT.md`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.encoded_length());
        bytes.extend_from_slice(&Self::MAGIC);
        bytes.extend_from_slice(&[Self::FORMAT, self.kind.number()]);
        bytes.extend_from_slice(self.envelope_id.as_bytes());
        bytes.push(u8::try_from(self.wraps.len()).unwrap_or(u8::MAX));
        for wrap in &self.wraps {
            wrap.write_to(&mut bytes);
        }
        bytes
    }

    /// Bytes of [`to_bytes`](Self::to_bytes).
    #[must_use]
    pub fn encoded_length(&self) -> usize {
        let wraps = self.wraps.iter().map(|wrap| Wrap::HEADER + wrap.ciphertext().len());
        Self::FIXED + wraps.sum::<usize>()
    }

    /// The same header with other wraps: what a rewrap makes.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_wraps(&self, wraps: Vec<Wrap>) -> Result<Self> {
        Self::new(self.kind, self.envelope_id, wraps)
    }

    /// Record or file.
    #[must_use]
    pub fn kind(&self) -> EnvelopeKind {
        self.kind
    }

    /// The id bound into the payload and into every wrap.
    #[must_use]
    pub fn envelope_id(&self) -> EnvelopeId {
        self.envelope_id
    }

    /// The wraps, 1 to 4, in the order they are tried.
    #[must_use]
    pub fn wraps(&self) -> &[Wrap] {
        &self.wraps
    }

    /// The key and version the first wrap of provider Claviger claims.
    #[must_use]
    pub fn key_version(&self) -> Option<(KeyId, KeyVersion)> {
        self.wraps.iter().find_map(Wrap::key_version)
    }

    fn allows_wraps(count: usize) -> bool {
        (1..=Self::MAX_WRAPS).contains(&count)
    }
}

impl EnvelopeKind {
    /// The number in the header.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Record => 1,
            Self::File => 2,
        }
    }

    /// The kind with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Record),
            2 => Some(Self::File),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use claviger_kms::Ciphertext;
    use proptest::prelude::*;

    use super::*;
    use crate::Provider;

    fn wraps() -> impl Strategy<Value = Vec<Wrap>> {
        let bytes = proptest::collection::vec(any::<u8>(), 1..=Wrap::MAX_LENGTH);
        let wrap = (2..=255_u8, bytes).prop_map(|(provider, bytes)| {
            Wrap::new(Provider::from_number(provider).unwrap(), bytes).unwrap()
        });
        proptest::collection::vec(wrap, 1..=Header::MAX_WRAPS)
    }

    proptest! {
        #[test]
        fn any_header_survives_a_round_trip(id: [u8; 16], file: bool, wraps in wraps(), after: Vec<u8>) {
            let kind = if file { EnvelopeKind::File } else { EnvelopeKind::Record };
            let header = Header::new(kind, EnvelopeId::from_bytes(id), wraps).unwrap();
            let mut bytes = header.to_bytes();
            prop_assert_eq!(bytes.len(), header.encoded_length());
            prop_assert!(bytes.len() <= Header::MAX_LENGTH);
            bytes.extend_from_slice(&after);
            prop_assert_eq!(Header::parse(&bytes).unwrap(), (header, &after[..]));
        }

        #[test]
        fn what_parses_is_written_again_the_same(tail in proptest::collection::vec(any::<u8>(), 0..600)) {
            let bytes = [&b"CLVE\x01\x01"[..], &tail].concat();
            if let Ok((header, rest)) = Header::parse(&bytes) {
                prop_assert_eq!([header.to_bytes(), rest.to_vec()].concat(), bytes);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = Header::parse(&bytes);
        }

        #[test]
        fn every_truncation_is_refused(wraps in wraps(), cut in any::<prop::sample::Index>()) {
            let id = EnvelopeId::from_bytes([1; 16]);
            let bytes = Header::new(EnvelopeKind::Record, id, wraps).unwrap().to_bytes();
            prop_assert!(Header::parse(&bytes[..cut.index(bytes.len())]).is_err());
        }
    }

    #[test]
    fn refuses_to_make_a_header_of_0_or_5_wraps() {
        let wrap = Wrap::new(Provider::AWS_KMS, vec![1]).unwrap();
        for count in [0, 5] {
            let id = EnvelopeId::from_bytes([1; 16]);
            assert!(Header::new(EnvelopeKind::File, id, vec![wrap.clone(); count]).is_err());
        }
    }

    /// The offsets a database's trigger reads; they are promised in `FORMAT.md`.
    #[test]
    fn key_id_and_version_stand_at_their_promised_offsets() {
        let version = KeyVersion::new(0x0102_0304).unwrap();
        let key = Ciphertext::of_data_key(KeyId::from_bytes([0xAB; 16]), version, [0xCD; 104]);
        let wrap = Wrap::new(Provider::CLAVIGER, key.to_bytes()).unwrap();
        let id = EnvelopeId::from_bytes([0xEF; 16]);
        let bytes = Header::new(EnvelopeKind::Record, id, vec![wrap]).unwrap().to_bytes();
        assert_eq!(bytes[6..22], [0xEF; 16]);
        assert_eq!(bytes[23..26], [1, 0, 126]);
        assert_eq!(bytes[28..44], [0xAB; 16]);
        assert_eq!(bytes[44..48], [1, 2, 3, 4]);
        assert_eq!(bytes[48..152], [0xCD; 104]);
        assert_eq!(bytes.len(), 152);
    }
}
