//! Configurations and requests that the running program must refuse. The door's own tests try far more of
//! them; here is one of each kind, through the real program, and that it goes on afterwards.

use std::fs;

use claviger_tests::{Site, http};
use serde_json::json;

#[test]
fn a_typo_in_the_configuration_is_named_with_its_line_and_key() {
    let site = Site::new();
    let good = fs::read_to_string(site.config()).unwrap();
    let shown = site.config().display().to_string();
    for (from, to, says) in [
        ("require-locked", "require-lokced", "require-lokced"),
        ("[cache]", "[cahce]", "cahce"),
        ("pin-file", "pinfile", "pinfile"),
        ("format = \"json\"", "format = \"yaml\"", "yaml"),
        ("segment-bytes = 4194304", "segment-bytes = \"big\"", "segment-bytes"),
    ] {
        site.change_config(from, to);
        let line = good.lines().position(|line| line.contains(from)).unwrap() + 1;
        let place = format!("{shown}:{line}:");
        for words in [&["serve"][..], &["check"], &["root", "verify"]] {
            site.clavigerd(words).assert_refused(1, &[&place, says]);
        }
        fs::write(site.config(), &good).unwrap();
    }
    for (from, to, says) in [
        ("level = \"info\"", "level = \"a=b=c\"", "log.level"),
        ("data = \"data.sock\"", "data = \"admin.sock\"", "listen.admin"),
        ("require-locked = false", "capacity = 0", "cache.capacity"),
    ] {
        site.change_config(from, to);
        site.refused_start().assert_refused(1, &[says]);
        fs::write(site.config(), &good).unwrap();
    }
    fs::remove_file(site.config()).unwrap();
    site.refused_start().assert_refused(1, &[&shown, "--config"]);
}

#[test]
fn a_policy_that_is_missing_or_has_a_typo_is_named() {
    let site = Site::new();
    let file = site.folder().join("policy.toml").display().to_string();
    site.write_policy("[[rule]]\nname = \"all\"\nprincipal = [\"uds:uid=0\"]\n");
    for words in [&["serve"][..], &["check"]] {
        site.clavigerd(words).assert_refused(1, &[&file, "principal"]);
    }
    fs::remove_file(&file).unwrap();
    for words in [&["serve"][..], &["check"]] {
        site.clavigerd(words).assert_refused(1, &[&file, "cannot be read"]);
    }
}

#[test]
fn bad_requests_are_refused_by_name_and_the_program_goes_on() {
    let site = Site::new();
    let service = site.start();
    service.create(&["eu"]);
    let sealed = service.encrypt("eu", "1", b"precious");
    let (data, invalid) = (site.data_socket(), "invalid-request");
    let post = |target: &str, body: &str| http::post_text(&data, target, body);
    post("/v1/encrypt", "hello").assert_problem(400, invalid, "line 1");
    post("/v1/encrypt", r#"{"key":"eu","plaintext":"","colour":1}"#)
        .assert_problem(400, invalid, "colour");
    let large = format!(r#"{{"key":"eu","plaintext":"{}"}}"#, "A".repeat(300 * 1024));
    post("/v1/encrypt", &large).assert_problem(413, invalid, "262144 bytes");
    let many = vec!["a"; 300].join("/");
    for key in ["eu/../eu", "EU", "eu//pay", &many] {
        let body = json!({"key": key});
        service.use_key("/v1/data-key", &body).assert_problem(400, invalid, "key path");
        service.manage("/v1/keys", &body).assert_problem(400, invalid, "key path");
        let reply = service.look(&format!("/v1/keys/{key}"));
        reply.assert_problem(400, invalid, "key path");
    }
    service.use_key("/v1/data-key", &json!({"key": "none"})).assert_problem(
        404,
        "not-found",
        "none does not exist",
    );
    service.try_decrypt(&sealed, "2").assert_problem(422, "ciphertext-rejected", "rejected");
    service.try_decrypt("AQID", "1").assert_problem(400, invalid, "ciphertext");
    assert_eq!(service.decrypt(&sealed, "1"), b"precious");
    service.stop();
}

/// A time scale would shorten soaks and the delay of destructions.
#[test]
fn a_time_scale_is_refused_for_any_token_but_a_developers() {
    let site = Site::new();
    let words = ["serve", "--time-scale", "2"];
    site.clavigerd(&words).assert_refused(1, &["clavigerd dev", "destructions"]);
}
