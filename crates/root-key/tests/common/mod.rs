//! What these tests share. Each test makes a SoftHSM token of its own, so each needs its own process.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses a part of it"
)]

use std::time::{Duration, Instant};

use claviger_kms::{Derivation, Role, Salt};
use claviger_root_key::{ObjectId, ObjectKind, Pkcs11Token, Token, TokenError};
use claviger_testkit::SoftHsm;

pub const KIND: ObjectKind = ObjectKind::Derivation;

/// The derivation with this role and a salt of this byte.
pub fn derivation(role: Role, salt: u8) -> Derivation {
    Derivation::new(role, Salt::from_bytes([salt; 24]), b"a test's context")
}

/// A fresh token, open.
pub fn open() -> (SoftHsm, Pkcs11Token) {
    let hsm = SoftHsm::new();
    let token = Pkcs11Token::open(&hsm.token_config()).unwrap();
    (hsm, token)
}

/// A fresh token, open, with a root key.
pub async fn open_with_key() -> (SoftHsm, Pkcs11Token, ObjectId) {
    let (hsm, token) = open();
    let id = token.make_object(KIND).await.unwrap().id;
    (hsm, token, id)
}

/// Asks until the answer is there, for at most ten seconds.
pub async fn eventually<R, F>(mut ask: impl FnMut() -> F) -> R
where
    F: Future<Output = Result<R, TokenError>>,
{
    let begun = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(10), "never came: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// An id that no object has.
pub fn some_id() -> ObjectId {
    ObjectId::make_random().unwrap()
}
