//! What a token must refuse to do with a key, tried on a key that was just made.
//!
//! Attributes can say one thing and the module do another: NSS lets a non-extractable key be copied as
//! an extractable one. Each probe runs on a session of its own, which is thrown away. `C_WrapKey` is not
//! tried: no key has the right to wrap.

use cryptoki::{
    object::{Attribute, AttributeType, ObjectHandle},
    session::Session,
};
use zeroize::Zeroize as _;

use crate::{attributes::read, fault::Fault};

/// What came of one probe.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// Refused, as it must be.
    Refused,
    /// The key left the token or became extractable: it must not be used.
    KeyExposed(&'static str),
    /// A copy could be made extractable: fit for tests only.
    CopyExposed,
}

/// Reading the key's value.
pub(crate) fn read_value(session: &Session, key: ObjectHandle) -> Probe {
    match session.get_attributes(key, &[AttributeType::Value]).ok().and_then(|mut v| v.pop()) {
        Some(Attribute::Value(mut value)) if !value.is_empty() => {
            value.zeroize();
            Probe::KeyExposed("the token gave out CKA_VALUE")
        }
        _ => Probe::Refused,
    }
}

/// Making the key itself extractable.
pub(crate) fn set_extractable(session: &Session, key: ObjectHandle) -> Result<Probe, Fault> {
    if session.update_attributes(key, &[Attribute::Extractable(true)]).is_err() {
        return Ok(Probe::Refused);
    }
    // It said yes: what counts is what stands there now.
    match read(session, key, AttributeType::Extractable)? {
        Some(Attribute::Extractable(false)) => Ok(Probe::Refused),
        _ => Ok(Probe::KeyExposed("the token let CKA_EXTRACTABLE be set to true")),
    }
}

/// Making an extractable copy, first as a session object, then as a token object; the copy is destroyed.
pub(crate) fn copy_extractable(session: &Session, key: ObjectHandle) -> Result<Probe, Fault> {
    for template in [
        &[Attribute::Token(false), Attribute::Extractable(true)][..],
        &[Attribute::Extractable(true)][..],
    ] {
        let Ok(copy) = session.copy_object(key, template) else { continue };
        let extractable = read(session, copy, AttributeType::Extractable);
        session.destroy_object(copy)?;
        if !matches!(extractable?, Some(Attribute::Extractable(false))) {
            return Ok(Probe::CopyExposed);
        }
    }
    Ok(Probe::Refused)
}
