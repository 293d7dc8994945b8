//! The key store is locked, moved, or on a full disk. Uses of keys need it only for nothing: they go on;
//! changes say why not, and are possible again as soon as they can be.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use claviger_testkit::{fill_up, on_tmpfs};
use claviger_tests::{Running, Site, eventually, http::Reply};
use rusqlite::Connection;
use serde_json::{Value, json};

/// A service with the key `eu` and something sealed under it.
fn serving(site: &Site) -> (Running, String) {
    let service = site.start();
    service.create(&["eu"]);
    let sealed = service.encrypt("eu", "1", b"precious");
    (service, sealed)
}

fn rotate(service: &Running) -> Reply {
    service.manage("/v1/rotate", &json!({"key": "eu"}))
}

fn assert_uses_go_on(service: &Running, sealed: &str) {
    assert_eq!(service.decrypt(sealed, "1"), b"precious");
    let new = service.encrypt("eu", "2", b"new");
    assert_eq!(service.decrypt(&new, "2"), b"new");
}

#[test]
fn a_store_locked_by_another_program_refuses_changes_with_the_reason_while_uses_go_on() {
    let site = Site::new();
    let (service, sealed) = serving(&site);
    let other = Connection::open(site.store()).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let refused = thread::scope(|scope| {
        let change = scope.spawn(|| rotate(&service));
        let mut uses = 0;
        while !change.is_finished() {
            let begun = Instant::now();
            assert_uses_go_on(&service, &sealed);
            assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
            uses += 1;
        }
        assert!(uses > 10, "only {uses} uses while the change waited");
        change.join().unwrap()
    });
    refused.assert_problem(503, "unavailable", "the key store is not available");
    site.assert_log(&["locked", "end the program that holds it open"]);
    assert_uses_go_on(&service, &sealed);

    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(rotate(&service).json()["primary"], 2);
    assert_uses_go_on(&service, &sealed);
    service.stop();
}

/// SQLite goes on in a file whose name is gone. Keys made there would be lost at the next start, and with
/// them what they sealed.
#[test]
fn a_store_moved_away_or_replaced_is_not_written_and_is_used_again_when_it_is_back() {
    let site = Site::new();
    let (service, sealed) = serving(&site);
    let aside = site.folder().join("aside.db");
    let refuses = || {
        rotate(&service).assert_problem(503, "unavailable", "the key store is not available");
        let ready = || service.look("/readyz");
        eventually("it is not ready", Duration::from_secs(3), || ready().status == 503);
        let parts: Value = serde_json::from_str(&ready().body).unwrap();
        assert_eq!((&parts["token"], &parts["store"]), (&json!("ready"), &json!("not-ready")));
        assert_uses_go_on(&service, &sealed);
    };
    fs::rename(site.store(), &aside).unwrap();
    refuses();
    fs::copy(&aside, site.store()).unwrap();
    refuses();
    site.assert_log(&["keys.db was moved away or replaced", "put the file back"]);

    fs::rename(&aside, site.store()).unwrap();
    assert_eq!(rotate(&service).json()["primary"], 2);
    let ready = || service.look("/readyz").status == 200;
    eventually("it is ready", Duration::from_secs(3), ready);
    // Its write-ahead log belongs to it.
    let log = site.folder().join("keys.db-wal");
    fs::rename(&log, &aside).unwrap();
    refuses();
    fs::rename(&aside, &log).unwrap();
    assert_eq!(rotate(&service).json()["primary"], 3);
    service.stop();

    let service = site.start();
    assert_eq!(service.look("/v1/keys/eu").json()["primary"], 3);
    assert_uses_go_on(&service, &sealed);
    service.stop();
}

#[test]
fn a_full_disk_under_the_store_refuses_changes_in_the_end_while_uses_go_on_and_room_heals_it() {
    let name = "outages_store::a_full_disk_under_the_store_refuses_changes_in_the_end_while_uses_go_on_and_room_heals_it";
    let Some(disk) = on_tmpfs(name, "size=16m") else { return };
    let site = Site::without_ceremony();
    site.change_config("keys.db", &disk.join("keys.db").display().to_string());
    let _ = site.clavigerd(&["root", "init"]).succeeded();
    let (service, sealed) = serving(&site);
    let ballast = fill_up(&disk);

    // The room that was kept for it takes some changes still.
    assert_eq!(rotate(&service).json()["primary"], 2);
    let make = |number: u32| service.manage("/v1/keys", &json!({"key": format!("eu/k{number}")}));
    let made = (0..2000).take_while(|&number| make(number).status == 200).count();
    assert!((10..2000).contains(&made), "{made} keys were made");
    make(9999).assert_problem(503, "unavailable", "the key store is not available");
    site.assert_log(&["full", "make room on its disk"]);
    assert_uses_go_on(&service, &sealed);

    fs::remove_file(ballast).unwrap();
    service.create(&["eu/after"]);
    assert_uses_go_on(&service, &sealed);
    service.stop();
    let service = site.start();
    assert_eq!(service.look(&format!("/v1/keys/eu/k{}", made - 1)).status, 200);
    assert_eq!(service.look("/v1/keys/eu/k9999").status, 404);
    assert_uses_go_on(&service, &sealed);
    service.stop();
}
