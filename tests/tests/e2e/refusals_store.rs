//! A key store that is damaged, cut, older, foreign or of another release is refused; the right one opens
//! again.

use std::{fs, path::PathBuf};

use claviger_tests::Site;
use rusqlite::Connection;
use serde_json::json;

const KEY: &str = "eu/pay";

/// A site with something sealed, stopped.
struct Bench {
    site: Site,
    sealed: Vec<String>,
}

impl Bench {
    fn new() -> Self {
        let site = Site::new();
        let service = site.start();
        service.create(&["eu", KEY]);
        let mut sealed = vec![service.encrypt(KEY, "1", b"precious")];
        service.rotate(KEY);
        sealed.push(service.encrypt(KEY, "1", b"precious"));
        service.stop();
        Self { site, sealed }
    }

    fn store(&self) -> Vec<u8> {
        assert!(!self.site.folder().join("keys.db-wal").exists(), "a stopped service left a log");
        fs::read(self.site.store()).unwrap()
    }

    /// Starts on these bytes: refused with all of this, the bytes left as they are.
    fn assert_refused(&self, store: &[u8], says: &[&str]) {
        fs::write(self.site.store(), store).unwrap();
        self.assert_refused_as_it_is(says);
        assert!(fs::read(self.site.store()).unwrap() == store, "the store was changed");
    }

    fn assert_refused_as_it_is(&self, says: &[&str]) {
        let ran = self.site.refused_start();
        ran.assert_refused(1, says);
        assert!(!self.site.data_socket().exists(), "it listened");
    }

    fn assert_opens(&self) {
        let service = self.site.start();
        for sealed in &self.sealed {
            assert_eq!(service.decrypt(sealed, "1"), b"precious");
        }
        service.stop();
    }
}

/// Each flipped byte is either noticed, or in a place that holds nothing.
#[test]
fn a_flipped_byte_is_refused_or_harms_nothing() {
    let bench = Bench::new();
    let good = bench.store();
    let mut refused = 0;
    for part in 0..24 {
        let mut flipped = good.clone();
        flipped[good.len() * part / 24 + part * 37] ^= 0x10;
        fs::write(bench.site.store(), &flipped).unwrap();
        match bench.site.try_start() {
            Ok(service) => {
                for sealed in &bench.sealed {
                    assert_eq!(service.decrypt(sealed, "1"), b"precious");
                }
                service.stop();
            }
            Err(log) => {
                let reason = log.lines().rfind(|line| line.starts_with("clavigerd: ")).unwrap();
                assert!(reason.contains("key store"), "{reason}");
                assert!(reason.contains("damaged") || reason.contains("altered"), "{reason}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "no flipped byte was refused");
    fs::write(bench.site.store(), good).unwrap();
    bench.assert_opens();
}

/// In the middle of what counts: a key's record.
#[test]
fn an_altered_record_is_refused_and_the_remedy_is_a_backup() {
    let bench = Bench::new();
    let good = bench.store();
    for (from, to) in [("\"enabled\"", "\"primary\""), ("\"active\"", "\"Active\"")] {
        let at = find(&good, from.as_bytes());
        let mut altered = good.clone();
        altered[at..at + from.len()].copy_from_slice(to.as_bytes());
        bench.assert_refused(&altered, &["altered or damaged", "restore a backup"]);
    }
    fs::write(bench.site.store(), good).unwrap();
    bench.assert_opens();
}

#[test]
fn a_truncated_store_is_refused_wherever_it_ends() {
    let bench = Bench::new();
    let good = bench.store();
    for length in [0, 1, 100, 4096, good.len() / 2, good.len() - 4096, good.len() - 1] {
        bench.assert_refused(&good[..length], &["keys.db", "backup"]);
    }
    fs::write(bench.site.store(), good).unwrap();
    bench.assert_opens();
}

#[test]
fn a_missing_store_is_no_reason_to_begin_anew() {
    let bench = Bench::new();
    let good = bench.store();
    fs::remove_file(bench.site.store()).unwrap();
    bench.assert_refused_as_it_is(&["keys.db", "audit log", "restore that store"]);
    // The ceremony is not held again: the log has seen a store.
    let init = bench.site.clavigerd(&["root", "init"]);
    init.assert_refused(1, &["keys.db", "audit log", "restore that store"]);
    fs::write(bench.site.store(), good).unwrap();
    bench.assert_opens();
}

/// The audit log has seen a later generation. Whoever means the restore says so, knowing what is lost.
#[test]
fn a_rolled_back_store_is_refused_until_the_restore_is_accepted() {
    let bench = Bench::new();
    let old = bench.store();
    let service = bench.site.start();
    service.rotate(KEY);
    let lost = service.encrypt(KEY, "1", b"lost");
    service.stop();
    let newest = bench.store();

    bench.assert_refused(&old, &["rolled back", "audit log has seen", "accept-restore"]);
    fs::write(bench.site.store(), &newest).unwrap();
    bench.assert_opens();

    fs::write(bench.site.store(), &old).unwrap();
    let accept = ["root", "accept-restore"];
    bench.site.clavigerd(&accept).assert_refused(1, &["stays closed", "--i-know-what-is-lost"]);
    assert!(fs::read(bench.site.store()).unwrap() == old);
    let accepted = bench.site.clavigerd(&["root", "accept-restore", "--i-know-what-is-lost"]);
    assert!(accepted.succeeded().text().contains("is lost"));
    bench.assert_opens();
    let service = bench.site.start();
    service.try_decrypt(&lost, "1").assert_problem(422, "ciphertext-rejected", "");
    // A new version takes the lost one's number and opens none of what that sealed.
    service.rotate(KEY);
    service.try_decrypt(&lost, "1").assert_problem(422, "ciphertext-rejected", "");
    service.stop();
    // The store that was newest once is now the older one.
    bench.assert_refused(&newest, &["rolled back"]);
}

#[test]
fn a_database_of_another_program_or_site_or_release_is_refused() {
    let bench = Bench::new();
    let good = bench.store();
    let made = |name: &str, sql: &str| {
        let path: PathBuf = bench.site.folder().join(name);
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        fs::read(path).unwrap()
    };
    let foreign = made("foreign.db", "CREATE TABLE notes (text); INSERT INTO notes VALUES ('x');");
    bench.assert_refused(&foreign, &["keys.db", "not a Claviger store"]);
    bench.assert_refused(b"no database at all", &["keys.db"]);

    fs::write(bench.site.folder().join("newer.db"), &good).unwrap();
    let newer = made("newer.db", "PRAGMA journal_mode = DELETE; PRAGMA user_version = 99;");
    bench.assert_refused(&newer, &["keys.db", "newer release", "99"]);

    let other = Bench::new();
    bench.assert_refused(&other.store(), &["the token has no"]);
    // With its token too it is a good store, but the log here is another's.
    fs::write(bench.site.store(), good).unwrap();
    bench.assert_opens();
    other.assert_opens();
}

#[test]
fn a_second_service_on_one_store_is_refused_and_the_first_goes_on() {
    let bench = Bench::new();
    let service = bench.site.start();
    bench.site.refused_start().assert_refused(1, &["another process listens", "stop it"]);
    // With sockets of its own it comes as far as the store.
    bench.site.change_config("data.sock", "data2.sock");
    bench.site.change_config("admin.sock", "admin2.sock");
    bench.site.refused_start().assert_refused(1, &["keys.db", "in use", "stop the other"]);
    bench.site.clavigerd(&["root", "verify"]).assert_refused(1, &["in use"]);
    assert_eq!(service.decrypt(&bench.sealed[0], "1"), b"precious");
    let rotated = service.manage("/v1/rotate", &json!({"key": KEY})).json();
    assert_eq!(rotated["primary"], 3);
    service.stop();
}

#[test]
fn a_second_service_on_the_same_sockets_is_refused_and_the_first_goes_on() {
    let bench = Bench::new();
    let service = bench.site.start();
    bench.site.change_config("keys.db", "second.db");
    bench.site.change_config("directory = \"audit\"", "directory = \"audit2\"");
    let _ = bench.site.clavigerd(&["root", "init"]).succeeded();
    let data = bench.site.data_socket().display().to_string();
    bench.site.refused_start().assert_refused(1, &["another process listens", &data, "stop it"]);
    assert_eq!(service.decrypt(&bench.sealed[0], "1"), b"precious");
    service.stop();
}

fn find(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).position(|window| window == part).expect("it is in the store")
}
