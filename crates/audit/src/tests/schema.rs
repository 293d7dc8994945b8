//! The record's schema: frozen, complete, bounded.

use claviger_kms::{
    Action, CampaignId, ErrorCode, KeyId, KeyVersion, KmsError, RequestId, SecretKey, Timestamp,
};
use serde_json::Value;

use crate::{
    AuditDecision, AuditResult, Digest, Entry, Header, InstanceId, KeyedHasher, Peer, Phase, Proof,
    Record, Sequence, StateChange, line,
};

/// A record with every field set; `long` makes each text as long as it may be.
fn full_record(long: bool) -> Record {
    let word = |short: &str, most: usize| if long { "w".repeat(most) } else { short.to_owned() };
    let path = || vec!["p".repeat(63); 8].join("/");
    let key = SecretKey::make_with(|key| {
        key.fill(1);
        Ok::<_, KmsError>(())
    });
    let version = KeyVersion::new(if long { u32::MAX } else { 3 }).unwrap();
    let number = |short| if long { u64::MAX } else { short };
    let hasher = KeyedHasher::new(key.unwrap(), version);
    let request = RequestId::from_bytes([0x11; 16]);
    let mut entry = Entry::new(
        request,
        Action::DataKeyWrapped,
        AuditDecision::Allowed,
        AuditResult::Failed(ErrorCode::CiphertextRejected),
    );
    entry.foreign_request = Some(word("trace-1", 128).parse().unwrap());
    let principal = "spiffe://".to_owned() + &"\\".repeat(2039);
    let principal = if long { principal } else { "spiffe://example.org/payments".to_owned() };
    entry.principal = Some(principal.parse().unwrap());
    entry.proof = Proof::ClientCertificate;
    entry.peer = Some(Peer::Network { address: "[2001:db8::1]:50000".parse().unwrap() });
    entry.phase = Phase::Outcome;
    entry.key = Some(if long { path() } else { "eu-west-1/users".to_owned() }.parse().unwrap());
    entry.key_id = Some(KeyId::from_bytes([0x22; 16]));
    entry.key_version = Some(version);
    entry.policy_hash = Some(Digest::of(b"policy"));
    entry.rule = Some(word("payments-may-seal", 128).parse().unwrap());
    entry.context_hash = Some(hasher.hash("context", b"c").unwrap());
    entry.envelope_hash = Some(hasher.hash("envelope", b"e").unwrap());
    entry.request_bytes = Some(number(32));
    entry.reply_bytes = Some(number(104));
    entry.latency_us = Some(number(250));
    entry.campaign = Some(CampaignId::from_bytes([0x44; 16]));
    entry.change = Some(StateChange {
        key_id: KeyId::from_bytes([0x22; 16]),
        epoch: number(4),
        record_hash: Digest::of(b"record"),
        generation: number(17),
    });
    entry.store_generation = Some(number(18));
    entry.occurred_at = Some("2026-11-24T08:00:00.000001Z".parse().unwrap());
    entry.emergency = true;
    Record {
        sequence: Sequence::new(number(5)),
        time: "2026-11-24T08:00:00.123456Z".parse::<Timestamp>().unwrap(),
        monotonic_us: number(1_000_000),
        instance: InstanceId::from_bytes([0x33; 8]),
        durable: number(4),
        entry,
    }
}

/// Readers of format 1 exist outside this repository: this line never changes.
#[test]
fn a_full_record_of_format_1_is_this_line() {
    let line = String::from_utf8(line::encode(&full_record(false)).unwrap()).unwrap();
    assert_eq!(line, include_str!("record-1.jsonl"));
    let read: Record = line::decode(line.trim_end().as_bytes()).unwrap();
    assert_eq!(read, full_record(false));
}

#[test]
fn absent_facts_are_absent_members() {
    let mut record = full_record(false);
    record.entry = Entry::intent(record.entry.request, Action::Rotate, AuditDecision::Allowed);
    let text = line::encode(&record).unwrap();
    let Value::Object(members) = line::decode(&text[..text.len() - 1]).unwrap() else { panic!() };
    let names: Vec<&str> = members.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "check",
            "decision",
            "durable",
            "event",
            "instance",
            "monotonic_us",
            "phase",
            "proof",
            "request",
            "result",
            "sequence",
            "time"
        ]
    );
    assert_eq!(line::decode::<Record>(&text[..text.len() - 1]).unwrap(), record);
}

#[test]
fn the_largest_record_fits_into_a_line() {
    let length = line::encode(&full_record(true)).unwrap().len();
    // So 256 of them, the largest batch, fit into the ordinary room of the smallest segment.
    assert!((5000..8000).contains(&length), "{length}");
}

#[test]
fn refuses_a_record_with_free_text() {
    let text = serde_json::to_string(&full_record(false)).unwrap();
    for (field, bad) in [
        ("trace-1", "a b"),
        ("payments-may-seal", "because\\nI say so"),
        ("44444444-4444-4444-4444-444444444444", "<script>"),
        ("eu-west-1/users", "../users"),
        ("data-key-wrapped", "make-coffee"),
        ("spiffe://example.org/payments", "root"),
    ] {
        let altered = text.replace(field, bad);
        assert_ne!(altered, text);
        assert!(serde_json::from_str::<Record>(&altered).is_err(), "{bad} was taken");
    }
    assert!(serde_json::from_str::<Record>(&text).is_ok(), "the positive control");
}

/// Members may be added to format 1, so a reader passes over those it does not know.
#[test]
fn a_member_added_later_is_passed_over() {
    let text = serde_json::to_string(&full_record(false)).unwrap();
    let later = text.replacen('{', "{\"added\":{\"later\":true},", 1);
    assert_eq!(serde_json::from_str::<Record>(&later).unwrap(), full_record(false));
    let header = r#"{"format":1,"time":"2026-11-24T08:00:00Z","instance":"3333333333333333",
        "first_sequence":1,"highest_generation":0,"tree":"later"}"#;
    assert!(serde_json::from_str::<Header>(header).is_ok());
}
