//! From an object's id to its handle.
//!
//! Invariant: exactly one object of the kind has the id, or the key is not used: whoever has the PIN can
//! plant a second one. An object found anew is judged by its attributes before its first use.

use cryptoki::{
    object::{Attribute, ObjectClass, ObjectHandle},
    session::Session,
};

use crate::{ObjectId, ObjectKind, TokenError, attributes, fault::Fault, worker::Call};

/// The object's handle, ready to be used.
///
/// # Errors
/// [`TokenError::ObjectMissing`], [`TokenError::ObjectUnsafe`].
pub(crate) fn usable(
    call: &Call<'_>,
    kind: ObjectKind,
    id: ObjectId,
) -> Result<ObjectHandle, Fault> {
    if let Some(handle) = call.link.known_handle(kind, id) {
        return Ok(handle);
    }
    let handle = only(call.session, kind, id)?;
    attributes::judge(call, kind, id, handle)?;
    call.link.remember(kind, id, handle);
    Ok(handle)
}

/// The handle of the only object of this kind with this id.
///
/// # Errors
/// [`TokenError::ObjectMissing`] if there is none, [`TokenError::ObjectUnsafe`] if there are several.
pub(crate) fn only(
    session: &Session,
    kind: ObjectKind,
    id: ObjectId,
) -> Result<ObjectHandle, Fault> {
    the_one(&handles(session, kind, id)?, kind, id, private_class(kind))
}

/// The handle of the only public key with this id.
///
/// # Errors
/// As [`only`].
pub(crate) fn only_public(session: &Session, id: ObjectId) -> Result<ObjectHandle, Fault> {
    let found = public_handles(session, id)?;
    the_one(&found, ObjectKind::CheckpointSigning, id, ObjectClass::PUBLIC_KEY)
}

/// The handles of all objects of this kind with this id.
pub(crate) fn handles(
    session: &Session,
    kind: ObjectKind,
    id: ObjectId,
) -> Result<Vec<ObjectHandle>, Fault> {
    of_class(session, private_class(kind), id)
}

/// The handles of all public keys with this id.
pub(crate) fn public_handles(session: &Session, id: ObjectId) -> Result<Vec<ObjectHandle>, Fault> {
    of_class(session, ObjectClass::PUBLIC_KEY, id)
}

pub(crate) fn missing(kind: ObjectKind, id: ObjectId) -> TokenError {
    TokenError::ObjectMissing { what: format!("{} with id {id}", noun(private_class(kind))) }
}

fn of_class(
    session: &Session,
    class: ObjectClass,
    id: ObjectId,
) -> Result<Vec<ObjectHandle>, Fault> {
    Ok(session.find_objects(&[
        Attribute::Class(class),
        Attribute::Token(true),
        Attribute::Id(id.as_bytes().to_vec()),
    ])?)
}

fn the_one(
    found: &[ObjectHandle],
    kind: ObjectKind,
    id: ObjectId,
    class: ObjectClass,
) -> Result<ObjectHandle, Fault> {
    match found {
        [only] => Ok(*only),
        [] => Err(missing(kind, id).into()),
        several => Err(TokenError::ObjectUnsafe {
            reason: format!(
                "the token has {} objects ({}) with id {id}: all but one were planted; find out which with the vendor's tool, remove the others, and change the PIN",
                several.len(),
                noun(class),
            ),
        }
        .into()),
    }
}

fn private_class(kind: ObjectKind) -> ObjectClass {
    match kind {
        ObjectKind::Derivation => ObjectClass::SECRET_KEY,
        ObjectKind::CheckpointSigning => ObjectClass::PRIVATE_KEY,
    }
}

fn noun(class: ObjectClass) -> &'static str {
    match class {
        ObjectClass::SECRET_KEY => "secret key",
        ObjectClass::PRIVATE_KEY => "private key",
        _ => "public key",
    }
}
