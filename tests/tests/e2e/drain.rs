//! Stopping: whoever was let in gets his answer.

use std::{thread, time::Duration};

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
