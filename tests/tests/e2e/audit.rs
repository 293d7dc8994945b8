//! Every operation that was answered stands in the audit log exactly once, with who, what and by which
//! rule; refused ones too.

use claviger_audit::{AuditDecision, AuditResult, Phase, Proof, Record};
use claviger_tests::{Site, audit_trail, http::Reply};
use serde_json::json;

/// What the log must say of one reply.
struct Expected {
    request: String,
    event: &'static str,
    rule: Option<&'static str>,
    failed: Option<&'static str>,
    /// A change has an intent and an outcome for each key record it wrote; anything else one record.
    outcomes: Option<usize>,
    items: usize,
}

#[test]
fn every_answered_operation_has_exactly_its_records() {
    let site = Site::new();
    let principal = Site::own_principal();
    site.write_policy(&format!(
        "[[rule]]\nname = \"operator\"\nprincipals = [\"{principal}\"]\n\
         actions = [\"create\", \"rotate\", \"read-metadata\"]\nkeys = [\"**\"]\n\
         [[rule]]\nname = \"writer\"\nprincipals = [\"{principal}\"]\n\
         actions = [\"data-key\", \"encrypt\", \"decrypt\"]\nkeys = [\"eu/**\", \"eu\"]\n\
         [[rule]]\nname = \"closed\"\neffect = \"deny\"\nprincipals = [\"uds:uid=*\"]\n\
         actions = [\"decrypt\"]\nkeys = [\"eu/closed\"]\n"
    ));
    let service = site.start();
    let mut expected: Vec<Expected> = Vec::new();
    let mut note = |reply: &Reply, event, rule, failed: Option<&'static str>, outcomes, items| {
        let good = if failed.is_none() { 200 } else { reply.status };
        assert_eq!(reply.status, good, "{reply:?}");
        assert!(failed.is_none() || reply.status >= 400, "{reply:?}");
        let request = reply.request().to_owned();
        expected.push(Expected { request, event, rule, failed, outcomes, items });
    };

    for key in ["eu", "eu/pay", "eu/closed", "us"] {
        let reply = service.manage("/v1/keys", &json!({"key": key}));
        note(&reply, "create", Some("operator"), None, Some(1), 0);
    }
    let exists = service.manage("/v1/keys", &json!({"key": "eu"}));
    note(&exists, "create", Some("operator"), Some("conflict"), Some(1), 0);
    let rotated = service.manage("/v1/rotate", &json!({"key": "eu/pay"}));
    note(&rotated, "rotate", Some("operator"), None, Some(1), 0);
    // A parent's rotation writes its two children's records too.
    let parent = service.manage("/v1/rotate", &json!({"key": "eu"}));
    note(&parent, "rotate", Some("operator"), None, Some(3), 0);
    let disable = service.manage("/v1/disable-version", &json!({"key": "eu/pay", "version": 1}));
    note(&disable, "disable", None, Some("denied"), None, 1);

    for _ in 0..20 {
        let made = service.use_key("/v1/data-key", &json!({"key": "eu/pay"}));
        note(&made, "data-key", Some("writer"), None, None, 1);
        let body = json!({"ciphertext": made.json()["ciphertext"]});
        note(&service.use_key("/v1/decrypt", &body), "decrypt", Some("writer"), None, None, 1);
    }
    let other = service.use_key("/v1/data-key", &json!({"key": "us"}));
    note(&other, "data-key", None, Some("denied"), None, 1);
    let closed = service.use_key("/v1/encrypt", &json!({"key": "eu/closed", "plaintext": "eA=="}));
    note(&closed, "encrypt", Some("writer"), None, None, 1);
    let sealed = closed.json()["ciphertext"].clone();
    let denied = service.use_key("/v1/decrypt", &json!({"ciphertext": sealed}));
    note(&denied, "decrypt", Some("closed"), Some("denied"), None, 1);
    let missing = service.use_key("/v1/data-key", &json!({"key": "eu/none"}));
    note(&missing, "data-key", Some("writer"), Some("not-found"), None, 1);
    let made = service.use_key("/v1/data-key", &json!({"key": "eu/pay"}));
    note(&made, "data-key", Some("writer"), None, None, 1);
    let wrong =
        json!({"ciphertext": made.json()["ciphertext"], "binding": {"context": {"a": "b"}}});
    let rejected = service.use_key("/v1/decrypt", &wrong);
    note(&rejected, "decrypt", Some("writer"), Some("ciphertext-rejected"), None, 1);
    let items = vec![json!({"key": "eu/pay"}); 7];
    let batch = service.use_key("/v1/batch/data-key", &json!({"items": items}));
    note(&batch, "data-key", Some("writer"), None, None, 7);
    let described = service.look("/v1/keys/eu/pay");
    note(&described, "read-metadata", Some("operator"), None, None, 1);
    service.stop();

    let trail = audit_trail(&site.audit());
    let actions: Vec<&Record> =
        trail.iter().filter(|record| record.entry.proof == Proof::PeerCredentials).collect();
    let mut accounted = 0;
    for wanted in &expected {
        accounted += assert_recorded(&actions, wanted);
    }
    assert_eq!(actions.len(), accounted, "there are records of nothing that was answered");
    let others: Vec<_> = trail
        .iter()
        .filter(|record| record.entry.proof != Proof::PeerCredentials)
        .map(|record| (record.entry.event.as_str(), record.entry.phase))
        .collect();
    let ceremony = "root-initialised";
    let service = [("service-started", Phase::Only), ("service-stopping", Phase::Only)];
    assert_eq!(others[..2], [(ceremony, Phase::Intent), (ceremony, Phase::Outcome)]);
    assert_eq!(others[2..], service);
}

/// The number of its records.
fn assert_recorded(trail: &[&Record], wanted: &Expected) -> usize {
    let records: Vec<_> =
        trail.iter().filter(|record| record.entry.request.to_string() == wanted.request).collect();
    for record in &records {
        let entry = &record.entry;
        assert_eq!(entry.event.as_str(), wanted.event, "{entry:?}");
        assert_eq!(entry.rule.as_ref().map(|rule| rule.as_str()), wanted.rule, "{entry:?}");
        let denied = wanted.failed == Some("denied");
        let decision = if denied { AuditDecision::Denied } else { AuditDecision::Allowed };
        assert_eq!(entry.decision, decision, "{entry:?}");
        assert_eq!(entry.principal.as_ref().unwrap().as_str(), Site::own_principal());
        assert!(entry.peer.is_some() && entry.policy_hash.is_some(), "{entry:?}");
        let result = match (entry.phase, entry.result) {
            (Phase::Intent, AuditResult::Pending) => continue,
            (_, AuditResult::Done) => None,
            (_, AuditResult::Failed(code)) => Some(code.as_str()),
            (_, other) => panic!("{other:?}: {entry:?}"),
        };
        assert_eq!(result, wanted.failed, "{entry:?}");
    }
    let phases: Vec<Phase> = records.iter().map(|record| record.entry.phase).collect();
    let of = match wanted.outcomes {
        Some(outcomes) => [vec![Phase::Intent], vec![Phase::Outcome; outcomes]].concat(),
        None => vec![Phase::Only; wanted.items],
    };
    assert_eq!(phases, of, "{} {}", wanted.event, wanted.request);
    records.len()
}
