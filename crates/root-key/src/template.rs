//! The attributes keys are made with.
//!
//! The full template says everything (design: sign only, never extractable, copyable or modifiable, one
//! mechanism). NSS and openCryptoki refuse parts of it, so shorter ones are tried in turn; what holds is
//! read back and reported, never assumed.

use cryptoki::{
    mechanism::{Mechanism, MechanismType},
    object::{Attribute, KeyType, ObjectClass, ObjectHandle},
    session::Session,
};

use crate::{ObjectId, ObjectKind, fault::Fault};

/// A key just made.
#[derive(Debug)]
pub(crate) struct Made {
    /// The secret or private key.
    pub(crate) handle: ObjectHandle,
    /// The public half of a signing key.
    pub(crate) public: Option<ObjectHandle>,
    /// How much of the template the module took.
    pub(crate) taken: Taken,
}

/// How much of the template a module takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    All,
    NotAllowedMechanisms,
    NeitherAllowedMechanismsNorCopyable,
}

impl Taken {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::All => "the full template",
            Self::NotAllowedMechanisms => "the template without CKA_ALLOWED_MECHANISMS",
            Self::NeitherAllowedMechanismsNorCopyable => {
                "the template without CKA_ALLOWED_MECHANISMS and CKA_COPYABLE"
            }
        }
    }
}

/// Whether a key stays in the token or ends with its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    Token,
    Session,
}

/// Makes a key with the fullest template the module takes.
///
/// # Errors
/// The module's, for the shortest template.
pub(crate) fn make(
    session: &Session,
    kind: ObjectKind,
    id: ObjectId,
    lifetime: Lifetime,
) -> Result<Made, Fault> {
    let with = |taken| match kind {
        ObjectKind::Derivation => make_secret(session, id, lifetime, taken),
        ObjectKind::CheckpointSigning => make_pair(session, id, lifetime, taken),
    };
    with(Taken::All)
        .or_else(|_| with(Taken::NotAllowedMechanisms))
        .or_else(|_| with(Taken::NeitherAllowedMechanismsNorCopyable))
}

fn make_secret(
    session: &Session,
    id: ObjectId,
    lifetime: Lifetime,
    taken: Taken,
) -> Result<Made, Fault> {
    let mut template = of_every_key(id, ROOT_LABEL, lifetime);
    template.extend([
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::GENERIC_SECRET),
        Attribute::ValueLen(32.into()),
        Attribute::Verify(false),
        Attribute::Encrypt(false),
        Attribute::Wrap(false),
    ]);
    template.extend(restrictions(taken, MechanismType::SHA256_HMAC));
    let handle = session.generate_key(&Mechanism::GenericSecretKeyGen, &template)?;
    Ok(Made { handle, public: None, taken })
}

fn make_pair(
    session: &Session,
    id: ObjectId,
    lifetime: Lifetime,
    taken: Taken,
) -> Result<Made, Fault> {
    let mut private = of_every_key(id, SIGNING_LABEL, lifetime);
    private.extend([
        Attribute::Class(ObjectClass::PRIVATE_KEY),
        Attribute::KeyType(KeyType::EC),
        Attribute::SignRecover(false),
    ]);
    private.extend(restrictions(taken, MechanismType::ECDSA));
    let public = [
        Attribute::Class(ObjectClass::PUBLIC_KEY),
        Attribute::KeyType(KeyType::EC),
        Attribute::EcParams(P256.to_vec()),
        Attribute::Id(id.as_bytes().to_vec()),
        Attribute::Label(SIGNING_LABEL.to_vec()),
        Attribute::Token(lifetime == Lifetime::Token),
        Attribute::Private(false),
        Attribute::Modifiable(false),
        Attribute::Verify(true),
        Attribute::Encrypt(false),
        Attribute::Wrap(false),
    ];
    let (public, handle) =
        session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)?;
    Ok(Made { handle, public: Some(public), taken })
}

fn of_every_key(id: ObjectId, label: &[u8], lifetime: Lifetime) -> Vec<Attribute> {
    vec![
        Attribute::Id(id.as_bytes().to_vec()),
        Attribute::Label(label.to_vec()),
        Attribute::Token(lifetime == Lifetime::Token),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Modifiable(false),
        Attribute::Sign(true),
        Attribute::Decrypt(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
    ]
}

fn restrictions(taken: Taken, mechanism: MechanismType) -> Vec<Attribute> {
    let copyable = Attribute::Copyable(false);
    match taken {
        Taken::All => vec![copyable, Attribute::AllowedMechanisms(vec![mechanism])],
        Taken::NotAllowedMechanisms => vec![copyable],
        Taken::NeitherAllowedMechanismsNorCopyable => Vec::new(),
    }
}

/// `CKA_LABEL` of root keys and token-level KEKs.
pub(crate) const ROOT_LABEL: &[u8] = b"claviger-root";
/// `CKA_LABEL` of audit signing keys.
const SIGNING_LABEL: &[u8] = b"claviger-audit";
/// DER of the object identifier of P-256 (RFC 5480, section 2.1.1.1).
pub(crate) const P256: [u8; 10] = [0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
