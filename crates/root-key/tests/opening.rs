//! Opening a token: what leads to one, and every way it does not.

#![allow(clippy::unwrap_used, reason = "a failure here is the test's failure")]

mod common;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use claviger_root_key::{Pkcs11Token, Token, TokenConfig, TokenError, testing};
use claviger_testkit::SoftHsm;

fn refusal(config: &TokenConfig) -> String {
    match Pkcs11Token::open(config) {
        Err(TokenError::Misconfigured { reason }) => reason,
        other => panic!("expected a misconfiguration, got {other:?}"),
    }
}

fn config_of(text: &str) -> TokenConfig {
    toml::from_str(text).unwrap()
}

fn pin_of(hsm: &SoftHsm) -> String {
    fs::read_to_string(hsm.pin_file()).unwrap()
}

#[tokio::test]
async fn a_label_a_serial_a_slot_and_a_uri_each_lead_to_the_token() {
    let hsm = SoftHsm::new();
    let (module, pin) = (hsm.module().display(), hsm.pin_file());
    let pin = pin.display();
    let token = Pkcs11Token::open(&hsm.token_config()).unwrap();
    let seen = token.report().await.unwrap().token.unwrap();
    drop(token);
    let after = |mark: &str| {
        let (_, rest) = seen.split_once(mark).unwrap();
        rest.split([',', ';']).next().unwrap().trim_matches('"').to_owned()
    };
    let (serial, slot) = (after("serial "), after("slot "));
    for text in [
        format!("module = '{module}'\nserial = '{serial}'\npin-file = '{pin}'"),
        format!("module = '{module}'\nslot = {slot}\npin-file = '{pin}'"),
        format!("uri = 'pkcs11:token=claviger-test?module-path={module}&pin-source=file:{pin}'"),
        format!(
            "uri = 'pkcs11:serial={serial};manufacturer=SoftHSM%20project;slot-id={slot}'\nmodule = '{module}'\npin-file = '{pin}'"
        ),
    ] {
        let token = Pkcs11Token::open(&config_of(&text)).unwrap();
        token.check().await.unwrap();
    }
}

#[tokio::test]
async fn a_systemd_credential_leads_to_the_pin() {
    let hsm = SoftHsm::new();
    let config = TokenConfig {
        pin_file: None,
        pin_credential: Some("pin".to_owned()),
        ..hsm.token_config()
    };
    assert!(refusal(&config).contains("LoadCredential=pin:"));
    // SAFETY: this process runs this test only, and no other thread reads the environment now.
    #[expect(unsafe_code, reason = "systemd gives the folder in the environment")]
    unsafe {
        std::env::set_var("CREDENTIALS_DIRECTORY", hsm.directory());
    }
    Pkcs11Token::open(&config).unwrap().check().await.unwrap();
}

#[tokio::test]
async fn a_wrong_pin_is_tried_once_and_never_again() {
    let hsm = SoftHsm::new();
    let right = pin_of(&hsm);
    fs::write(hsm.pin_file(), "24681357").unwrap();
    for _ in 0..3 {
        let error = Pkcs11Token::open(&hsm.token_config()).unwrap_err();
        let refused = TokenError::PinRefused { code: "CKR_PIN_INCORRECT".to_owned() };
        assert_eq!(error, refused);
        assert_eq!(testing::login_attempts(), 1);
    }
    // Not even with the right one: the process has to be started again.
    fs::write(hsm.pin_file(), right).unwrap();
    let error = Pkcs11Token::open(&hsm.token_config()).unwrap_err();
    assert!(matches!(error, TokenError::PinRefused { .. }));
    assert_eq!(testing::login_attempts(), 1);
}

#[test]
fn a_missing_pin_file_is_named_and_no_login_is_tried() {
    let hsm = SoftHsm::new();
    fs::remove_file(hsm.pin_file()).unwrap();
    let reason = refusal(&hsm.token_config());
    assert!(reason.contains(&hsm.pin_file().display().to_string()), "{reason}");
    assert_eq!(testing::login_attempts(), 0);
}

#[test]
fn a_pin_file_that_others_can_read_is_refused_with_the_remedy() {
    let hsm = SoftHsm::new();
    fs::set_permissions(hsm.pin_file(), fs::Permissions::from_mode(0o644)).unwrap();
    let reason = refusal(&hsm.token_config());
    assert!(reason.contains("chmod 600") && reason.contains("0644"), "{reason}");
    assert_eq!(testing::login_attempts(), 0);
}

#[test]
fn a_missing_module_is_named_with_the_remedy() {
    let hsm = SoftHsm::new();
    let missing = PathBuf::from("/nowhere/libpkcs11.so");
    let config = TokenConfig { module: Some(missing), ..hsm.token_config() };
    let reason = refusal(&config);
    assert!(reason.contains("/nowhere/libpkcs11.so") && reason.contains("install"), "{reason}");
}

#[test]
fn a_file_that_is_no_module_is_refused() {
    let hsm = SoftHsm::new();
    let config = TokenConfig { module: Some(hsm.conf_path()), ..hsm.token_config() };
    assert!(refusal(&config).contains("cannot be loaded"));
}

#[test]
fn no_matching_token_lists_those_that_are_there() {
    let hsm = SoftHsm::new();
    let config = TokenConfig { label: Some("another".to_owned()), ..hsm.token_config() };
    let reason = refusal(&config);
    assert!(reason.contains("\"another\""), "{reason}");
    assert!(reason.contains("label \"claviger-test\", serial"), "{reason}");
}

#[test]
fn two_matching_tokens_are_ambiguous() {
    let hsm = SoftHsm::new();
    hsm.add_token(SoftHsm::LABEL);
    hsm.add_token("another");
    let reason = refusal(&hsm.token_config());
    assert!(reason.starts_with("2 tokens match label \"claviger-test\""), "{reason}");
    assert!(reason.contains("select one by token.serial"), "{reason}");
    assert_eq!(testing::login_attempts(), 0);
}

#[tokio::test]
async fn a_second_token_in_one_process_is_refused_until_the_first_is_dropped() {
    let (hsm, token) = common::open();
    assert!(refusal(&hsm.token_config()).contains("share it"));
    token.check().await.unwrap();
    drop(token);
    Pkcs11Token::open(&hsm.token_config()).unwrap().check().await.unwrap();
}

#[test]
fn each_mistake_in_the_configuration_names_its_field() {
    let base = "module = '/lib/p.so'\n";
    for (text, named) in [
        ("label = 'a'\npin-file = '/p'", "token.module is missing"),
        ("module = 'p.so'\nlabel = 'a'\npin-file = '/p'", "not an absolute path"),
        ("module = '/lib/p.so'\npin-file = '/p'", "the token is not selected"),
        ("module = '/lib/p.so'\nlabel = 'a'\nslot = 1\npin-file = '/p'", "only one of"),
        ("module = '/lib/p.so'\nlabel = 'a'", "the PIN has no source"),
        ("module = '/lib/p.so'\nlabel = 'a'\npin-file = 'p'", "token.pin-file"),
        ("module = '/lib/p.so'\nlabel = 'a'\npin-credential = '../p'", "token.pin-credential"),
        (
            "module = '/lib/p.so'\nlabel = 'a'\npin-file = '/p'\npin-credential = 'p'",
            "more than one PIN source",
        ),
        (
            "module = '/lib/p.so'\nlabel = 'a'\npin-file = '/p'\nuri = 'pkcs11:token=a'",
            "token.uri selects the token already",
        ),
        ("uri = 'pkcs11:token=a?module-path=/q.so'\nmodule = '/p.so'", "more than one module"),
        ("uri = 'pkcs11:token=a?module-path=/q.so'", "the PIN has no source"),
    ] {
        let error = config_of(text).check().unwrap_err().to_string();
        assert!(error.contains(named), "{text:?}: {error}");
    }
    for (field, named) in [
        ("deadline-ms = 0", "token.deadline-ms"),
        ("deadline-ms = 600001", "token.deadline-ms"),
        ("sessions = 0", "token.sessions"),
        ("sessions = 65", "token.sessions"),
    ] {
        let text = format!("{base}label = 'a'\npin-file = '/p'\n{field}");
        let error = config_of(&text).check().unwrap_err().to_string();
        assert!(error.contains(named), "{field}: {error}");
    }
    let typo = toml::from_str::<TokenConfig>("modul = '/lib/p.so'").unwrap_err().to_string();
    assert!(typo.contains("modul") && typo.contains("line 1"), "{typo}");
}

#[test]
fn a_pin_in_the_configuration_is_refused_and_shown_nowhere() {
    for text in [
        "module = '/lib/p.so'\nlabel = 'a'\npin = '13572468'",
        "module = '/lib/p.so'\nlabel = 'a'\npin-file = '/p'\npin = 13572468",
        "module = '/lib/p.so'\nuri = 'pkcs11:token=a?pin-value=13572468'",
    ] {
        let config = config_of(text);
        let error = config.check().unwrap_err();
        assert!(error.to_string().contains("must not hold a PIN"), "{error}");
        let written = toml::to_string(&config).unwrap();
        for shown in [format!("{config:?}"), format!("{error:?}"), error.to_string(), written] {
            assert!(!shown.contains("13572468"), "{shown}");
        }
    }
}

#[test]
fn a_configuration_survives_being_written_and_read() {
    let config = TokenConfig::by_label(Path::new("/lib/p.so"), "a", Path::new("/etc/pin"));
    let text = toml::to_string(&config).unwrap();
    let again = config_of(&text);
    assert_eq!(format!("{config:?}"), format!("{again:?}"));
    again.check().unwrap();
}

#[tokio::test]
async fn the_pin_is_in_no_debug_text_and_no_error() {
    let (hsm, token, _id) = common::open_with_key().await;
    let pin = pin_of(&hsm);
    let missing = token.destroy_object(common::KIND, common::some_id()).await.unwrap_err();
    hsm.take_away();
    let gone = token.check().await.unwrap_err();
    let report = token.health();
    for shown in [
        format!("{token:?}"),
        format!("{report:?}"),
        format!("{:?}", hsm.token_config()),
        format!("{missing:?} {missing} {gone:?} {gone}"),
    ] {
        assert!(!shown.contains(&pin), "{shown}");
    }
}
