//! A record envelope in memory: header, then payload, nothing between and nothing after.

use claviger_cobblestone as cobblestone;

use crate::{EnvelopeError, EnvelopeKind, Header, Result};

/// Header and payload of a record envelope.
///
/// # Errors
/// [`EnvelopeError::NotAnEnvelope`] when it is a file's, or its payload has a length that none has;
/// [`EnvelopeError::UnknownFormat`].
pub(crate) fn split(envelope: &[u8]) -> Result<(Header, &[u8])> {
    let (header, payload) = Header::parse(envelope)?;
    if header.kind() != EnvelopeKind::Record {
        return Err(EnvelopeError::not_an_envelope("it has a file's header, not a record's"));
    }
    if cobblestone::plain_length(payload.len() as u64).is_err() {
        return Err(EnvelopeError::not_an_envelope(format!(
            "its payload has {} bytes, which no payload has; it was cut or added to",
            payload.len()
        )));
    }
    Ok((header, payload))
}

/// The envelope of this header and payload.
pub(crate) fn join(header: &Header, payload: &[u8]) -> Vec<u8> {
    let mut envelope = header.to_bytes();
    envelope.extend_from_slice(payload);
    envelope
}
