//! Reading an envelope without a key: which keys and versions it is under.
//!
//! Nothing read here is authenticated; it says what an envelope *claims*, which is what a census counts.
//! A payload that was cut is shown, not refused.

use claviger_cobblestone as cobblestone;
use claviger_kms::{EnvelopeId, KeyId, KeyVersion};
use serde::Serialize;

use crate::{
    EnvelopeKind, Header, Provider, Result, Wrap,
    file::{self, FileHeader},
};

/// What an envelope claims about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Inspection {
    /// Record or file.
    pub kind: EnvelopeKind,
    /// Its id; shared by the envelopes of one data key where data keys are reused.
    pub envelope_id: EnvelopeId,
    /// Its wraps, in the order they are tried.
    pub wraps: Vec<WrapInspection>,
    /// Bytes of the payload.
    pub payload_length: u64,
    /// Bytes of the plaintext; `None` when no payload has this length: it was cut or added to.
    pub plaintext_length: Option<u64>,
    /// For a file: how many of its two header slots are damaged. 0 for a record.
    pub damaged_slots: usize,
}

/// What one wrap claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct WrapInspection {
    /// Whose key service it belongs to.
    pub provider: Provider,
    /// The key, where it is readable: for Claviger's own.
    pub key_id: Option<KeyId>,
    /// The key version, likewise.
    pub version: Option<KeyVersion>,
}

/// Inspects a record or a whole file in memory. For a file on disk, [`FileHeader::inspect`] needs the first
/// 8,192 bytes only.
///
/// # Errors
/// [`NotAnEnvelope`](crate::EnvelopeError::NotAnEnvelope),
/// [`UnknownFormat`](crate::EnvelopeError::UnknownFormat),
/// [`HeadersTorn`](crate::EnvelopeError::HeadersTorn).
pub fn inspect(envelope: &[u8]) -> Result<Inspection> {
    if file::may_be_file(envelope) {
        let payload = envelope.get(file::PAYLOAD_OFFSET..).unwrap_or_default();
        return Ok(FileHeader::parse(envelope)?.inspect(payload.len() as u64));
    }
    let (header, payload) = Header::parse(envelope)?;
    Ok(Inspection::of(&header, payload.len() as u64, 0))
}

/// The key and version of a record's first wrap, read at their fixed offsets (28 and 44) without looking at
/// anything else: `None` unless it is a record whose first wrap is Claviger's.
#[must_use]
pub fn key_version(envelope: &[u8]) -> Option<(KeyId, KeyVersion)> {
    const START: usize = Header::FIXED + Wrap::HEADER;
    let fixed = envelope.first_chunk::<{ Header::FIXED }>()?;
    let &[a, b, c, d, Header::FORMAT, kind, ..] = fixed else { return None };
    let is_record = EnvelopeKind::from_number(kind) == Some(EnvelopeKind::Record);
    let provider = Provider::from_number(*envelope.get(Header::FIXED)?)?;
    if [a, b, c, d] != Header::MAGIC || !is_record || provider != Provider::CLAVIGER {
        return None;
    }
    let (layout, fields) = envelope.get(START..)?.split_first_chunk::<2>()?;
    let (id, fields) = fields.split_first_chunk::<{ KeyId::LENGTH }>()?;
    let number = u32::from_be_bytes(*fields.first_chunk()?);
    let known = matches!(layout, [claviger_kms::Ciphertext::FORMAT, 1 | 2]);
    KeyVersion::new(number).filter(|_| known).map(|version| (KeyId::from_bytes(*id), version))
}

impl Inspection {
    pub(crate) fn of(header: &Header, payload_length: u64, damaged_slots: usize) -> Self {
        let wraps = header.wraps().iter().map(|wrap| {
            let (key_id, version) = wrap.key_version().unzip();
            WrapInspection { provider: wrap.provider(), key_id, version }
        });
        Self {
            kind: header.kind(),
            envelope_id: header.envelope_id(),
            wraps: wraps.collect(),
            payload_length,
            plaintext_length: cobblestone::plain_length(payload_length).ok(),
            damaged_slots,
        }
    }
}

#[cfg(test)]
mod tests {
    use claviger_kms::Ciphertext;
    use proptest::prelude::*;

    use super::*;

    fn record(version: u32, payload: usize) -> Vec<u8> {
        let version = KeyVersion::new(version).unwrap();
        let key = Ciphertext::of_data_key(KeyId::from_bytes([7; 16]), version, [8; 104]);
        let ours = Wrap::new(Provider::CLAVIGER, key.to_bytes()).unwrap();
        let other = Wrap::new(Provider::AWS_KMS, vec![1; 184]).unwrap();
        let id = EnvelopeId::from_bytes([9; 16]);
        let header = Header::new(EnvelopeKind::Record, id, vec![ours, other]).unwrap();
        [header.to_bytes(), vec![0; payload]].concat()
    }

    #[test]
    fn says_what_stands_in_the_header() {
        let inspection = inspect(&record(3, 172)).unwrap();
        assert_eq!(
            serde_json::to_value(&inspection).unwrap(),
            serde_json::json!({
                "kind": "record",
                "envelope_id": "09090909-0909-0909-0909-090909090909",
                "wraps": [
                    { "provider": "claviger", "key_id": "07070707-0707-0707-0707-070707070707", "version": 3 },
                    { "provider": "aws-kms", "key_id": null, "version": null },
                ],
                "payload_length": 172,
                "plaintext_length": 100,
                "damaged_slots": 0,
            })
        );
    }

    #[test]
    fn a_payload_that_was_cut_is_shown_without_a_plaintext_length() {
        let inspection = inspect(&record(3, 71)).unwrap();
        assert_eq!((inspection.payload_length, inspection.plaintext_length), (71, None));
    }

    #[test]
    fn the_quick_look_needs_48_bytes_and_the_right_ones() {
        let bytes = record(0x0102_0304, 72);
        let (id, version) = key_version(&bytes[..48]).unwrap();
        assert_eq!((id.as_bytes(), version.number()), (&[7; 16], 0x0102_0304));
        assert!(key_version(&bytes[..47]).is_none());
        // Magic, format, kind, provider; the ciphertext's format and kind.
        for at in [0, 3, 4, 5, 23, 26, 27] {
            let mut altered = bytes.clone();
            altered[at] = 9;
            assert!(key_version(&altered).is_none(), "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, magic in prop::sample::select(vec!["CLVE", "CLVF"])) {
            let with_magic = [magic.as_bytes(), &bytes].concat();
            for bytes in [&bytes, &with_magic] {
                let _ = (inspect(bytes), key_version(bytes));
            }
        }

        #[test]
        fn the_quick_look_agrees_with_the_whole(version in 1..u32::MAX) {
            let bytes = record(version, 72);
            let first = inspect(&bytes).unwrap().wraps.remove(0);
            prop_assert_eq!(key_version(&bytes), first.key_id.zip(first.version));
        }
    }
}
