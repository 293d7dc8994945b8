//! `clavigerd root rotate` on the real program: killed at many points and repeated, pinned, pruned.

use std::{process::Stdio, time::Instant};

use claviger_tests::{Site, assert_unbroken, audit_trail};
use serde_json::{Value, json};

const REGIONS: usize = 110;

fn fingerprint(site: &Site) -> String {
    let verified = site.clavigerd(&["root", "verify", "--json"]).succeeded();
    let said: Value = serde_json::from_str(verified.text()).unwrap();
    said["fingerprint"].as_str().unwrap().to_owned()
}

/// What was sealed in every region before.
fn sealed(site: &Site) -> Vec<(String, String)> {
    let service = site.start();
    let mut all = Vec::new();
    for number in 0..REGIONS {
        let key = format!("r{number:03}");
        service.create(&[&key]);
        let value = service.encrypt(&key, "17", key.as_bytes());
        all.push((key, value));
    }
    service.stop();
    all
}

fn all_open(site: &Site, sealed: &[(String, String)]) {
    let service = site.start();
    for (key, value) in sealed {
        assert_eq!(service.decrypt(value, "17"), key.as_bytes());
    }
    service.stop();
}

#[test]
fn a_root_rotation_killed_at_any_moment_loses_nothing_and_is_completed_by_repeating_it() {
    let site = Site::new();
    let sealed = sealed(&site);
    // Each time a little later: before, amid and after the commit of the new root and of each batch.
    let begun = Instant::now();
    let _ = site.clavigerd(&["root", "rotate"]).succeeded();
    let whole = begun.elapsed();
    let mut killed = 0;
    for step in 1..=12 {
        killed += site.token().survive(|| {
            let mut command = site.clavigerd_command(&["root", "rotate"]);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(whole * step / 13);
            let in_its_midst = child.try_wait().unwrap().is_none();
            child.kill().unwrap();
            child.wait().unwrap();
            usize::from(in_its_midst)
        });
        if step % 4 == 0 {
            all_open(&site, &sealed);
        }
    }
    assert!(killed >= 3, "only {killed} of the runs were killed before their end");
    let _ = site.clavigerd(&["root", "rotate"]).succeeded();
    all_open(&site, &sealed);
    let service = site.start();
    let newest = service.look("/v1/keys/r000").json()["versions"][0]["parent_version"].clone();
    for (key, _) in &sealed {
        let told = service.look(&format!("/v1/keys/{key}")).json();
        assert_eq!(told["versions"][0]["parent_version"], newest, "{key} stayed behind");
        assert_eq!(told["versions"].as_array().unwrap().len(), 1);
    }
    service.stop();
    assert_unbroken(&site.audit());
}

#[test]
fn the_new_fingerprint_must_be_pinned_and_the_former_key_goes_only_when_a_person_says_so() {
    let site = Site::new();
    let service = site.start();
    service.create(&["eu"]);
    let value = service.encrypt("eu", "17", b"cards");
    // With the service running, nothing is rotated.
    site.clavigerd(&["root", "rotate"]).assert_refused(1, &["in use"]);
    service.stop();
    let former = fingerprint(&site);
    site.change_config("[token]", &format!("[root]\nfingerprint = \"{former}\"\n\n[token]"));
    let rotated = site.clavigerd(&["root", "rotate"]).succeeded();
    let new = fingerprint_in(rotated.text());
    assert_ne!(new, former);
    assert!(rotated.text().contains("[root] fingerprint"), "{}", rotated.text());
    let refused = site.refused_start();
    refused.assert_refused(1, &[&new, &former]);
    site.clavigerd(&["root", "rotate"]).assert_refused(1, &["former root version"]);
    site.change_config(&former, &new);

    site.clavigerd(&["root", "prune"]).assert_refused(1, &["--no-backup-needs-it"]);
    let prune = ["root", "prune", "--no-backup-needs-it"];
    let pruned = site.clavigerd(&prune).succeeded();
    assert_eq!(pruned.text().lines().filter(|line| line.starts_with("destroyed ")).count(), 1);
    assert!(site.clavigerd(&prune).succeeded().text().contains("Nothing was destroyed"));
    let service = site.start();
    assert_eq!(service.decrypt(&value, "17"), b"cards");
    assert_eq!(service.use_key("/v1/data-key", &json!({"key": "eu"})).status, 200);
    service.stop();
    let trail = audit_trail(&site.audit());
    let events: Vec<_> = trail.iter().map(|record| record.entry.event.as_str()).collect();
    assert_eq!(events.iter().filter(|event| **event == "root-rotated").count(), 3, "{events:?}");
    assert_eq!(events.iter().filter(|event| **event == "root-pruned").count(), 4, "{events:?}");
    assert_unbroken(&site.audit());
}

fn fingerprint_in(text: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix("fingerprint "));
    line.unwrap().trim().to_owned()
}
