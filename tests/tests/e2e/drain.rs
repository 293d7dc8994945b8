//! Stopping and outages: whoever was let in gets his answer; without its token the service says that it
//! is not ready, and serves what is warm.

use std::{
    thread,
    time::{Duration, Instant},
};

use claviger_audit::{Event, ServiceEvent};
use claviger_tests::{Site, audit_trail, http};
use serde_json::json;

const UNDER_WAY: usize = 50;

#[test]
fn fifty_requests_under_way_are_answered_after_sigterm() {
    let site = Site::new();
    let service = site.start();
    service.create(&["eu"]);
    let request = json!({"key": "eu"});
    let data = site.data_socket();
    let begun: Vec<_> =
        (0..UNDER_WAY).map(|_| http::begin_post(&data, "/v1/data-key", &request)).collect();
    // Time for the service to read what there is of them.
    thread::sleep(Duration::from_millis(300));
    service.tell_to_stop();
    thread::sleep(Duration::from_millis(300));
    let late = http::post(&data, "/v1/data-key", &request);
    assert_eq!(late.status, 0, "a request was let in after SIGTERM: {late:?}");
    for request in begun {
        let _ = request.reply().json();
    }
    let status = service.end();
    assert!(status.success(), "{status}");
    assert!(!data.exists() && !site.admin_socket().exists(), "a socket stays");

    let trail = audit_trail(&site.audit());
    let last = trail.last().unwrap();
    assert_eq!(last.entry.event, Event::Service(ServiceEvent::Stopping));
    let data_keys = trail.iter().filter(|record| record.entry.event.as_str() == "data-key");
    assert_eq!(data_keys.count(), UNDER_WAY);
}

#[test]
fn a_token_taken_away_is_not_ready_while_warm_keys_serve_and_ready_again_when_back() {
    let site = Site::new();
    let service = site.start();
    service.create(&["eu", "eu/warm", "eu/cold"]);
    let (warm, cold) =
        (service.encrypt("eu/warm", "1", b"w"), service.encrypt("eu/cold", "1", b"c"));
    service.stop();
    let service = site.start();
    assert_eq!(service.decrypt(&warm, "1"), b"w");
    service.create(&["us"]);

    site.token().take_away();
    wait_until(|| service.look("/readyz").status == 503);
    let parts: serde_json::Value = serde_json::from_str(&service.look("/readyz").body).unwrap();
    assert_eq!((&parts["token"], &parts["store"]), (&json!("not-ready"), &json!("ready")));
    assert_eq!(http::get(&site.data_socket(), "/readyz").status, 503);
    assert_eq!(service.look("/livez").status, 200, "a restart would not help");
    assert_eq!(service.decrypt(&warm, "1"), b"w");
    // Its region is warm, so the token is not asked; a new region needs it.
    assert_eq!(service.decrypt(&cold, "1"), b"c");
    let refused = service.manage("/v1/keys", &json!({"key": "ap"}));
    refused.assert_problem(503, "unavailable", "token");

    site.token().bring_back();
    wait_until(|| service.look("/readyz").status == 200);
    service.create(&["ap"]);
    assert_eq!(service.decrypt(&warm, "1"), b"w");
    service.stop();
}

fn wait_until(done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(15), "it did not come");
        thread::sleep(Duration::from_millis(100));
    }
}
