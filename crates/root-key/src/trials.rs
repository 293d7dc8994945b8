//! The capability report: each thing Claviger needs, tried with throw-away keys.
//!
//! Mechanism lists lie, so nothing is taken from them. Keys are session objects; a module that makes none
//! gets token objects, destroyed afterwards. The timings stop early on a slow token, so that the report
//! ends within its deadline.

use std::time::{Duration, Instant};

use claviger_kms::{Derivation, Role, Salt, SecretKey};
use cryptoki::{
    object::{Attribute, KeyType, ObjectClass, ObjectHandle},
    session::Session,
};

use crate::{
    ObjectId, ObjectKind, TokenReport, Trial,
    fault::{Fault, function_and_code},
    probes::{self, Probe},
    template::{self, Lifetime, Made},
    uses,
    worker::Call,
};

/// Tries everything.
///
/// # Errors
/// Only when the token is out of reach; what it refuses stands in the report.
pub(crate) fn report(call: &Call<'_>) -> Result<TokenReport, Fault> {
    let info = call.link.module().get_library_info()?;
    let library = format!(
        "{} {} {}",
        info.manufacturer_id().trim(),
        info.library_description().trim(),
        info.library_version()
    );
    let budget = call.link.settings().deadline / SHARE_OF_TIMINGS;
    let mut trials = vec![known_answer(call)?];
    with_key(call, ObjectKind::Derivation, &mut trials, |session, made, trials| {
        trials.push(same_again(session, made.handle));
        trials.extend(refusals(session, made.handle));
        trials.push(timed("time of a derivation", budget, || {
            uses::hmac(session, made.handle, &derivation().block()).map(drop)
        }));
    })?;
    trials.push(random(call.session));
    trials.push(timed("time of 32 random bytes", budget, || {
        uses::random(call.session, 32).map(drop)
    }));
    with_key(call, ObjectKind::CheckpointSigning, &mut trials, |session, made, trials| {
        let outcome = uses::ecdsa(session, made.handle, b"claviger/1/trial");
        trials.push(trial("ECDSA P-256 signature", outcome.map(|_| "64 bytes".to_owned())));
        trials.extend(refusals(session, made.handle));
    })?;
    Ok(TokenReport {
        module: call.link.settings().module.display().to_string(),
        library,
        token: call.link.description(),
        trials,
    })
}

/// HMAC under a key whose value is known, against the same in software. Needs `C_CreateObject`, which
/// many modules refuse; that is no fault.
fn known_answer(call: &Call<'_>) -> Result<Trial, Fault> {
    let session = call.throw_away_session()?;
    let what = "HMAC-SHA-256 equals software";
    let value = [0x5C; SecretKey::LENGTH];
    let key = session.create_object(&[
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::GENERIC_SECRET),
        Attribute::Token(false),
        Attribute::Private(true),
        Attribute::Sign(true),
        Attribute::Value(value.to_vec()),
    ]);
    let key = match key {
        Ok(key) => key,
        Err(error) => {
            let (function, code) = function_and_code(&error);
            let outcome =
                format!("not tried: a known key cannot be brought in ({function}: {code})");
            return Ok(Trial { what: what.to_owned(), ok: true, outcome });
        }
    };
    let outcome = uses::hmac(&session, key, &derivation().block());
    let software = derivation().derive_from_bytes(&value);
    Ok(match (outcome, software) {
        (Ok(token), Ok(software)) => {
            let same = token.is_same_as(&software);
            let outcome = if same { "the same" } else { "ANOTHER VALUE" };
            Trial { what: what.to_owned(), ok: same, outcome: outcome.to_owned() }
        }
        (Err(fault), _) => trial(what, Err(fault)),
        (_, Err(error)) => Trial { what: what.to_owned(), ok: false, outcome: error.to_string() },
    })
}

/// Makes a key, lets `tries` use it on a session of its own, destroys it.
fn with_key(
    call: &Call<'_>,
    kind: ObjectKind,
    trials: &mut Vec<Trial>,
    tries: impl FnOnce(&Session, &Made, &mut Vec<Trial>),
) -> Result<(), Fault> {
    let what = match kind {
        ObjectKind::Derivation => "make a sign-only HMAC key",
        ObjectKind::CheckpointSigning => "make an ECDSA P-256 key pair",
    };
    let Ok(id) = ObjectId::make_random() else { return Ok(()) };
    let session = call.throw_away_session()?;
    let mut kept = "as a session object";
    let made = template::make(&session, kind, id, Lifetime::Session).or_else(|_| {
        kept = "as a token object, destroyed again";
        template::make(&session, kind, id, Lifetime::Token)
    });
    let made = match made {
        Ok(made) => made,
        Err(fault) => {
            trials.push(trial(what, Err(fault)));
            return Ok(());
        }
    };
    let outcome = format!("{kept}, with {}", made.taken.as_str());
    trials.push(Trial { what: what.to_owned(), ok: true, outcome });
    tries(&session, &made, trials);
    // A fresh session: the trials may have left theirs unusable.
    let session = call.throw_away_session()?;
    for handle in [Some(made.handle), made.public].into_iter().flatten() {
        if let Err(error) = session.destroy_object(handle) {
            trials.push(trial("destroy a key", Err(error.into())));
        }
    }
    Ok(())
}

fn same_again(session: &Session, key: ObjectHandle) -> Trial {
    let block = derivation().block();
    let outcome = uses::hmac(session, key, &block).and_then(|first| {
        let second = uses::hmac(session, key, &block)?;
        Ok(first.is_same_as(&second))
    });
    match outcome {
        Ok(same) => Trial {
            what: format!("HMAC-SHA-256 over {} bytes, twice", block.len()),
            ok: same,
            outcome: if same { "the same" } else { "TWO VALUES" }.to_owned(),
        },
        Err(fault) => trial("HMAC-SHA-256", Err(fault)),
    }
}

fn refusals(session: &Session, key: ObjectHandle) -> [Trial; 3] {
    let judged = |what: &str, probe: Result<Probe, Fault>| match probe {
        Ok(Probe::Refused) => trial(what, Ok("refused, as it must be".to_owned())),
        Ok(Probe::KeyExposed(how)) => {
            Trial { what: what.to_owned(), ok: false, outcome: how.to_owned() }
        }
        Ok(Probe::CopyExposed) => Trial {
            what: what.to_owned(),
            ok: false,
            outcome: crate::objects::COPY_WARNING.to_owned(),
        },
        Err(fault) => trial(what, Err(fault)),
    };
    [
        judged("read the key's value", Ok(probes::read_value(session, key))),
        judged("make the key extractable", probes::set_extractable(session, key)),
        judged("copy the key as extractable", probes::copy_extractable(session, key)),
    ]
}

fn random(session: &Session) -> Trial {
    let what = "random bytes";
    let draw = || uses::random(session, 32)?.into_secret_key().map_err(|_| out_of_bytes());
    match draw().and_then(|first| Ok((first, draw()?))) {
        Ok((first, second)) => {
            let differ = !first.is_same_as(&second);
            let outcome = if differ { "two draws of 32 bytes differ" } else { "THE SAME TWICE" };
            Trial { what: what.to_owned(), ok: differ, outcome: outcome.to_owned() }
        }
        Err(fault) => trial(what, Err(fault)),
    }
}

fn out_of_bytes() -> Fault {
    Fault::Decided(crate::TokenError::Refused {
        function: "C_GenerateRandom",
        code: "not as many bytes as asked for".to_owned(),
    })
}

/// Median and 99th percentile of up to [`TIMED_CALLS`] calls, in microseconds.
fn timed(what: &str, budget: Duration, call: impl Fn() -> Result<(), Fault>) -> Trial {
    let begun = Instant::now();
    let mut micros = Vec::with_capacity(TIMED_CALLS);
    while micros.len() < TIMED_CALLS && begun.elapsed() < budget {
        let start = Instant::now();
        if let Err(fault) = call() {
            return trial(what, Err(fault));
        }
        micros.push(start.elapsed().as_micros());
    }
    micros.sort_unstable();
    let at = |percent: usize| {
        let index = (micros.len() * percent / 100).min(micros.len().saturating_sub(1));
        micros.get(index).copied().unwrap_or_default()
    };
    let outcome = format!("p50 {} µs, p99 {} µs over {} calls", at(50), at(99), micros.len());
    trial(what, Ok(outcome))
}

fn trial(what: &str, outcome: Result<String, Fault>) -> Trial {
    let (ok, outcome) = match outcome {
        Ok(outcome) => (true, outcome),
        Err(fault) => (false, fault.refused().to_string()),
    };
    Trial { what: what.to_owned(), ok, outcome }
}

/// 88 bytes: the length every known answer has.
fn derivation() -> Derivation {
    Derivation::new(Role::KnownAnswer, Salt::from_bytes([0x36; Salt::LENGTH]), b"claviger/1/trial")
}

const TIMED_CALLS: usize = 200;
/// Each of the two timings takes at most this part of the deadline.
const SHARE_OF_TIMINGS: u32 = 4;
