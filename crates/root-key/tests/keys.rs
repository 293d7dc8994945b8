//! Key objects in a real token: what they do, and what is refused.

#![allow(clippy::unwrap_used, reason = "a failure here is the test's failure")]

mod common;

use claviger_kms::{Role, SecretKey};
use claviger_root_key::{
    ObjectId, ObjectKind, Pkcs11Token, Token, TokenConfig, TokenError, testing,
};
use claviger_testkit::SoftHsm;
use common::{KIND, derivation};
use testing::Flaw;

const SIGNING: ObjectKind = ObjectKind::CheckpointSigning;

#[tokio::test]
async fn a_new_key_takes_the_full_template_without_a_warning() {
    let (_hsm, token) = common::open();
    let report = token.make_object(KIND).await.unwrap();
    assert!(report.copy_refused_by_attribute && report.mechanisms_restricted);
    assert_eq!(report.warnings, Vec::<String>::new());
    assert_eq!(report.public_key, None);
    assert_eq!(token.inspect_object(KIND, report.id).await.unwrap(), report);
}

#[tokio::test]
async fn a_derivation_depends_on_role_salt_and_object_only() {
    let (_hsm, token, id) = common::open_with_key().await;
    let other = token.make_object(KIND).await.unwrap().id;
    let derived = async |id, role, salt| token.derive(id, &derivation(role, salt)).await.unwrap();
    let base = derived(id, Role::KekWrap, 1).await;
    assert!(base.is_same_as(&derived(id, Role::KekWrap, 1).await));
    assert!(!base.is_same_as(&derived(id, Role::RecordMac, 1).await));
    assert!(!base.is_same_as(&derived(id, Role::KekWrap, 2).await));
    assert!(!base.is_same_as(&derived(other, Role::KekWrap, 1).await));
}

// A key whose value is known is refused by every use (next test), so only the report can compare.
#[tokio::test]
async fn the_report_compares_a_derivation_with_software() {
    let (_hsm, token) = common::open();
    let report = token.report().await.unwrap();
    let trial = report.trials.iter().find(|t| t.what == "HMAC-SHA-256 equals software").unwrap();
    assert!(trial.ok && trial.outcome == "the same", "{trial:?}");
}

#[tokio::test]
async fn a_key_whose_value_may_be_known_outside_is_refused() {
    let (hsm, token) = common::open();
    let id = ObjectId::make_random().unwrap();
    testing::import_known(&hsm.token_config(), id, [7; SecretKey::LENGTH]).unwrap();
    for error in [
        token.inspect_object(KIND, id).await.unwrap_err(),
        token.derive(id, &derivation(Role::KekWrap, 1)).await.unwrap_err(),
    ] {
        assert!(matches!(error, TokenError::ObjectUnsafe { .. }), "{error:?}");
        assert!(error.to_string().contains("CKA_"), "{error}");
    }
    drop(token);
    // `accept-not-local` is about modules that say so of every key; it does not excuse the rest.
    let config = TokenConfig { accept_not_local: true, ..hsm.token_config() };
    let token = Pkcs11Token::open(&config).unwrap();
    let error = token.inspect_object(KIND, id).await.unwrap_err();
    assert!(error.to_string().contains("CKA_ALWAYS_SENSITIVE"), "{error}");
}

#[tokio::test]
async fn a_key_with_any_flaw_is_refused_by_name() {
    let (hsm, token) = common::open();
    for (flaw, named) in [
        (Flaw::Extractable, "CKA_EXTRACTABLE is true"),
        (Flaw::NotSensitive, "CKA_SENSITIVE is false"),
        (Flaw::MayWrap, "CKA_WRAP is true"),
        (Flaw::MayVerify, "CKA_VERIFY is true"),
        (Flaw::Modifiable, "CKA_MODIFIABLE is true"),
        (Flaw::Short, "CKA_VALUE_LEN is not 32"),
        (Flaw::OtherType, "CKA_KEY_TYPE"),
        (Flaw::MoreMechanisms, "CKA_ALLOWED_MECHANISMS"),
    ] {
        let id = ObjectId::make_random().unwrap();
        testing::make_flawed(&hsm.token_config(), id, flaw).unwrap();
        for error in [
            token.inspect_object(KIND, id).await.unwrap_err(),
            token.derive(id, &derivation(Role::KekWrap, 1)).await.unwrap_err(),
        ] {
            assert!(matches!(error, TokenError::ObjectUnsafe { .. }), "{flaw:?}: {error:?}");
            assert!(error.to_string().contains(named), "{flaw:?}: {error}");
            assert!(error.to_string().contains(&id.to_string()), "{flaw:?}: {error}");
        }
    }
}

#[tokio::test]
async fn the_probes_see_an_exposed_key_and_leave_no_copy() {
    let (hsm, _token, id) = common::open_with_key().await;
    let config = hsm.token_config();
    assert_eq!(testing::probes_not_withstood(&config, id).unwrap(), Vec::<&str>::new());
    let exposed = ObjectId::make_random().unwrap();
    testing::make_flawed(&config, exposed, Flaw::Exposed).unwrap();
    let seen = testing::probes_not_withstood(&config, exposed).unwrap();
    assert_eq!(seen, ["value", "attribute", "copy"]);
    assert_eq!(testing::count_objects(&config).unwrap(), 2);
}

#[tokio::test]
async fn a_planted_second_key_is_refused() {
    let (hsm, token, id) = common::open_with_key().await;
    hsm.plant_duplicate(id);
    let error = token.inspect_object(KIND, id).await.unwrap_err();
    assert!(matches!(error, TokenError::ObjectUnsafe { .. }), "{error:?}");
    assert!(error.to_string().starts_with("the token has 2 objects"), "{error}");
    // Neither half is destroyed on a guess.
    let error = token.destroy_object(KIND, id).await.unwrap_err();
    assert!(matches!(error, TokenError::ObjectUnsafe { .. }), "{error:?}");
    drop(token);
    let token = Pkcs11Token::open(&hsm.token_config()).unwrap();
    let error = token.derive(id, &derivation(Role::KekWrap, 1)).await.unwrap_err();
    assert!(matches!(error, TokenError::ObjectUnsafe { .. }), "{error:?}");
}

#[tokio::test]
async fn a_destroyed_key_is_missing() {
    let (_hsm, token, id) = common::open_with_key().await;
    let other = token.make_object(KIND).await.unwrap().id;
    token.derive(id, &derivation(Role::KekWrap, 1)).await.unwrap();
    token.destroy_object(KIND, id).await.unwrap();
    for error in [
        token.inspect_object(KIND, id).await.unwrap_err(),
        token.derive(id, &derivation(Role::KekWrap, 1)).await.unwrap_err(),
        token.destroy_object(KIND, id).await.unwrap_err(),
    ] {
        assert!(matches!(error, TokenError::ObjectMissing { .. }), "{error:?}");
        assert!(error.to_string().contains(&id.to_string()), "{error}");
    }
    token.derive(other, &derivation(Role::KekWrap, 1)).await.unwrap();
    assert_eq!(token.health().recoveries, 0);
}

#[tokio::test]
async fn a_key_that_another_process_destroyed_is_missing() {
    let (hsm, token, id) = common::open_with_key().await;
    token.derive(id, &derivation(Role::KekWrap, 1)).await.unwrap();
    testing::remove_secret_key(&hsm.token_config(), id).unwrap();
    let error = token.derive(id, &derivation(Role::KekWrap, 1)).await.unwrap_err();
    assert!(matches!(error, TokenError::ObjectMissing { .. }), "{error:?}");
}

#[tokio::test]
async fn a_key_of_one_kind_is_no_key_of_the_other() {
    let (_hsm, token, id) = common::open_with_key().await;
    let signing = token.make_object(SIGNING).await.unwrap().id;
    let error = token.sign_checkpoint(id, "text").await.unwrap_err();
    assert!(matches!(error, TokenError::ObjectMissing { .. }), "{error:?}");
    let error = token.derive(signing, &derivation(Role::KekWrap, 1)).await.unwrap_err();
    assert!(matches!(error, TokenError::ObjectMissing { .. }), "{error:?}");
}

#[tokio::test]
async fn a_checkpoint_is_signed_by_a_key_whose_point_is_shown() {
    let (_hsm, token) = common::open();
    let report = token.make_object(SIGNING).await.unwrap();
    let point = report.public_key.clone().unwrap();
    assert!(point.len() == 130 && point.starts_with("04"), "{point}");
    assert_eq!(report.warnings, Vec::<String>::new());
    assert_eq!(token.inspect_object(SIGNING, report.id).await.unwrap(), report);
    let text = "claviger.example/log\n7\nAAAA\n";
    let first = token.sign_checkpoint(report.id, text).await.unwrap();
    let second = token.sign_checkpoint(report.id, text).await.unwrap();
    assert_ne!(first, second);
}

#[tokio::test]
async fn a_swapped_or_planted_public_key_is_refused() {
    let (hsm, token) = common::open();
    let config = hsm.token_config();
    let id = token.make_object(SIGNING).await.unwrap().id;
    testing::plant_public_key(&config, id).unwrap();
    let error = token.inspect_object(SIGNING, id).await.unwrap_err();
    assert!(error.to_string().starts_with("the token has 2 objects (public key)"), "{error}");
    testing::remove_public_key(&config, id).unwrap();
    let error = token.inspect_object(SIGNING, id).await.unwrap_err();
    assert!(matches!(error, TokenError::ObjectMissing { .. }), "{error:?}");
    testing::plant_public_key(&config, id).unwrap();
    let error = token.inspect_object(SIGNING, id).await.unwrap_err();
    assert!(error.to_string().contains("does not verify its signatures"), "{error}");
}

#[tokio::test]
async fn destroying_a_signing_key_leaves_neither_half() {
    let (hsm, token) = common::open();
    let id = token.make_object(SIGNING).await.unwrap().id;
    assert_eq!(testing::count_objects(&hsm.token_config()).unwrap(), 2);
    token.destroy_object(SIGNING, id).await.unwrap();
    assert_eq!(testing::count_objects(&hsm.token_config()).unwrap(), 0);
}

#[tokio::test]
async fn the_report_tries_everything_and_leaves_nothing_behind() {
    let (hsm, token, _id) = common::open_with_key().await;
    let report = token.report().await.unwrap();
    assert!(report.library.contains("SoftHSM"), "{}", report.library);
    for trial in &report.trials {
        assert!(trial.ok, "{trial:?}");
    }
    let tried: Vec<_> = report.trials.iter().map(|trial| trial.what.as_str()).collect();
    for what in [
        "HMAC-SHA-256 equals software",
        "make a sign-only HMAC key",
        "HMAC-SHA-256 over 88 bytes, twice",
        "read the key's value",
        "make the key extractable",
        "copy the key as extractable",
        "random bytes",
        "make an ECDSA P-256 key pair",
        "ECDSA P-256 signature",
        "time of a derivation",
        "time of 32 random bytes",
    ] {
        assert!(tried.contains(&what), "{what} is not in {tried:?}");
    }
    let outcomes = serde_json::to_string_pretty(&report).unwrap();
    println!("{outcomes}");
    assert_eq!(testing::count_objects(&hsm.token_config()).unwrap(), 1);
}

#[tokio::test]
async fn random_bytes_come_in_the_length_asked_for_up_to_the_limit() {
    let (_hsm, token) = common::open();
    for length in [0, 1, 32, 1024] {
        assert_eq!(token.random(length).await.unwrap().len(), length);
    }
    let error = token.random(1025).await.unwrap_err();
    assert!(matches!(error, TokenError::Refused { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_derivations_at_once_are_each_right() {
    let (_hsm, token, id) = common::open_with_key().await;
    let token = std::sync::Arc::new(token);
    let mut expected = Vec::new();
    for salt in 0..32 {
        expected.push(token.derive(id, &derivation(Role::DekWrap, salt)).await.unwrap());
    }
    let asked: Vec<_> = (0..32)
        .map(|salt| {
            let token = std::sync::Arc::clone(&token);
            tokio::spawn(async move { token.derive(id, &derivation(Role::DekWrap, salt)).await })
        })
        .collect();
    for (answer, expected) in asked.into_iter().zip(&expected) {
        assert!(answer.await.unwrap().unwrap().is_same_as(expected));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_takes_one_call_at_a_time_gets_one_at_a_time() {
    let hsm = SoftHsm::new();
    let config = TokenConfig { serialize_calls: true, ..hsm.token_config() };
    let token = Pkcs11Token::open(&config).unwrap();
    let id = token.make_object(KIND).await.unwrap().id;
    let token = std::sync::Arc::new(token);
    let asked: Vec<_> = (0..16)
        .map(|salt| {
            let token = std::sync::Arc::clone(&token);
            tokio::spawn(async move { token.derive(id, &derivation(Role::DekWrap, salt)).await })
        })
        .collect();
    for answer in asked {
        answer.await.unwrap().unwrap();
    }
}
