//! What a place holds, as far as it can be read without a key.

use claviger_envelope::{EnvelopeKind, Header, Wrap, inspect};
use claviger_kms::{KeyId, KeyVersion};

use crate::{Content, decide::Found};

/// What a place holds, the header that counts, and why it has none.
pub(crate) fn look(content: &Content) -> (Found, Option<Header>, String) {
    match content {
        Content::Empty => (Found::Empty, None, String::new()),
        Content::Bytes(bytes) if bytes.is_empty() => (Found::Empty, None, String::new()),
        Content::Unreadable(reason) => (Found::Malformed, None, reason.clone()),
        Content::Bytes(bytes) => match record(bytes) {
            Ok(header) => (Found::Envelope(keys_of(&header)), Some(header), String::new()),
            Err(reason) => (Found::Malformed, None, reason),
        },
        Content::File(file) => {
            // Until the older slot is overwritten too, its version still opens the file.
            let slots = file.slots().into_iter().flatten();
            let keys = slots.flat_map(|slot| keys_of(slot.header())).collect();
            (Found::Envelope(keys), Some(file.header().clone()), String::new())
        }
    }
}

/// The keys and versions that a header's wraps claim.
pub(crate) fn keys_of(header: &Header) -> Vec<(KeyId, KeyVersion)> {
    header.wraps().iter().filter_map(Wrap::key_version).collect()
}

fn record(bytes: &[u8]) -> Result<Header, String> {
    let (header, _) = Header::parse(bytes).map_err(|error| error.to_string())?;
    let inspection = inspect(bytes).map_err(|error| error.to_string())?;
    match (header.kind(), inspection.plaintext_length) {
        (EnvelopeKind::Record, Some(_)) => Ok(header),
        (EnvelopeKind::Record, None) => Err("its payload was cut or added to".to_owned()),
        _ => Err("it has a file's header, not a record's".to_owned()),
    }
}
