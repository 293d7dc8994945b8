//! What must be true of a key object, read back from the token.
//!
//! Invariant: a key that could leave the token, do anything but sign, or be changed is not used, and the
//! error names the attribute. An attribute the module does not report (the binding gives an empty list,
//! not an error) is a refusal where the key's safety hangs on it, else a warning.

use cryptoki::{
    error::Error,
    mechanism::MechanismType,
    object::{Attribute, AttributeType, KeyType, ObjectHandle},
    session::Session,
};

use crate::{ObjectId, ObjectKind, TokenError, fault::Fault, template::P256, worker::Call};

/// What was read back of an object that passed.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) copy_refused_by_attribute: bool,
    pub(crate) mechanisms_restricted: bool,
    pub(crate) warnings: Vec<String>,
}

/// Judges a secret or private key object.
///
/// # Errors
/// [`TokenError::ObjectUnsafe`] naming the attribute.
pub(crate) fn judge(
    call: &Call<'_>,
    kind: ObjectKind,
    id: ObjectId,
    handle: ObjectHandle,
) -> Result<Findings, Fault> {
    let session = call.session;
    let mut findings = Findings::default();
    let own_rules = match kind {
        ObjectKind::Derivation => FOR_DERIVATION,
        ObjectKind::CheckpointSigning => FOR_SIGNING,
    };
    for rule in FOR_EVERY_KEY.iter().chain(own_rules) {
        rule.apply(session, id, handle, &mut findings)?;
    }
    judge_origin(call, id, handle, &mut findings)?;
    judge_type(session, kind, id, handle)?;
    let mechanism = match kind {
        ObjectKind::Derivation => MechanismType::SHA256_HMAC,
        ObjectKind::CheckpointSigning => MechanismType::ECDSA,
    };
    match read(session, handle, AttributeType::AllowedMechanisms)? {
        Some(Attribute::AllowedMechanisms(allowed)) if !allowed.is_empty() => {
            if allowed.iter().any(|allowed| *allowed != mechanism) {
                return unsafe_object(id, "CKA_ALLOWED_MECHANISMS allows more than signing needs");
            }
            findings.mechanisms_restricted = true;
        }
        _ => {}
    }
    findings.copy_refused_by_attribute =
        read(session, handle, AttributeType::Copyable)?.as_ref().and_then(flag) == Some(false);
    Ok(findings)
}

/// Judges a public key object and gives its point.
///
/// # Errors
/// [`TokenError::ObjectUnsafe`] naming the attribute.
pub(crate) fn judge_public(
    session: &Session,
    id: ObjectId,
    handle: ObjectHandle,
) -> Result<Vec<u8>, Fault> {
    for rule in FOR_PUBLIC {
        rule.apply(session, id, handle, &mut Findings::default())?;
    }
    judge_type(session, ObjectKind::CheckpointSigning, id, handle)?;
    let point = match read(session, handle, AttributeType::EcPoint)? {
        Some(Attribute::EcPoint(encoded)) => uncompressed_point(&encoded).map(<[u8]>::to_vec),
        _ => None,
    };
    match point {
        Some(point) => Ok(point),
        None => unsafe_object(id, "CKA_EC_POINT is not an uncompressed P-256 point"),
    }
}

/// One attribute as the token tells it; None if it does not.
pub(crate) fn read(
    session: &Session,
    handle: ObjectHandle,
    attribute: AttributeType,
) -> Result<Option<Attribute>, Fault> {
    match session.get_attributes(handle, &[attribute]) {
        Ok(mut found) => Ok(found.pop()),
        Err(error @ Error::Pkcs11(..)) => Err(error.into()),
        // The value is there, and the binding cannot make sense of it.
        Err(_) => Ok(None),
    }
}

pub(crate) fn unsafe_object<T>(id: ObjectId, what: &str) -> Result<T, Fault> {
    Err(TokenError::ObjectUnsafe {
        reason: format!(
            "the key object {id} is not safe: {what}; it was not made so by Claviger: restore the token or remove the object with the vendor's tool"
        ),
    }
    .into())
}

struct Rule {
    attribute: AttributeType,
    name: &'static str,
    must_be: bool,
    if_unknown: IfUnknown,
}

#[derive(PartialEq, Eq)]
enum IfUnknown {
    Refuse,
    Warn,
}

impl Rule {
    fn apply(
        &self,
        session: &Session,
        id: ObjectId,
        handle: ObjectHandle,
        findings: &mut Findings,
    ) -> Result<(), Fault> {
        let Self { name, must_be, .. } = self;
        match read(session, handle, self.attribute)?.as_ref().and_then(flag) {
            Some(is) if is == *must_be => Ok(()),
            Some(is) => unsafe_object(id, &format!("{name} is {is} and must be {must_be}")),
            None if self.if_unknown == IfUnknown::Refuse => unsafe_object(
                id,
                &format!("the module does not report {name}, which must be {must_be}"),
            ),
            None => {
                findings.warnings.push(format!("the module does not report {name}"));
                Ok(())
            }
        }
    }
}

/// Whether the token made the key itself; a value that was known outside is no root.
fn judge_origin(
    call: &Call<'_>,
    id: ObjectId,
    handle: ObjectHandle,
    findings: &mut Findings,
) -> Result<(), Fault> {
    let local = read(call.session, handle, AttributeType::Local)?.as_ref().and_then(flag);
    if local == Some(true) {
        return Ok(());
    }
    if call.link.settings().accept_not_local {
        findings.warnings.push(
            "CKA_LOCAL is not true: the module does not say that the token made the key (accepted by token.accept-not-local)".to_owned(),
        );
        return Ok(());
    }
    unsafe_object(
        id,
        "CKA_LOCAL is not true, so its value may be known outside (a module that says so of every key can be accepted by token.accept-not-local)",
    )
}

fn judge_type(
    session: &Session,
    kind: ObjectKind,
    id: ObjectId,
    handle: ObjectHandle,
) -> Result<(), Fault> {
    let key_type = match read(session, handle, AttributeType::KeyType)? {
        Some(Attribute::KeyType(key_type)) => Some(key_type),
        _ => None,
    };
    match (kind, key_type) {
        (ObjectKind::Derivation, Some(KeyType::GENERIC_SECRET | KeyType::SHA256_HMAC)) => {
            match read(session, handle, AttributeType::ValueLen)? {
                Some(Attribute::ValueLen(length)) if *length != 32 => {
                    unsafe_object(id, "CKA_VALUE_LEN is not 32")
                }
                _ => Ok(()),
            }
        }
        (ObjectKind::CheckpointSigning, Some(KeyType::EC)) => {
            match read(session, handle, AttributeType::EcParams)? {
                Some(Attribute::EcParams(curve)) if curve != P256 => {
                    unsafe_object(id, "CKA_EC_PARAMS is not P-256")
                }
                _ => Ok(()),
            }
        }
        _ => unsafe_object(id, "CKA_KEY_TYPE is not the one its use needs"),
    }
}

fn flag(attribute: &Attribute) -> Option<bool> {
    match attribute {
        Attribute::AlwaysSensitive(is)
        | Attribute::Copyable(is)
        | Attribute::Decrypt(is)
        | Attribute::Derive(is)
        | Attribute::Encrypt(is)
        | Attribute::Extractable(is)
        | Attribute::Local(is)
        | Attribute::Modifiable(is)
        | Attribute::NeverExtractable(is)
        | Attribute::Private(is)
        | Attribute::Sensitive(is)
        | Attribute::Sign(is)
        | Attribute::SignRecover(is)
        | Attribute::Token(is)
        | Attribute::Unwrap(is)
        | Attribute::Verify(is)
        | Attribute::Wrap(is) => Some(*is),
        _ => None,
    }
}

/// The 65 bytes of an uncompressed SEC1 point, bare or in the DER OCTET STRING the standard asks for.
fn uncompressed_point(encoded: &[u8]) -> Option<&[u8]> {
    let point = encoded.strip_prefix(&[0x04, 65]).filter(|inner| inner.len() == 65);
    let point = point.unwrap_or(encoded);
    (point.len() == 65 && point.first() == Some(&0x04)).then_some(point)
}

const fn strict(attribute: AttributeType, name: &'static str, must_be: bool) -> Rule {
    Rule { attribute, name, must_be, if_unknown: IfUnknown::Refuse }
}

const fn lenient(attribute: AttributeType, name: &'static str, must_be: bool) -> Rule {
    Rule { attribute, name, must_be, if_unknown: IfUnknown::Warn }
}

const FOR_EVERY_KEY: &[Rule] = &[
    strict(AttributeType::Token, "CKA_TOKEN", true),
    strict(AttributeType::Private, "CKA_PRIVATE", true),
    strict(AttributeType::Sensitive, "CKA_SENSITIVE", true),
    strict(AttributeType::Extractable, "CKA_EXTRACTABLE", false),
    strict(AttributeType::Sign, "CKA_SIGN", true),
    lenient(AttributeType::AlwaysSensitive, "CKA_ALWAYS_SENSITIVE", true),
    lenient(AttributeType::NeverExtractable, "CKA_NEVER_EXTRACTABLE", true),
    lenient(AttributeType::Modifiable, "CKA_MODIFIABLE", false),
    lenient(AttributeType::Decrypt, "CKA_DECRYPT", false),
    lenient(AttributeType::Unwrap, "CKA_UNWRAP", false),
    lenient(AttributeType::Derive, "CKA_DERIVE", false),
];
const FOR_DERIVATION: &[Rule] = &[
    lenient(AttributeType::Encrypt, "CKA_ENCRYPT", false),
    lenient(AttributeType::Wrap, "CKA_WRAP", false),
    lenient(AttributeType::Verify, "CKA_VERIFY", false),
];
const FOR_SIGNING: &[Rule] = &[lenient(AttributeType::SignRecover, "CKA_SIGN_RECOVER", false)];
const FOR_PUBLIC: &[Rule] = &[
    strict(AttributeType::Token, "CKA_TOKEN", true),
    lenient(AttributeType::Modifiable, "CKA_MODIFIABLE", false),
    lenient(AttributeType::Encrypt, "CKA_ENCRYPT", false),
    lenient(AttributeType::Wrap, "CKA_WRAP", false),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_read_bare_or_wrapped() {
        let mut point = vec![0x04];
        point.extend([7; 64]);
        let mut wrapped = vec![0x04, 65];
        wrapped.extend(&point);
        assert_eq!(uncompressed_point(&point), Some(point.as_slice()));
        assert_eq!(uncompressed_point(&wrapped), Some(point.as_slice()));
    }

    #[test]
    fn other_points_are_refused() {
        let mut compressed = vec![0x02];
        compressed.extend([7; 32]);
        let mut long = vec![0x04, 65, 0x04];
        long.extend([7; 65]);
        for bytes in [&[][..], &compressed, &long, &[0x04; 64], &[0x04; 66], &[0x05; 65]] {
            assert_eq!(uncompressed_point(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_bare_point_that_begins_like_a_wrapper_is_read_bare() {
        let mut point = vec![0x04, 65];
        point.extend([7; 63]);
        assert_eq!(uncompressed_point(&point), Some(point.as_slice()));
    }
}
