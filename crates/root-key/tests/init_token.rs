//! The script that makes a SoftHSM token.

#![allow(clippy::unwrap_used, reason = "a failure here is the test's failure")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

fn init_token(arguments: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../softhsm/init-token");
    Command::new("bash").arg(script).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn a_second_run_keeps_the_token_and_its_pin() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("a folder/token");
    let at = at.to_str().unwrap();
    let first = init_token(&[at]);
    assert!(said(&first).starts_with("made the token 'claviger'"), "{}", said(&first));
    let pin = fs::read(format!("{at}/pin")).unwrap();
    let second = init_token(&[at]);
    assert!(said(&second).starts_with("kept the token 'claviger'"), "{}", said(&second));
    assert_eq!(fs::read(format!("{at}/pin")).unwrap(), pin);
    assert_eq!(fs::read_dir(format!("{at}/tokens")).unwrap().count(), 1);
    // The output says where things are, never what the PIN is.
    let pin = String::from_utf8(pin).unwrap();
    assert!(pin.len() == 32 && !said(&first).contains(&pin));
    assert!(said(&first).contains(&format!("{at}/pin\n")));
}

#[test]
fn only_the_owner_can_read_what_it_makes() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("token");
    assert!(init_token(&[at.to_str().unwrap()]).status.success());
    let mode = |name: &str| fs::metadata(at.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode(""), mode("tokens")], [0o700, 0o700]);
    assert_eq!([mode("pin"), mode("so-pin"), mode("softhsm2.conf")], [0o600, 0o600, 0o600]);
}

#[test]
fn a_token_whose_pin_is_lost_is_not_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_str().unwrap();
    assert!(init_token(&[at]).status.success());
    fs::remove_file(folder.path().join("pin")).unwrap();
    let again = init_token(&[at]);
    assert!(!again.status.success() && said(&again).contains("restore it"), "{}", said(&again));
    assert!(!folder.path().join("pin").exists());
}

#[test]
fn wrong_arguments_are_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("token");
    let at_text = at.to_str().unwrap();
    for (arguments, named) in [
        (vec![], "usage"),
        (vec![""], "usage"),
        (vec![at_text, "a", "b"], "usage"),
        (vec![at_text, "a label"], "label"),
        (vec![at_text, "a-label-of-more-than-thirty-two-characters"], "label"),
    ] {
        let output = init_token(&arguments);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(said(&output).contains(named), "{arguments:?}: {}", said(&output));
    }
    assert!(!at.exists());
}

#[test]
fn a_module_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../softhsm/init-token");
    let output = Command::new("bash")
        .arg(script)
        .arg(folder.path())
        .env("CLAVIGER_SOFTHSM_MODULE", "/nowhere/libsofthsm2.so")
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(said(&output).contains("/nowhere/libsofthsm2.so"), "{}", said(&output));
}
