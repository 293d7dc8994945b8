//! Making, inspecting and destroying key objects.
//!
//! Invariant: an object is reported only after its attributes were read back; a new one also after the
//! probes were refused. A new object that fails is destroyed before the error is returned.

use cryptoki::{object::ObjectHandle, session::Session};

use crate::{
    ObjectId, ObjectKind, ObjectReport,
    attributes::{self, Findings, unsafe_object},
    fault::Fault,
    find,
    probes::{self, Probe},
    template::{self, Lifetime, Made},
    uses,
    worker::Call,
};

/// Makes a key object with this id.
pub(crate) fn make(call: &Call<'_>, kind: ObjectKind, id: ObjectId) -> Result<ObjectReport, Fault> {
    let made = template::make(call.session, kind, id, Lifetime::Token)?;
    let examined = examine_new(call, kind, id, &made);
    match &examined {
        Ok(_) => call.link.remember(kind, id, made.handle),
        Err(_) => clear_away(call.session, id, &made),
    }
    examined
}

/// Finds the one object with this id and judges it.
pub(crate) fn inspect(
    call: &Call<'_>,
    kind: ObjectKind,
    id: ObjectId,
) -> Result<ObjectReport, Fault> {
    let handle = find::only(call.session, kind, id)?;
    let findings = attributes::judge(call, kind, id, handle)?;
    let public = match kind {
        ObjectKind::Derivation => None,
        ObjectKind::CheckpointSigning => Some(find::only_public(call.session, id)?),
    };
    let report = report(call, kind, id, (handle, public), findings)?;
    call.link.remember(kind, id, handle);
    Ok(report)
}

/// Destroys the one object with this id, and the public half of a signing key.
pub(crate) fn destroy(call: &Call<'_>, kind: ObjectKind, id: ObjectId) -> Result<(), Fault> {
    let handle = find::only(call.session, kind, id)?;
    call.link.forget_object(kind, id);
    call.session.destroy_object(handle)?;
    if kind == ObjectKind::CheckpointSigning {
        for public in find::public_handles(call.session, id)? {
            call.session.destroy_object(public)?;
        }
    }
    Ok(())
}

fn examine_new(
    call: &Call<'_>,
    kind: ObjectKind,
    id: ObjectId,
    made: &Made,
) -> Result<ObjectReport, Fault> {
    let mut findings = attributes::judge(call, kind, id, made.handle)?;
    let session = call.throw_away_session()?;
    for probe in [
        probes::read_value(&session, made.handle),
        probes::set_extractable(&session, made.handle)?,
        probes::copy_extractable(&session, made.handle)?,
    ] {
        match probe {
            Probe::Refused => {}
            Probe::KeyExposed(how) => return unsafe_object(id, how),
            Probe::CopyExposed => findings.warnings.push(COPY_WARNING.to_owned()),
        }
    }
    report(call, kind, id, (made.handle, made.public), findings)
}

fn report(
    call: &Call<'_>,
    kind: ObjectKind,
    id: ObjectId,
    (handle, public): (ObjectHandle, Option<ObjectHandle>),
    mut findings: Findings,
) -> Result<ObjectReport, Fault> {
    let public_key = match public {
        None => None,
        Some(public) => {
            let point = attributes::judge_public(call.session, id, public)?;
            findings.warnings.extend(uses::check_pair(call, id, handle, public)?);
            Some(hex::encode(point))
        }
    };
    Ok(ObjectReport {
        id,
        kind,
        public_key,
        copy_refused_by_attribute: findings.copy_refused_by_attribute,
        mechanisms_restricted: findings.mechanisms_restricted,
        warnings: findings.warnings,
    })
}

fn clear_away(session: &Session, id: ObjectId, made: &Made) {
    for handle in [Some(made.handle), made.public].into_iter().flatten() {
        if let Err(error) = session.destroy_object(handle) {
            tracing::error!(%id, %error, "an object that failed its checks could not be destroyed");
        }
    }
}

/// The warning of a module that is fit for tests only.
pub(crate) const COPY_WARNING: &str = "UNSAFE OUTSIDE TESTS: the module lets a copy of the key be made extractable, so whoever has the PIN can take the key out";
