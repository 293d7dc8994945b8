//! The token goes away and comes back. The bounds here are those of `docs/outages.md`.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use claviger_tests::{LoginCounter, Running, Site, eventually, http};
use serde_json::{Value, json};

/// From the moment the token answers again.
const RECOVERY: Duration = Duration::from_secs(10);

/// A service just started, with two regions; of the first, one key is in memory.
struct Bench {
    site: Site,
    service: Running,
    warm: String,
    sibling: String,
    cold: String,
}

impl Bench {
    /// At a site of its own, whose logins are counted.
    fn counted() -> (Self, LoginCounter) {
        let site = Site::new();
        let counter = site.count_logins();
        let service = site.start();
        service.create(&["eu", "eu/warm", "eu/sibling", "us"]);
        let warm = service.encrypt("eu/warm", "1", b"warm");
        let sibling = service.encrypt("eu/sibling", "1", b"sibling");
        let cold = service.encrypt("us", "1", b"cold");
        service.stop();
        let service = site.start();
        assert_eq!(service.decrypt(&warm, "1"), b"warm");
        (Self { site, service, warm, sibling, cold }, counter)
    }

    fn take_the_token_away(&self) {
        self.site.token().take_away();
        let noticed = || self.service.look("/readyz").status == 503;
        eventually("the outage is noticed", Duration::from_secs(5), noticed);
    }

    fn assert_warm_keys_serve(&self) {
        assert_eq!(self.service.decrypt(&self.warm, "1"), b"warm");
        let sealed = self.service.encrypt("eu/warm", "2", b"new");
        assert_eq!(self.service.decrypt(&sealed, "2"), b"new");
    }
}

#[test]
fn without_its_token_warm_keys_serve_cold_ones_say_why_and_it_recovers_by_itself() {
    let (bench, counter) = Bench::counted();
    let (service, site) = (&bench.service, &bench.site);
    let logins = counter.logins();

    bench.take_the_token_away();
    let parts: Value = serde_json::from_str(&service.look("/readyz").body).unwrap();
    assert_eq!((&parts["token"], &parts["store"]), (&json!("not-ready"), &json!("ready")));
    assert_eq!(http::get(&site.data_socket(), "/readyz").status, 503);
    assert_eq!(service.look("/livez").status, 200, "a restart would not help");
    // Its region is warm, so the token is not asked.
    assert_eq!(service.decrypt(&bench.sibling, "1"), b"sibling");
    let refused = service.manage("/v1/keys", &json!({"key": "ap"}));
    refused.assert_problem(503, "unavailable", "token");
    // An outage long enough for the pauses between two attempts to have grown.
    let gone = Instant::now();
    while gone.elapsed() < Duration::from_secs(5) {
        let refused = service.try_decrypt(&bench.cold, "1");
        refused.assert_problem(503, "unavailable", "the token does not answer");
        assert_eq!(refused.header("retry-after"), Some("1"));
        bench.assert_warm_keys_serve();
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(counter.logins(), logins, "a login was tried without a token");

    site.token().bring_back();
    let serves = || service.try_decrypt(&bench.cold, "1").status == 200;
    eventually("a cold key serves", RECOVERY, serves);
    let ready = || service.look("/readyz").status == 200;
    eventually("it is ready", Duration::from_secs(2), ready);
    service.create(&["ap"]);
    bench.assert_warm_keys_serve();
    assert_eq!(counter.logins(), logins + 1, "one outage is one login");
    site.assert_log(&["the token is out of reach", "the token answers again"]);
    bench.service.stop();
}

/// Tokens lock after three to ten wrong PINs, and an outage is when somebody changes one.
#[test]
fn a_pin_that_is_wrong_after_an_outage_is_tried_once_and_named() {
    let (bench, counter) = Bench::counted();
    let (service, site) = (&bench.service, &bench.site);
    let logins = counter.logins();

    bench.take_the_token_away();
    let right = fs::read(site.token().pin_file()).unwrap();
    fs::write(site.token().pin_file(), "1234567\n").unwrap();
    site.token().bring_back();
    let named = || service.try_decrypt(&bench.cold, "1").body.contains("PIN");
    eventually("the PIN is named", RECOVERY, named);
    for _ in 0..10 {
        let refused = service.try_decrypt(&bench.cold, "1");
        refused.assert_problem(503, "unavailable", "not tried again");
        assert!(!refused.body.contains("1234567"), "{refused:?}");
        assert_eq!(service.look("/readyz").status, 503);
        bench.assert_warm_keys_serve();
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(counter.logins(), logins + 1);

    // The right one in the file is not enough: a person has to reload, or to start the service anew.
    fs::write(site.token().pin_file(), right).unwrap();
    assert_eq!(service.try_decrypt(&bench.cold, "1").status, 503);
    assert_eq!(counter.logins(), logins + 1);
    site.assert_log(&["refused the PIN"]);
    bench.service.stop();
    let service = bench.site.start();
    assert_eq!(service.decrypt(&bench.cold, "1"), b"cold");
    service.stop();
}
