//! Usage counters when the service is killed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use claviger_tests::{Running, Site, http};
use serde_json::{Value, json};

/// How far too high a count may be after each crash.
const BLOCK: u64 = 1024;

const WRITERS: u64 = 4;

/// Items of a request.
const BATCH: usize = 16;

/// What was answered before `kill -9` is counted after it, in the middle of a block and of many, and for
/// the caller who was first seen a moment before.
#[test]
fn a_service_killed_under_load_counts_no_answered_use_less() {
    let site = Site::new();
    let service = site.start();
    service.create(&["eu"]);
    service.stop();
    let (mut answered, mut crashes) = (0, 0);
    for milliseconds in [0, 5, 50, 300, 1500] {
        let service = site.start();
        answered += load_until_killed(&site, service, Duration::from_millis(milliseconds));
        crashes += 1;
        let service = site.start();
        let wraps = wraps_of(&service, "eu");
        // Each writer may have had one request more under way, in each of the runs.
        let most = answered + crashes * (BLOCK + WRITERS * BATCH as u64);
        assert!((answered..=most).contains(&wraps), "{answered} answered, {wraps} counted");
        service.stop();
    }
    assert!(answered > BLOCK, "only {answered} were answered: no block was used up");

    let shown = site.run_claviger(&["usage", "eu"]);
    shown.assert_refused(9, &["admin.sock"]);
    let service = site.start();
    let shown = site.run_claviger(&["usage", "eu"]).succeeded();
    assert!(shown.text().contains(&Site::own_principal()), "{}", shown.text());
    service.stop();
}

/// Data keys asked for by several writers until the service is killed; how many were answered.
fn load_until_killed(site: &Site, service: Running, after: Duration) -> u64 {
    let (answered, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let (answered, ended) = (Arc::clone(&answered), Arc::clone(&ended));
            let data = site.data_socket();
            thread::spawn(move || {
                while !ended.load(SeqCst) {
                    let items = vec![json!({"key": "eu"}); BATCH];
                    let reply = http::post(&data, "/v1/batch/data-key", &json!({"items": items}));
                    // The last one may be cut in the middle.
                    let whole: Option<Value> = serde_json::from_str(&reply.body).ok();
                    let results = whole.as_ref().and_then(|reply| reply["results"].as_array());
                    let good = results.into_iter().flatten().filter(|one| one.get("ok").is_some());
                    answered.fetch_add(good.count() as u64, SeqCst);
                }
            })
        })
        .collect();
    let begun = Instant::now();
    while answered.load(SeqCst) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "nothing was answered");
        thread::yield_now();
    }
    thread::sleep(after);
    service.kill();
    ended.store(true, SeqCst);
    for writer in writers {
        writer.join().unwrap();
    }
    answered.load(SeqCst)
}

fn wraps_of(service: &Running, key: &str) -> u64 {
    let usage: Value = service.look(&format!("/v1/usage/{key}")).json();
    let callers = usage["versions"][0]["callers"].as_array().unwrap();
    callers.iter().map(|caller| caller["wraps"]["count"].as_u64().unwrap()).sum()
}
