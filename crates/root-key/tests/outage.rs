//! The token goes away, hangs, or comes back changed.

#![allow(clippy::unwrap_used, reason = "a failure here is the test's failure")]

mod common;

use std::{
    fs::{self, File},
    os::fd::AsRawFd as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use claviger_kms::Role;
use claviger_root_key::{ObjectId, Pkcs11Token, Token, TokenConfig, TokenError, testing};
use claviger_testkit::SoftHsm;
use common::{KIND, derivation, eventually};

fn is_unreachable(error: &TokenError) -> bool {
    matches!(error, TokenError::Unreachable { .. } | TokenError::TimedOut { .. })
}

#[tokio::test]
async fn a_token_that_goes_away_is_an_error_in_time_and_works_again_when_it_is_back() {
    let (hsm, token, id) = common::open_with_key().await;
    let ask = || async { token.derive(id, &derivation(Role::KekWrap, 1)).await };
    let before = ask().await.unwrap();
    hsm.take_away();
    for _ in 0..5 {
        let begun = Instant::now();
        let error = ask().await.unwrap_err();
        assert!(is_unreachable(&error), "{error:?}");
        assert!(begun.elapsed() < Duration::from_secs(6));
    }
    assert!(!token.health().connected);
    hsm.bring_back();
    let after = eventually(ask).await;
    assert!(after.is_same_as(&before));
    let health = token.health();
    assert!(health.connected && health.recoveries == 1 && health.login_attempts == 2, "{health:?}");
}

#[tokio::test]
async fn a_key_not_used_before_is_not_called_missing_during_an_outage() {
    let (hsm, token, _first) = common::open_with_key().await;
    let unused = ObjectId::make_random().unwrap();
    assert!(matches!(
        token.inspect_object(KIND, unused).await.unwrap_err(),
        TokenError::ObjectMissing { .. }
    ));
    hsm.take_away();
    let error = token.inspect_object(KIND, unused).await.unwrap_err();
    assert!(is_unreachable(&error), "{error:?}");
    hsm.bring_back();
    eventually(|| token.check()).await;
    assert!(matches!(
        token.inspect_object(KIND, unused).await.unwrap_err(),
        TokenError::ObjectMissing { .. }
    ));
}

#[tokio::test]
async fn a_check_notices_an_outage_that_random_bytes_do_not_show() {
    let (hsm, token, _id) = common::open_with_key().await;
    token.check().await.unwrap();
    hsm.take_away();
    let error = token.check().await.unwrap_err();
    assert!(is_unreachable(&error), "{error:?}");
    hsm.bring_back();
    eventually(|| token.check()).await;
}

#[tokio::test]
async fn an_outage_that_is_over_costs_the_next_caller_nothing() {
    let (hsm, token, id) = common::open_with_key().await;
    let ask = || async { token.derive(id, &derivation(Role::KekWrap, 1)).await };
    let before = ask().await.unwrap();
    testing::log_out(&hsm.token_config()).unwrap();
    assert!(ask().await.unwrap().is_same_as(&before));
    let health = token.health();
    assert!(health.recoveries == 1 && health.login_attempts == 2, "{health:?}");
}

#[tokio::test]
async fn a_question_that_changes_the_token_is_not_repeated_after_an_outage() {
    let (hsm, token, id) = common::open_with_key().await;
    testing::log_out(&hsm.token_config()).unwrap();
    let error = token.make_object(KIND).await.unwrap_err();
    assert!(is_unreachable(&error), "{error:?}");
    assert_eq!(token.health().recoveries, 1);
    assert_eq!(testing::count_objects(&hsm.token_config()).unwrap(), 1);
    token.inspect_object(KIND, id).await.unwrap();
}

#[tokio::test]
async fn a_key_the_module_lost_sight_of_is_found_again_by_one_recovery() {
    let (hsm, token, id) = common::open_with_key().await;
    let ask = || async { token.derive(id, &derivation(Role::KekWrap, 1)).await };
    let before = ask().await.unwrap();
    // SoftHSM forgets the object while its file is away and does not look again by itself.
    let is_key = |path: &PathBuf| {
        path.extension() == Some("object".as_ref()) && !path.ends_with("token.object")
    };
    let file = token_files(&hsm).into_iter().find(is_key).unwrap();
    let aside = hsm.directory().join("aside");
    fs::rename(&file, &aside).unwrap();
    assert_eq!(testing::count_objects(&hsm.token_config()).unwrap(), 0);
    fs::rename(&aside, &file).unwrap();
    assert!(ask().await.unwrap().is_same_as(&before));
    assert_eq!(token.health().recoveries, 1);
}

#[tokio::test]
async fn a_key_is_made_after_an_outage_since_nothing_was_asked_before() {
    let (hsm, token, _id) = common::open_with_key().await;
    hsm.take_away();
    token.check().await.unwrap_err();
    hsm.bring_back();
    let made = eventually(|| token.make_object(KIND)).await;
    token.inspect_object(KIND, made.id).await.unwrap();
    assert_eq!(testing::count_objects(&hsm.token_config()).unwrap(), 2);
}

#[tokio::test]
async fn a_pin_refused_after_an_outage_is_tried_once_and_never_again() {
    let (hsm, token, id) = common::open_with_key().await;
    hsm.take_away();
    fs::write(hsm.pin_file(), "24681357").unwrap();
    token.check().await.unwrap_err();
    hsm.bring_back();
    let begun = Instant::now();
    let refused = loop {
        let error = token.derive(id, &derivation(Role::KekWrap, 1)).await.unwrap_err();
        if matches!(error, TokenError::PinRefused { .. }) {
            break error;
        }
        assert!(is_unreachable(&error) && begun.elapsed() < Duration::from_secs(10), "{error:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let attempts = token.health().login_attempts;
    assert_eq!(attempts, 2);
    tokio::time::sleep(Duration::from_millis(700)).await;
    for error in [
        token.derive(id, &derivation(Role::KekWrap, 1)).await.unwrap_err(),
        token.random(16).await.unwrap_err(),
        token.check().await.unwrap_err(),
        token.make_object(KIND).await.unwrap_err(),
    ] {
        assert_eq!(error, refused);
    }
    assert!(token.health().pin_refused);
    assert_eq!(token.health().login_attempts, attempts);
}

/// Takes the token away and back, and asks until the PIN's refusal is the answer.
async fn refused_after_an_outage(hsm: &SoftHsm, token: &Pkcs11Token, id: ObjectId) -> TokenError {
    hsm.take_away();
    token.check().await.unwrap_err();
    hsm.bring_back();
    let begun = Instant::now();
    loop {
        let error = token.derive(id, &derivation(Role::KekWrap, 1)).await.unwrap_err();
        if matches!(error, TokenError::PinRefused { .. }) {
            return error;
        }
        assert!(is_unreachable(&error) && begun.elapsed() < Duration::from_secs(10), "{error:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn after_a_refusal_only_another_pin_and_a_persons_word_lead_to_a_login() {
    let (hsm, token, id) = common::open_with_key().await;
    let ask = || async { token.derive(id, &derivation(Role::KekWrap, 1)).await };
    let before = ask().await.unwrap();
    hsm.change_pin("86427531");
    refused_after_an_outage(&hsm, &token, id).await;
    assert_eq!(token.health().login_attempts, 2);

    // A person's word without another PIN: nothing is sent.
    for _ in 0..3 {
        token.forget_pin_refusal().await;
        let error = ask().await.unwrap_err();
        assert!(error.to_string().contains("refused before"), "{error}");
    }
    assert_eq!(token.health().login_attempts, 2);

    // Another PIN without a person's word: neither.
    fs::write(hsm.pin_file(), "86427531\n").unwrap();
    assert!(matches!(ask().await.unwrap_err(), TokenError::PinRefused { .. }));
    assert_eq!(token.health().login_attempts, 2);

    token.forget_pin_refusal().await;
    assert!(ask().await.unwrap().is_same_as(&before));
    let health = token.health();
    assert!(health.connected && !health.pin_refused && health.login_attempts == 3, "{health:?}");
}

#[tokio::test]
async fn a_refused_pin_is_never_sent_again_though_another_was_tried_between() {
    let (hsm, token, id) = common::open_with_key().await;
    let ask = || async { token.derive(id, &derivation(Role::KekWrap, 1)).await };
    let first = fs::read(hsm.pin_file()).unwrap();
    hsm.change_pin("86427531");
    refused_after_an_outage(&hsm, &token, id).await;
    fs::write(hsm.pin_file(), "24681357").unwrap();
    token.forget_pin_refusal().await;
    assert!(matches!(ask().await.unwrap_err(), TokenError::PinRefused { .. }));
    assert_eq!(token.health().login_attempts, 3);
    for pin in [first.as_slice(), b"24681357"] {
        fs::write(hsm.pin_file(), pin).unwrap();
        token.forget_pin_refusal().await;
        assert!(matches!(ask().await.unwrap_err(), TokenError::PinRefused { .. }));
    }
    assert_eq!(token.health().login_attempts, 3);
}

#[tokio::test]
async fn recovery_is_not_tried_at_every_call() {
    let (hsm, token, id) = common::open_with_key().await;
    hsm.take_away();
    token.derive(id, &derivation(Role::KekWrap, 1)).await.unwrap_err();
    let begun = Instant::now();
    for _ in 0..100 {
        token.derive(id, &derivation(Role::KekWrap, 1)).await.unwrap_err();
    }
    let at_most = 1 + begun.elapsed().as_millis() / 500;
    assert!(u128::from(token.health().recovery_attempts) <= at_most, "{:?}", token.health());
    hsm.bring_back();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_in_an_outage_lead_to_one_recovery() {
    let (hsm, token, id) = common::open_with_key().await;
    let token = Arc::new(token);
    hsm.take_away();
    token.derive(id, &derivation(Role::KekWrap, 1)).await.unwrap_err();
    hsm.bring_back();
    tokio::time::sleep(Duration::from_millis(600)).await;
    let asked: Vec<_> = (0..32)
        .map(|salt| {
            let token = Arc::clone(&token);
            tokio::spawn(async move { token.derive(id, &derivation(Role::KekWrap, salt)).await })
        })
        .collect();
    for answer in asked {
        answer.await.unwrap().unwrap();
    }
    assert_eq!(token.health().recoveries, 1);
}

#[tokio::test]
async fn a_dropped_token_waits_for_a_call_that_still_runs() {
    let hsm = SoftHsm::new();
    let config = TokenConfig { deadline_ms: Some(600), sessions: Some(1), ..hsm.token_config() };
    let token = Pkcs11Token::open(&config).unwrap();
    let id = token.make_object(KIND).await.unwrap().id;
    let locks = lock_token_files(&hsm);
    // Nobody waits for this answer any more, and its thread is in the module.
    let asked = tokio::time::timeout(Duration::from_millis(50), token.inspect_object(KIND, id));
    assert!(asked.await.is_err());
    let unlocked = Arc::new(AtomicBool::new(false));
    let unlock = std::thread::spawn({
        let unlocked = Arc::clone(&unlocked);
        move || {
            std::thread::sleep(Duration::from_millis(100));
            // Said before the locks go: the call that waits for them cannot end earlier than this. (That the
            // thread itself has ended is another matter, and once failed a run.)
            unlocked.store(true, Ordering::SeqCst);
            drop(locks);
        }
    });
    drop(token);
    assert!(unlocked.load(Ordering::SeqCst), "the drop did not wait for the call");
    // Were the thread still inside, this would be refused or would wait.
    Pkcs11Token::open(&config).unwrap().inspect_object(KIND, id).await.unwrap();
    unlock.join().unwrap();
}

#[tokio::test]
async fn a_module_that_hangs_costs_a_deadline_then_nothing_and_is_shown() {
    let hsm = SoftHsm::new();
    let config = TokenConfig { deadline_ms: Some(300), sessions: Some(2), ..hsm.token_config() };
    let token = Pkcs11Token::open(&config).unwrap();
    let id = token.make_object(KIND).await.unwrap().id;
    let ask = || async { token.inspect_object(KIND, id).await };
    ask().await.unwrap();
    let locks = lock_token_files(&hsm);
    for _ in 0..2 {
        let begun = Instant::now();
        let error = ask().await.unwrap_err();
        assert!(matches!(error, TokenError::TimedOut { .. }), "{error:?}");
        assert!(begun.elapsed() >= Duration::from_millis(290), "{:?}", begun.elapsed());
    }
    tokio::time::sleep(Duration::from_millis(320)).await;
    assert_eq!(token.health().hung, 2);
    let begun = Instant::now();
    assert!(matches!(ask().await.unwrap_err(), TokenError::TimedOut { .. }));
    assert!(begun.elapsed() < Duration::from_millis(250), "{:?}", begun.elapsed());
    drop(locks);
    eventually(ask).await;
    assert_eq!(token.health().hung, 0);
}

/// SoftHSM waits without end for the lock on its files: a real hang, from a lock that, being of the
/// open file, holds against this process too.
fn lock_token_files(hsm: &SoftHsm) -> Vec<File> {
    let mut locks = Vec::new();
    for path in token_files(hsm) {
        let file = File::options().read(true).write(true).open(path).unwrap();
        let lock = libc::flock {
            l_type: libc::F_WRLCK as _,
            l_whence: libc::SEEK_SET as _,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        // SAFETY: the descriptor is open and the structure lives through the call.
        #[expect(unsafe_code, reason = "locks of the open file are not in a safe binding")]
        let outcome = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &lock) };
        assert_eq!(outcome, 0);
        locks.push(file);
    }
    locks
}

fn token_files(hsm: &SoftHsm) -> Vec<PathBuf> {
    let listed = |folder: PathBuf| {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    };
    listed(hsm.directory().join("tokens")).into_iter().flat_map(listed).collect()
}
