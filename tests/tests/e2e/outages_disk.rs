//! A disk that is full under the audit log and the key store together, as on most machines.

use std::{
    fs,
    time::{Duration, Instant},
};

use claviger_testkit::{fill_up, on_tmpfs};
use claviger_tests::{Running, Site, assert_unbroken, eventually};
use serde_json::{Value, json};

#[test]
fn a_full_disk_refuses_uses_within_two_seconds_disables_keys_still_and_recovers_by_itself() {
    let name = "outages_disk::a_full_disk_refuses_uses_within_two_seconds_disables_keys_still_and_recovers_by_itself";
    let Some(disk) = on_tmpfs(name, "size=32m") else { return };
    let site = Site::without_ceremony();
    let log = disk.join("audit");
    site.change_config("directory = \"audit\"", &format!("directory = {log:?}"));
    site.change_config("keys.db", &disk.join("keys.db").display().to_string());
    let _ = site.clavigerd(&["root", "init"]).succeeded();
    let service = site.start();
    service.create(&["eu"]);
    service.rotate("eu");
    let sealed = service.encrypt("eu", "1", b"precious");
    // What was acknowledged since the last start is all there is, as after a start on a full disk.
    service.stop();
    let service = site.start();
    let ballast = fill_up(&disk);

    // The log's segments have the room they were made with; then it is over.
    let batches = (0..200).take_while(|_| service.try_encrypt_256("eu").status == 200).count();
    assert!((4..200).contains(&batches), "{batches} batches were recorded");
    eventually("single uses are refused too", Duration::from_secs(20), || {
        service.try_decrypt(&sealed, "1").status == 503
    });
    let refused_in_time = |service: &Running| {
        let begun = Instant::now();
        let refused = service.try_decrypt(&sealed, "1");
        refused.assert_problem(503, "unavailable", "audit");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        assert_eq!(service.manage("/v1/rotate", &json!({"key": "eu"})).status, 503);
    };
    refused_in_time(&service);
    let unready = || service.look("/readyz").status == 503;
    eventually("it is not ready", Duration::from_secs(3), unready);
    let parts: Value = serde_json::from_str(&service.look("/readyz").body).unwrap();
    assert_eq!((&parts["audit"], &parts["store"]), (&json!("not-ready"), &json!("ready")));
    assert_eq!(service.look("/livez").status, 200);
    site.assert_log(&["the audit log refuses entries", "make room"]);

    // Who must stop a key can, as often as it takes.
    for _ in 0..20 {
        for act in ["disable-version", "enable-version"] {
            let reply = service.manage(&format!("/v1/{act}"), &json!({"key": "eu", "version": 1}));
            let expected = if act == "disable-version" { 200 } else { 503 };
            assert_eq!(reply.status, expected, "{act}: {reply:?}");
        }
    }
    refused_in_time(&service);

    fs::remove_file(ballast).unwrap();
    let serves = || service.try_decrypt(&sealed, "1").status == 200;
    eventually("uses go on", Duration::from_secs(10), serves);
    eventually("it is ready", Duration::from_secs(2), || !unready());
    let disabled = &service.look("/v1/keys/eu").json()["versions"][0]["state"];
    assert_eq!(disabled, "disabled");
    service.rotate("eu");
    service.stop();

    assert_unbroken(&log);
    let service = site.start();
    assert_eq!(service.decrypt(&sealed, "1"), b"precious");
    service.stop();
}
