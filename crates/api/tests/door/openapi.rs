//! The OpenAPI document: complete, checked in, and true of real requests and replies.

use std::{collections::BTreeSet, fs, time::Duration};

use claviger_hierarchy::Pace;
use claviger_kms::{ErrorCode, KeyLifecycle as _, MAX_BATCH, Timestamp};
use claviger_operations::Caller;
use claviger_testkit::Service;
use serde_json::{Value, json};

use crate::{
    openapi_support::Witness,
    support::{audit_log, get, post, send},
};

const CHECKED_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");

/// "eA==" is "x".
fn value(key: &str) -> Value {
    json!({"key": key, "plaintext": "eA==", "binding": {"context": {"row": "17"}}})
}

#[tokio::test]
async fn the_document_that_is_served_is_the_one_checked_in() {
    let service = Service::start().await;
    let before = audit_log(&service);
    for socket in [service.data_socket(), service.admin_socket()] {
        let reply = send(&socket, &get("/v1/openapi.json")).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
        if std::env::var("OPENAPI").is_ok_and(|value| value == "overwrite") {
            fs::write(CHECKED_IN, &reply.body).unwrap();
        }
        let checked_in = fs::read_to_string(CHECKED_IN).unwrap();
        assert!(
            reply.body == checked_in,
            "docs/openapi.json is not what the code says; look at the difference after\n  \
             OPENAPI=overwrite cargo nextest run -p claviger-api checked_in"
        );
    }
    assert_eq!(audit_log(&service), before, "reading the document left a record");
    service.stop().await;
}

#[tokio::test]
async fn every_operation_takes_and_gives_what_the_document_says() {
    let (policy, pace) = (Service::permissive_policy(), Pace::faster(43_200));
    let service = Service::start_at_pace(&policy, claviger_api::Limits::default(), pace).await;
    let mut api = Witness::of(&service).await;
    let details = json!({"description": "card numbers", "owner": "pay", "tags": {"pci": "yes"}});
    let region = json!({"key": "eu", "details": details, "rotation_period": "90d"});
    api.post("create_key", region).await;
    let key = json!({"key": "eu/pay", "purpose": "encryption", "protection": "memory",
                     "idempotency_key": "a-1"});
    api.post("create_key", key).await;

    let envelope = "6f2c0a1e-5d3b-4c8f-9a7e-1b2c3d4e5f60";
    let binding = json!({"context": {"row": "17"}, "envelope_id": envelope});
    let made = api.post("data_key", json!({"key": "eu/pay", "binding": binding})).await;
    let opened = json!({"ciphertext": made["ciphertext"], "binding": binding});
    assert_eq!(api.post("decrypt", opened).await["plaintext"], made["plaintext"]);
    api.post("data_key_wrapped", json!({"key": "eu/pay"})).await;
    let sealed = api.post("encrypt", value("eu/pay")).await;
    let sealed = json!({"ciphertext": sealed["ciphertext"], "binding": value("eu")["binding"]});
    api.post("rewrap", sealed.clone()).await;

    // In each batch one item is done and one is not.
    let bad = json!({"ciphertext": made["ciphertext"]});
    for (id, good, bad) in [
        ("encrypt_batch", value("eu/pay"), value("eu/none")),
        ("data_key_batch", json!({"key": "eu"}), json!({"key": "eu/none"})),
        ("decrypt_batch", sealed.clone(), bad.clone()),
        ("rewrap_batch", sealed.clone(), bad),
    ] {
        let results = api.post(id, json!({"items": [good, bad]})).await;
        let results = &results["results"];
        assert!(results[0]["ok"].is_object() && results[1]["error"].is_object(), "{id} {results}");
        let says = &api.operation(id).value["responses"]["200"]["description"];
        let code = format!("`{}`", results[1]["error"]["code"].as_str().unwrap());
        assert!(says.as_str().unwrap().contains(&code), "{id}: {says} has no {code}");
    }

    api.post("create_version", json!({"key": "eu/pay"})).await;
    let version = |number| json!({"key": "eu/pay", "version": number});
    api.post("set_primary", version(2)).await;
    api.post("disable_version", version(1)).await;
    api.post("enable_version", version(1)).await;
    api.post("rotate", json!({"key": "eu/pay", "idempotency_key": "a-2"})).await;
    api.get("describe_key", "/v1/keys/eu/pay").await;
    let page = api.get("list_keys", "/v1/keys?under=eu&limit=1").await;
    assert_eq!(page["next"], "eu");
    api.get("list_keys", "/v1/keys?after=eu").await;
    api.get("capabilities", "/v1/capabilities").await;
    lives_a_whole_life(&service, &mut api).await;
    for (id, target) in [
        ("status", "/v1/status"),
        ("openapi", "/v1/openapi.json"),
        ("livez", "/livez"),
        ("readyz", "/readyz"),
        ("metrics", "/metrics"),
    ] {
        api.get(id, target).await;
    }

    // A service in a test has no configuration to read; over the real program this is tested end to end.
    api.refused("reload", &json!({}), "unsupported").await;
    api.done.insert("reload".to_owned());

    let all: BTreeSet<_> = api.operations().into_iter().map(|operation| operation.id).collect();
    let missing: Vec<_> = all.difference(&api.done).collect();
    assert!(missing.is_empty(), "no request of this test asks for {missing:?}: add one");
    service.stop().await;
}

/// Campaign, quarantine, retirement, and the second person's word for a destruction.
async fn lives_a_whole_life(service: &Service, api: &mut Witness) {
    let opened = json!({"key": "eu/pay", "name": "cards", "mode": "rewrap"});
    let campaign = api.post("open_campaign", opened).await;
    let counts = json!({"scanned": 1, "moved": 1, "current": 0, "empty": 0, "conflicts": 0,
                        "gone": 0, "foreign": 0, "malformed": 0, "refused": 0, "bytes": 96});
    let sources = json!({"users": {"passes": 1, "counts": counts}});
    let report = json!({"id": campaign["id"], "expected_revision": campaign["revision"],
                        "state": "complete", "sources": sources});
    api.post("report_campaign", report).await;
    let id = campaign["id"].as_str().unwrap();
    api.get("describe_campaign", &format!("/v1/campaigns/{id}")).await;
    api.get("list_campaigns", "/v1/campaigns?key=eu/pay").await;
    api.get("key_usage", "/v1/usage/eu/pay").await;
    for period in [json!({"period": "never"}), json!({"period": "30d"}), json!({})] {
        let mut asked = period;
        asked["key"] = json!("eu/pay");
        api.post("set_rotation", asked).await;
    }
    let page = api.get("list_rotations", "/v1/rotations?under=eu&limit=1").await;
    assert_eq!((&page["next"], &page["keys"][0]["period"]), (&json!("eu"), &json!("90d")));
    let page = api.get("list_rotations", "/v1/rotations?after=eu&within_days=90").await;
    assert_eq!(page["keys"][0]["period_of"], "eu");

    api.post("quarantine", json!({"key": "eu/pay", "reason": "misuse-suspected"})).await;
    let key = json!({"key": "eu/pay"});
    api.post("disable_key", key.clone()).await;
    api.post("enable_key", key.clone()).await;
    api.post("retire_key", key).await;
    api.post("disable_version", json!({"key": "eu/pay", "version": 1})).await;
    submits_evidence(service, api).await;
    let destroy = json!({"key": "eu/pay", "version": 1, "days": 30, "shred": true});
    api.refused("schedule_destroy", &destroy, "key-unusable").await;
    let second = Caller::in_process(Service::TLS_CALLER.parse().unwrap()).unwrap();
    let second = service.operations().local_kms(second);
    let asked =
        send(api.socket("admin"), &post("/v1/schedule-destroy", &destroy.to_string())).await;
    second
        .approve(serde_json::from_value(json!({"id": approval_in(&asked.body)})).unwrap())
        .await
        .unwrap();
    api.post("schedule_destroy", destroy.clone()).await;
    api.post("cancel_destroy", json!({"key": "eu/pay", "version": 1})).await;
    let mut theirs = destroy;
    theirs["days"] = json!(7);
    let theirs = serde_json::from_value(theirs).unwrap();
    let asked = second.schedule_destroy(theirs).await.unwrap_err().to_string();
    api.post("approve", json!({"id": approval_in(&asked)})).await;
}

/// Evidence about version 1 of `eu/pay`: refused until the soak is over.
async fn submits_evidence(service: &Service, api: &mut Witness) {
    let usage = service.client().key_usage(&"eu/pay".parse().unwrap()).await.unwrap();
    let (missing, _) = usage.versions[0].issued_and_rewrapped();
    let closed = Timestamp::now();
    let scan = |begun: u64| {
        json!({"begun_at": closed + Duration::from_millis(begun),
               "ended_at": closed + Duration::from_millis(begun + 1), "complete": true,
               "scanned": 9, "holding": 0, "unreadable": 0, "others": 9})
    };
    let gate = json!({"closed_at": closed, "settled_at": closed, "definition": "0f".repeat(32)});
    let attestation = json!({"completeness": "users is the only table", "backups_until": closed,
                             "missing": missing});
    let mut evidence = json!({"key": "eu/pay", "version": 1, "attestation": attestation,
                              "sources": {"users": {"gate": gate, "scans": [scan(1), scan(3)]}}});
    api.refused("submit_evidence", &evidence, "key-unusable").await;
    tokio::time::sleep(DAY + Duration::from_millis(50)).await;
    api.post("submit_evidence", evidence.clone()).await;
    evidence["attestation"]["completeness"] = json!("");
    api.refused("submit_evidence", &evidence, "invalid-request").await;
}

/// The approval that a refusal asks for.
fn approval_in(text: &str) -> &str {
    text.split("claviger approve ").nth(1).and_then(|rest| rest.get(..36)).unwrap()
}

#[tokio::test]
async fn a_route_is_on_the_sockets_the_document_says_and_on_no_other() {
    let service = Service::start().await;
    let api = Witness::of(&service).await;
    let operations = api.operations();
    let ids: BTreeSet<_> = operations.iter().map(|operation| &operation.id).collect();
    assert_eq!(ids.len(), operations.len(), "two operations have one name");
    for operation in &operations {
        let target = operation.path.replace("{path}", "eu/pay").replace("{id}", "none");
        let bytes = if operation.method == "get" { get(&target) } else { post(&target, "no JSON") };
        for tag in ["data", "admin"] {
            let reply = send(api.socket(tag), &bytes).await;
            let is_routed = reply.status != 405 && !reply.body.contains("no such route");
            let is_said = operation.tags.iter().any(|said| said == tag);
            assert_eq!(is_routed, is_said, "{} on {tag}: {reply:?}", operation.id);
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn what_is_outside_a_limit_is_refused_by_schema_and_service_alike() {
    let service = Service::start().await;
    let mut api = Witness::of(&service).await;
    let key = |key: &str| json!({"key": key});
    for bad in ["", "EU", "eu/", "/eu", "eu//pay", "eu/../us", "-eu", "eu\n", &"a".repeat(64)] {
        api.refused_by_both("create_key", &key(bad)).await;
    }
    api.refused_by_both("create_key", &key(&["a"; 9].join("/"))).await;
    api.refused_by_both("create_key", &json!({})).await;
    api.refused_by_both("create_key", &json!({"key": "eu", "colour": "red"})).await;
    api.refused_by_both("create_key", &json!({"key": "eu", "purpose": "profit"})).await;
    api.refused_by_both("create_key", &json!({"key": "eu", "idempotency_key": "a b"})).await;
    let owner = |owner: &str| json!({"key": "eu", "details": {"owner": owner}});
    api.refused_by_both("create_key", &owner(&"a".repeat(257))).await;
    api.refused_by_both("create_key", &owner("a\u{7}")).await;
    let tags = |tags: Value| json!({"key": "eu", "details": {"tags": tags}});
    api.refused_by_both("create_key", &tags(json!({"a": "b".repeat(257)}))).await;
    api.refused_by_both("create_key", &tags(json!({"a".repeat(129): "b"}))).await;
    api.refused_by_both("create_key", &tags(entries(33))).await;
    api.post("create_key", tags(entries(32))).await;
    for bad in ["0d", "3651d", "9999d", "90", "01d", "1w", "Never", ""] {
        let asked = json!({"key": "eu", "period": bad});
        api.refused_by_both("set_rotation", &asked).await;
        api.refused_by_both("create_key", &json!({"key": "us", "rotation_period": bad})).await;
    }
    api.refused_by_both("set_rotation", &json!({"key": "eu", "every": "90d"})).await;
    for version in [json!(0), json!(-1), json!(4_294_967_296_u64), json!("1"), json!(1.5)] {
        api.refused_by_both("rotate", &json!({"key": "eu", "version": version})).await;
        api.refused_by_both("set_primary", &json!({"key": "eu", "version": version})).await;
    }

    let plain = |bytes: usize| json!({"key": "eu", "plaintext": base64(bytes)});
    api.refused_by_both("encrypt", &plain(4099)).await;
    api.post("encrypt", plain(4096)).await;
    for bad in ["A", "AA", "AA=", "A===", "%%%%", "AA==AA=="] {
        api.refused_by_both("encrypt", &json!({"key": "eu", "plaintext": bad})).await;
    }
    let context = |context: Value| json!({"key": "eu", "binding": {"context": context}});
    api.refused_by_both("data_key", &context(entries(33))).await;
    api.refused_by_both("data_key", &context(json!({"": "a"}))).await;
    api.refused_by_both("data_key", &context(json!({"a\n": "a"}))).await;
    api.refused_by_both("data_key", &context(json!({"a".repeat(129): "a"}))).await;
    api.refused_by_both("data_key", &context(json!({"a": "a".repeat(1025)}))).await;
    api.refused_by_both("data_key", &context(json!({"a": 1}))).await;
    api.post("data_key", context(entries(32))).await;
    let envelope = json!({"envelope_id": "6F2C0A1E-5D3B-4C8F-9A7E-1B2C3D4E5F60"});
    api.refused_by_both("data_key", &json!({"key": "eu", "binding": envelope})).await;
    let items = |count: usize| json!({"items": vec![json!({"key": "eu"}); count]});
    api.refused_by_both("data_key_batch", &items(MAX_BATCH + 1)).await;
    api.post("data_key_batch", items(MAX_BATCH)).await;

    let operation = api.operation("list_keys");
    let parameters = operation.value["parameters"].as_array().unwrap();
    let limit = parameters.iter().find(|parameter| parameter["name"] == "limit").unwrap();
    for (limit_asked, good) in [(0, false), (1, true), (1000, true), (1001, false)] {
        assert_eq!(api.wrong(&limit["schema"], &json!(limit_asked)).is_empty(), good);
        let target = format!("/v1/keys?limit={limit_asked}");
        let reply = send(api.socket("data"), &get(&target)).await;
        assert_eq!(reply.status == 200, good, "{target} {reply:?}");
    }
    service.stop().await;
}

#[tokio::test]
async fn every_refusal_is_one_that_the_document_names() {
    let service = Service::start().await;
    let mut api = Witness::of(&service).await;
    api.refused("create_key", &json!({"key": "eu/pay"}), "not-found").await;
    api.post("create_key", json!({"key": "eu"})).await;
    api.refused("create_key", &json!({"key": "eu"}), "conflict").await;
    api.refused("create_key", &json!({"key": "us", "purpose": "signing"}), "unsupported").await;
    let version = |number: u32| json!({"key": "eu", "version": number});
    api.refused("set_primary", &version(7), "not-found").await;
    api.refused("disable_version", &version(1), "key-unusable").await;
    api.refused("rotate", &json!({"key": "us"}), "not-found").await;
    api.refused("set_rotation", &json!({"key": "us"}), "not-found").await;
    api.refused("data_key", &json!({"key": "us"}), "not-found").await;
    api.refused("encrypt", &value("us"), "not-found").await;
    let sealed = api.post("encrypt", value("eu")).await;
    let unbound = json!({"ciphertext": sealed["ciphertext"]});
    api.refused("decrypt", &unbound, "ciphertext-rejected").await;
    api.refused("rewrap", &unbound, "ciphertext-rejected").await;
    api.post("rotate", json!({"key": "eu"})).await;
    api.post("disable_version", version(1)).await;
    let bound = json!({"ciphertext": sealed["ciphertext"], "binding": value("eu")["binding"]});
    api.refused("decrypt", &bound, "key-unusable").await;
    api.refused("rewrap", &bound, "key-unusable").await;
    service.stop().await;
}

#[tokio::test]
async fn whoever_may_do_nothing_reads_the_document_and_is_denied_as_it_says() {
    let policy = "[[rule]]\nname = \"nobody\"\nprincipals = [\"uds:uid=4294967294\"]\n\
                  actions = [\"*\"]\nkeys = [\"**\"]\n";
    let service = Service::start_with(policy, claviger_api::Limits::default()).await;
    let api = Witness::of(&service).await;
    for (id, body) in [
        ("create_key", json!({"key": "eu"})),
        ("create_version", json!({"key": "eu"})),
        ("rotate", json!({"key": "eu"})),
        ("set_rotation", json!({"key": "eu"})),
        ("set_primary", json!({"key": "eu", "version": 1})),
        ("enable_version", json!({"key": "eu", "version": 1})),
        ("disable_version", json!({"key": "eu", "version": 1})),
        ("encrypt", value("eu")),
        ("data_key", json!({"key": "eu"})),
        ("data_key_wrapped", json!({"key": "eu"})),
    ] {
        api.refused(id, &body, "denied").await;
    }
    service.stop().await;
}

#[tokio::test]
async fn every_error_code_has_a_section_with_its_remedy() {
    let service = Service::start().await;
    let api = Witness::of(&service).await;
    let text = api.document["info"]["description"].as_str().unwrap();
    for code in ErrorCode::ALL {
        let (_, section) = text.split_once(&format!("\n### {}\n", code.as_str())).unwrap();
        let section = section.split("\n### ").next().unwrap();
        let explained = code.explanation();
        for part in [explained.meaning, explained.cause, explained.remedy] {
            assert!(section.contains(part), "{}: {section}", code.as_str());
        }
    }
    let codes = &api.document["components"]["schemas"]["ErrorCode"]["enum"];
    assert_eq!(codes, &json!(ErrorCode::ALL));
    service.stop().await;
}

fn entries(count: usize) -> Value {
    (0..count).map(|number| (format!("key-{number}"), json!("value"))).collect()
}

/// So many zero bytes; a multiple of three or one more.
fn base64(bytes: usize) -> String {
    let rest = if bytes % 3 == 1 { "AA==" } else { "" };
    "AAAA".repeat(bytes / 3) + rest
}

/// How long a day is where evidence soaks.
const DAY: Duration = Duration::from_secs(2);
