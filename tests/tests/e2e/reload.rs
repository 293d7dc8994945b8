//! Reload by signal and by command: all that is good together, or nothing.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use claviger_audit::{AuditDecision, Digest, Phase, Record};
use claviger_tests::{Running, Site, audit_trail, http::Reply};
use serde_json::json;

use crate::hanging_disk::HangingDisk;

/// A policy that lets this user do only these things.
fn policy_of(actions: &str) -> String {
    format!(
        "[[rule]]\nname = \"some\"\nprincipals = [\"{}\"]\nactions = [{actions}]\nkeys = [\"**\"]\n",
        Site::own_principal()
    )
}

const NO_ENCRYPT: &str = "\"read-metadata\", \"policy\"";

fn encrypt(service: &Running) -> Reply {
    service.use_key("/v1/encrypt", &json!({"key": "eu", "plaintext": STANDARD.encode("v")}))
}

fn reload(service: &Running) -> Reply {
    service.manage("/v1/reload", &json!({}))
}

fn events(site: &Site, event: &str) -> Vec<Record> {
    let mut trail = audit_trail(&site.audit());
    trail.retain(|record| record.entry.event.as_str() == event);
    trail
}

#[test]
fn a_reload_counts_for_the_next_request_and_its_record_has_the_new_hash() {
    let site = Site::new();
    let service = site.start();
    service.create(&["eu"]);
    let next = policy_of(NO_ENCRYPT);
    site.write_policy(&next);
    assert_eq!(encrypt(&service).status, 200, "a file alone changes nothing");
    service.tell_to_reload();
    site.wait_for_log(0, "\"reloaded\"");
    encrypt(&service).assert_problem(403, "denied", "");
    assert_eq!(service.look("/v1/status").json()["policy_hash"], hash(&next));
    service.stop();

    let trail = audit_trail(&site.audit());
    let loaded = trail.iter().position(|r| r.entry.event.as_str() == "policy-loaded").unwrap();
    let new = Some(Digest::of(next.as_bytes()));
    assert_eq!(trail[loaded].entry.policy_hash, new);
    let (before, after) = trail.split_at(loaded);
    assert!(before.iter().all(|record| record.entry.policy_hash != new));
    assert!(after.iter().all(|record| record.entry.policy_hash == new), "{after:?}");
    let denied = after.iter().filter(|r| r.entry.decision == AuditDecision::Denied).count();
    assert_eq!(denied, 1);
}

#[test]
fn a_broken_policy_leaves_the_old_one_in_force_and_the_reply_says_why() {
    let site = Site::new();
    let service = site.start();
    service.create(&["eu"]);
    let before = service.look("/v1/status").json()["policy_hash"].clone();
    let quiet = "level = \"error\"";
    site.change_config("level = \"info\"", quiet);
    for broken in ["[[rule]]\nname = \"x\"\n", "rule = 1", "\u{0}"] {
        site.write_policy(broken);
        reload(&service).assert_problem(400, "invalid-request", "the policy");
        assert_eq!(encrypt(&service).status, 200);
    }
    assert_eq!(service.look("/v1/status").json()["policy_hash"], before);
    // The level, good by itself, was not taken either.
    let length = site.log_length();
    assert_eq!(encrypt(&service).status, 200);
    site.wait_for_log(length, "\"request\"");
    assert_eq!(events(&site, "policy-refused").len(), 3);
    assert!(events(&site, "policy-loaded").is_empty());
    service.stop();
}

#[test]
fn whoever_may_not_reload_is_denied_and_nothing_is_read() {
    let site = Site::new();
    site.write_policy(&policy_of("\"create\", \"encrypt\", \"read-metadata\""));
    let service = site.start();
    service.create(&["eu"]);
    site.write_policy(&policy_of(NO_ENCRYPT));
    reload(&service).assert_problem(403, "denied", "");
    assert_eq!(encrypt(&service).status, 200);
    site.run_claviger(&["reload"]).assert_refused(3, &["not allowed"]);
    let asked = events(&site, "policy");
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|record| record.entry.decision == AuditDecision::Denied));
    assert!(events(&site, "configuration-loaded").is_empty());
    service.stop();
}

#[test]
fn the_command_takes_the_log_level_and_names_what_needs_a_restart() {
    let site = Site::new();
    let service = site.start();
    service.create(&["eu"]);
    site.change_config("level = \"info\"", "level = \"error\"");
    site.change_config("require-locked = false", "require-locked = false\nseconds = 60");
    let said = site.run_claviger(&["reload"]).succeeded();
    for line in [
        "reloaded         log.level",
        "reloaded         policy.file",
        "needs a restart  cache.seconds",
    ] {
        assert!(said.text().contains(line), "{line}: {}", said.text());
    }
    let length = site.log_length();
    assert_eq!(encrypt(&service).status, 200);
    site.change_config("level = \"error\"", "level = \"info\"");
    let json = reload(&service).json();
    assert_eq!(json["needs_restart"], json!(["cache.seconds"]));
    assert_eq!(encrypt(&service).status, 200);
    site.wait_for_log(length, "/v1/encrypt");
    let log = fs::read_to_string(site.log()).unwrap();
    assert_eq!(log[length..].matches("/v1/encrypt").count(), 1, "{}", &log[length..]);
    // The caller's own records stand around what the service records.
    let phases: Vec<_> = events(&site, "policy").iter().map(|r| r.entry.phase).collect();
    assert_eq!(phases, [Phase::Intent, Phase::Outcome, Phase::Intent, Phase::Outcome]);
    site.change_config("level = \"info\"", "level = \"a=b=c\"");
    reload(&service).assert_problem(400, "invalid-request", "log.level");
    site.change_config("level = \"a=b=c\"", "levle = \"info\"");
    reload(&service).assert_problem(400, "invalid-request", "levle");
    service.stop();
}

#[test]
fn a_policy_that_cannot_be_recorded_is_not_put_in_force() {
    let site = Site::new();
    let disk = HangingDisk::new(&site);
    let service = site.start_in(|command| {
        command.envs(disk.environment());
    });
    service.create(&["eu"]);
    site.write_policy(&policy_of(NO_ENCRYPT));
    disk.hang();
    service.tell_to_reload();
    site.wait_for_log(0, "nothing is reloaded");
    disk.go_on();
    let begun = Instant::now();
    // By the old policy; by the new one it would be denied.
    while encrypt(&service).status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", encrypt(&service));
        thread::sleep(Duration::from_millis(100));
    }
    service.stop();
}

#[test]
fn a_new_pin_after_a_refused_one_is_tried_when_a_person_reloads() {
    let site = Site::new();
    let service = site.start();
    site.token().change_pin("86427531");
    site.token().take_away();
    until_ready(&service, 503);
    site.token().bring_back();
    let refused = || fs::read_to_string(site.log()).unwrap().contains("the token refused the PIN");
    let begun = Instant::now();
    while !refused() {
        assert!(begun.elapsed() < Duration::from_secs(30), "the old PIN was not refused");
        assert_eq!(service.look("/readyz").status, 503);
        thread::sleep(Duration::from_millis(100));
    }

    let pin = site.token().pin_file();
    fs::write(&pin, "86427531\n").unwrap();
    fs::set_permissions(&pin, fs::Permissions::from_mode(0o644)).unwrap();
    reload(&service).assert_problem(400, "invalid-request", "chmod 600");
    fs::set_permissions(&pin, fs::Permissions::from_mode(0o600)).unwrap();
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(service.look("/readyz").status, 503, "a login was tried without a person's word");

    service.tell_to_reload();
    until_ready(&service, 200);
    let log = fs::read_to_string(site.log()).unwrap();
    assert!(!log.contains("86427531"), "{log}");
    service.stop();
}

fn until_ready(service: &Running, status: u16) {
    let begun = Instant::now();
    while service.look("/readyz").status != status {
        assert!(begun.elapsed() < Duration::from_secs(30), "readyz is not {status}");
        thread::sleep(Duration::from_millis(100));
    }
}

fn hash(policy: &str) -> String {
    Digest::of(policy.as_bytes()).to_string()
}
