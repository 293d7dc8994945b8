//! For tests only: what an attacker with the PIN, or an operator with a vendor's tool, does to a token.
//!
//! Each function works on the module of this process, beside an open [`Pkcs11Token`](crate::Pkcs11Token)
//! or without one.

use claviger_kms::SecretKey;
use cryptoki::{
    context::Pkcs11,
    mechanism::Mechanism,
    object::{Attribute, KeyType, ObjectClass},
    session::{Session, SessionState, UserType},
    types::AuthPin,
};

use crate::{
    ObjectId, ObjectKind, TokenConfig, TokenError,
    fault::{Fault, unreachable},
    find,
    probes::{self, Probe},
    process::{self, Claim},
    slots, template,
};

/// How often `C_Login` was called by this process, by tokens (not by this module).
#[must_use]
pub fn login_attempts() -> u64 {
    process::login_attempts()
}

/// Plants a second secret key with this id and the root's label, otherwise made as a real one.
///
/// # Errors
/// Whatever the token answers.
pub fn plant_duplicate(config: &TokenConfig, id: ObjectId) -> Result<(), TokenError> {
    with_session(config, |session| {
        template::make(session, ObjectKind::Derivation, id, template::Lifetime::Token).map(drop)
    })
}

/// Plants a second public key with this id: the public half of another pair.
///
/// # Errors
/// Whatever the token answers.
pub fn plant_public_key(config: &TokenConfig, id: ObjectId) -> Result<(), TokenError> {
    with_session(config, |session| {
        let other =
            template::make(session, ObjectKind::CheckpointSigning, id, template::Lifetime::Token)?;
        Ok(session.destroy_object(other.handle)?)
    })
}

/// Destroys the public keys with this id.
///
/// # Errors
/// Whatever the token answers.
pub fn remove_public_key(config: &TokenConfig, id: ObjectId) -> Result<(), TokenError> {
    with_session(config, |session| {
        for handle in find::public_handles(session, id)? {
            session.destroy_object(handle)?;
        }
        Ok(())
    })
}

/// Destroys the secret keys with this id, as another process might.
///
/// # Errors
/// Whatever the token answers.
pub fn remove_secret_key(config: &TokenConfig, id: ObjectId) -> Result<(), TokenError> {
    with_session(config, |session| {
        for handle in find::handles(session, ObjectKind::Derivation, id)? {
            session.destroy_object(handle)?;
        }
        Ok(())
    })
}

/// Gives the token's user this PIN; the PIN file keeps the old one.
///
/// # Errors
/// Whatever the token answers.
pub fn set_pin(config: &TokenConfig, new: &str) -> Result<(), TokenError> {
    let old = config.resolve()?.pin.read()?;
    with_session(config, |session| {
        let old = AuthPin::new(String::from_utf8_lossy(old.bytes()).into_owned().into());
        Ok(session.set_pin(&old, &AuthPin::new(new.to_owned().into()))?)
    })
}

/// A flaw that a hand-made secret key can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// `CKA_EXTRACTABLE` is true.
    Extractable,
    /// `CKA_SENSITIVE` is false.
    NotSensitive,
    /// It may wrap other keys.
    MayWrap,
    /// It may verify.
    MayVerify,
    /// It may be changed.
    Modifiable,
    /// Of 16 bytes.
    Short,
    /// An AES key.
    OtherType,
    /// The mechanism list allows SHA-512 too.
    MoreMechanisms,
    /// Extractable, not sensitive and modifiable: its value can be read.
    Exposed,
}

/// Makes a secret key with this id and this flaw.
///
/// # Errors
/// Whatever the token answers.
pub fn make_flawed(config: &TokenConfig, id: ObjectId, flaw: Flaw) -> Result<(), TokenError> {
    let is = |other: Flaw| flaw == other;
    let (key_type, generation) = match flaw {
        Flaw::OtherType => (KeyType::AES, Mechanism::AesKeyGen),
        _ => (KeyType::GENERIC_SECRET, Mechanism::GenericSecretKeyGen),
    };
    let mut template = vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(key_type),
        Attribute::ValueLen(if is(Flaw::Short) { 16 } else { 32 }.into()),
        Attribute::Id(id.as_bytes().to_vec()),
        Attribute::Label(template::ROOT_LABEL.to_vec()),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(!is(Flaw::NotSensitive) && !is(Flaw::Exposed)),
        Attribute::Extractable(is(Flaw::Extractable) || is(Flaw::Exposed)),
        Attribute::Modifiable(is(Flaw::Modifiable) || is(Flaw::Exposed)),
        Attribute::Sign(true),
        Attribute::Verify(is(Flaw::MayVerify)),
        Attribute::Encrypt(false),
        Attribute::Decrypt(false),
        Attribute::Wrap(is(Flaw::MayWrap)),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
    ];
    if is(Flaw::MoreMechanisms) {
        use cryptoki::mechanism::MechanismType;
        template.push(Attribute::AllowedMechanisms(vec![
            MechanismType::SHA256_HMAC,
            MechanismType::SHA512_HMAC,
        ]));
    }
    with_session(config, |session| {
        session.generate_key(&generation, &template)?;
        Ok(())
    })
}

/// Which of the three probes of a new key (value, attribute, copy) this secret key does not withstand.
///
/// # Errors
/// Whatever the token answers.
pub fn probes_not_withstood(
    config: &TokenConfig,
    id: ObjectId,
) -> Result<Vec<&'static str>, TokenError> {
    with_session(config, |session| {
        let key = find::only(session, ObjectKind::Derivation, id)?;
        let probes = [
            ("value", probes::read_value(session, key)),
            ("attribute", probes::set_extractable(session, key)?),
            ("copy", probes::copy_extractable(session, key)?),
        ];
        let failed = probes.into_iter().filter(|(_, probe)| *probe != Probe::Refused);
        Ok(failed.map(|(name, _)| name).collect())
    })
}

/// Brings in a secret key with this id whose value is known; no attribute but `CKA_LOCAL`,
/// `CKA_ALWAYS_SENSITIVE` and `CKA_NEVER_EXTRACTABLE` tells it from a real one.
///
/// # Errors
/// Whatever the token answers.
pub fn import_known(
    config: &TokenConfig,
    id: ObjectId,
    value: [u8; SecretKey::LENGTH],
) -> Result<(), TokenError> {
    with_session(config, |session| {
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::GENERIC_SECRET),
            Attribute::Id(id.as_bytes().to_vec()),
            Attribute::Label(template::ROOT_LABEL.to_vec()),
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Modifiable(false),
            Attribute::Sign(true),
            Attribute::Verify(false),
            Attribute::Encrypt(false),
            Attribute::Decrypt(false),
            Attribute::Wrap(false),
            Attribute::Unwrap(false),
            Attribute::Derive(false),
            Attribute::Value(value.to_vec()),
        ];
        session.create_object(&template)?;
        Ok(())
    })
}

/// Logs the whole process out, as a stray `C_Logout` or a card taken out for a moment would.
///
/// # Errors
/// Whatever the token answers.
pub fn log_out(config: &TokenConfig) -> Result<(), TokenError> {
    with_session(config, |session| Ok(session.logout()?))
}

/// How many objects the token has, of all kinds.
///
/// # Errors
/// Whatever the token answers.
pub fn count_objects(config: &TokenConfig) -> Result<usize, TokenError> {
    with_session(config, |session| Ok(session.find_objects(&[Attribute::Token(true)])?.len()))
}

fn with_session<R>(
    config: &TokenConfig,
    work: impl FnOnce(&Session) -> Result<R, Fault>,
) -> Result<R, TokenError> {
    let settings = config.resolve()?;
    let open = |module: &Pkcs11| -> Result<Session, TokenError> {
        let token = slots::select(module, &settings.selector)?;
        module.open_rw_session(token.slot).map_err(|error| unreachable(&error))
    };
    let run = |session: &Session| -> Result<R, Fault> {
        if session.get_session_info()?.session_state() != SessionState::RwUser {
            session.login_with_raw(UserType::User, &settings.pin.read()?.for_login())?;
        }
        work(session)
    };
    match process::module_in_use() {
        Some(module) => run(&open(&module)?).map_err(Fault::refused),
        None => {
            let claim = Claim::take(&settings.module, settings.deadline)?;
            run(&open(claim.module())?).map_err(Fault::refused)
        }
    }
}
