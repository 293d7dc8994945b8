//! Operations over a real token, store and audit log.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{sync::Arc, time::Duration};

use claviger_audit::{AuditDecision, AuditResult, Phase, Record, read_segment, segments};
use claviger_kms::{
    Action, Binding, CreateKey, CreateVersion, Decrypt, Encrypt, ErrorCode, GenerateDataKey,
    KeyManagementService, KeyPath, KmsError, ListKeys, Principal, SecretBytes, VersionRequest,
};
use claviger_operations::{Caller, LocalKms};
use claviger_policy::Policy;
use claviger_testkit::{Service, kms_conformance};

fn path(text: &str) -> KeyPath {
    text.parse().unwrap()
}

fn kms(service: &Service, who: &str) -> LocalKms {
    let principal: Principal = who.parse().unwrap();
    service.operations().local_kms(Caller::in_process(principal).unwrap())
}

async fn with_policy(rules: &str) -> Service {
    Service::start_with(rules, Default::default()).await
}

const ALL: &str = "[[rule]]\nname = \"all\"\nprincipals = [\"local:admin\"]\nactions = [\"*\"]\nkeys = [\"**\"]\n";

fn records(service: &Service) -> Vec<Record> {
    let files = segments(service.folder().join("audit")).unwrap();
    files.iter().flat_map(|file| read_segment(file).unwrap().map(Result::unwrap)).collect()
}

fn rotate(key: &str) -> CreateVersion {
    CreateVersion { key: path(key), idempotency_key: None }
}

#[tokio::test]
async fn a_local_key_service_passes_the_conformance_suite() {
    let service = with_policy(ALL).await;
    kms_conformance::run(Arc::new(kms(&service, "local:admin")), "conformance").await;
    service.stop().await;
}

/// A caller who goes away in the middle must not leave a change without its outcome, nor the tree in
/// memory behind the store.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_dropped_is_carried_to_its_end() {
    let service = with_policy(ALL).await;
    let admin = kms(&service, "local:admin");
    admin.create_key(CreateKey::at(path("eu"))).await.unwrap();
    for n in 0..60 {
        let patience = Duration::from_micros(n * 40);
        drop(tokio::time::timeout(patience, admin.rotate(rotate("eu"))).await);
    }
    // Waits for the one writer, so every change that began before is made; the stop waits for their records.
    admin.rotate(rotate("eu")).await.unwrap();
    service.operations().stop().await;
    let records = records(&service);
    let count = |phase: Phase| {
        let of_rotation = |record: &&Record| record.entry.event == Action::Rotate.into();
        records.iter().filter(of_rotation).filter(|r| r.entry.phase == phase).count()
    };
    assert_eq!(count(Phase::Intent), count(Phase::Outcome));
    // The ceremony and the key's making are the first two.
    let generation = service.operations().status().hierarchy.generation;
    assert_eq!(generation, 2 + u64::try_from(count(Phase::Outcome)).unwrap());
    service.stop().await;
}

#[tokio::test]
async fn forbidden_and_missing_look_alike_and_both_are_recorded() {
    let service = with_policy(ALL).await;
    let admin = kms(&service, "local:admin");
    admin.create_key(CreateKey::at(path("eu"))).await.unwrap();
    let sealed = admin
        .encrypt(Encrypt {
            key: path("eu"),
            plaintext: SecretBytes::copy_of(b"v"),
            binding: Binding::default(),
        })
        .await
        .unwrap();
    let mut of_nobody = sealed.ciphertext.clone();
    of_nobody[2] ^= 1;

    let stranger = kms(&service, "local:stranger");
    for key in ["eu", "nowhere"] {
        assert_eq!(stranger.describe_key(&path(key)).await.unwrap_err(), KmsError::Denied);
        let request = GenerateDataKey { key: path(key), binding: Binding::default() };
        assert_eq!(stranger.generate_data_key(request).await.unwrap_err(), KmsError::Denied);
        assert_eq!(stranger.rotate(rotate(key)).await.unwrap_err(), KmsError::Denied);
    }
    for ciphertext in [sealed.ciphertext, of_nobody.clone()] {
        let request = Decrypt { ciphertext, binding: Binding::default() };
        assert_eq!(stranger.decrypt(request).await.unwrap_err(), KmsError::Denied);
    }
    // Who may decrypt everything sees a rejection, as for any other altered ciphertext.
    let request = Decrypt { ciphertext: of_nobody, binding: Binding::default() };
    assert_eq!(admin.decrypt(request).await.unwrap_err(), KmsError::Rejected);

    let denied = records(&service)
        .into_iter()
        .filter(|record| record.entry.principal == Some("local:stranger".parse().unwrap()))
        .inspect(|record| {
            assert_eq!(record.entry.decision, AuditDecision::Denied);
            assert_eq!(record.entry.result, AuditResult::Failed(ErrorCode::Denied));
            assert_eq!(record.entry.phase, Phase::Only);
        })
        .count();
    assert_eq!(denied, 8);
    service.stop().await;
}

#[tokio::test]
async fn a_list_shows_only_what_is_allowed() {
    let rules = format!(
        "{ALL}[[rule]]\nname = \"users\"\nprincipals = [\"local:app\"]\n\
         actions = [\"read-metadata\"]\nkeys = [\"eu/users/**\"]\n"
    );
    let service = with_policy(&rules).await;
    let admin = kms(&service, "local:admin");
    for key in ["eu", "eu/users", "eu/users/mail", "eu/zoo", "us"] {
        admin.create_key(CreateKey::at(path(key))).await.unwrap();
    }
    let list = async |who: &str, request: ListKeys| {
        let page = kms(&service, who).list_keys(request).await.unwrap();
        let keys: Vec<String> = page.keys.iter().map(|key| key.key.to_string()).collect();
        (keys, page.next.map(|next| next.to_string()))
    };
    let (keys, next) = list("local:app", ListKeys::default()).await;
    assert_eq!((keys, next), (vec!["eu/users".to_owned(), "eu/users/mail".to_owned()], None));
    assert_eq!(list("local:stranger", ListKeys::default()).await, (Vec::new(), None));
    let one = ListKeys { limit: Some(1), ..ListKeys::default() };
    let (first, next) = list("local:app", one.clone()).await;
    assert_eq!(first, ["eu/users"]);
    let after = ListKeys { after: next.map(|next| path(&next)), ..one };
    let (second, next) = list("local:app", after).await;
    assert_eq!((second, next), (vec!["eu/users/mail".to_owned()], None));
    for limit in [0, 1001] {
        let request = ListKeys { limit: Some(limit), ..ListKeys::default() };
        assert!(admin.list_keys(request).await.is_err());
    }
    service.stop().await;
}

/// Every operation of the trait once, allowed: data operations leave one record, changes two, and the
/// outcome of a change names the key record it wrote.
#[tokio::test]
async fn every_operation_leaves_its_records() {
    let service = with_policy(ALL).await;
    let before = records(&service).len();
    let admin = kms(&service, "local:admin");
    admin.create_key(CreateKey::at(path("eu"))).await.unwrap();
    admin.create_version(rotate("eu")).await.unwrap();
    let second = VersionRequest { key: path("eu"), version: "2".parse().unwrap() };
    let first = VersionRequest { version: "1".parse().unwrap(), ..second.clone() };
    admin.set_primary(second).await.unwrap();
    admin.rotate(rotate("eu")).await.unwrap();
    admin.disable_version(first.clone()).await.unwrap();
    admin.enable_version(first).await.unwrap();
    let changes = records(&service).split_off(before);
    let phases: Vec<Phase> = changes.iter().map(|record| record.entry.phase).collect();
    assert_eq!(phases, [Phase::Intent, Phase::Outcome].repeat(6));
    let generations: Vec<u64> = changes
        .iter()
        .filter_map(|record| record.entry.change.map(|change| change.generation))
        .collect();
    assert_eq!(generations, [2, 3, 4, 5, 6, 7]);
    // Made: the newest version. Asked for: that one, in the intent already.
    let versions: Vec<Option<u32>> =
        changes.iter().map(|record| record.entry.key_version.map(|v| v.number())).collect();
    let (one, two, three) = (Some(1), Some(2), Some(3));
    assert_eq!(versions, [None, one, None, two, two, two, None, three, one, one, one, one]);

    let before = records(&service).len();
    let request = GenerateDataKey { key: path("eu"), binding: Binding::default() };
    let wrapped = admin.generate_wrapped_data_key(request.clone()).await.unwrap();
    admin.generate_data_key(request.clone()).await.unwrap();
    let ciphertext = wrapped.ciphertext;
    admin
        .decrypt(Decrypt { ciphertext: ciphertext.clone(), binding: Binding::default() })
        .await
        .unwrap();
    admin
        .rewrap(claviger_kms::Rewrap { ciphertext, binding: Binding::default(), campaign: None })
        .await
        .unwrap();
    admin.generate_data_key_batch(vec![request.clone(), request]).await.unwrap();
    let data = records(&service).split_off(before);
    let events: Vec<&str> = data.iter().map(|record| record.entry.event.as_str()).collect();
    assert_eq!(
        events,
        ["data-key-wrapped", "data-key", "decrypt", "rewrap", "data-key", "data-key"]
    );
    for record in &data {
        assert_eq!(record.entry.phase, Phase::Only);
        assert_eq!(record.entry.decision, AuditDecision::Allowed);
        assert!(record.entry.rule.is_some() && record.entry.context_hash.is_some());
        assert!(record.entry.key_id.is_some() && record.entry.key_version.is_some());
    }
    service.stop().await;
}

#[tokio::test]
async fn a_rotation_with_many_children_is_recorded_batch_by_batch() {
    let service = with_policy(ALL).await;
    let admin = kms(&service, "local:admin");
    admin.create_key(CreateKey::at(path("eu"))).await.unwrap();
    for n in 0..60 {
        admin.create_key(CreateKey::at(path(&format!("eu/k{n}")))).await.unwrap();
    }
    let before = records(&service).len();
    let request = CreateVersion { key: path("eu"), idempotency_key: Some("r".parse().unwrap()) };
    admin.rotate(request.clone()).await.unwrap();
    let of_rotation = records(&service).split_off(before);
    assert_eq!(of_rotation.len(), 1 + 1 + 60);
    let last = of_rotation.last().unwrap().entry.change.unwrap().generation;
    assert_eq!(last, service.operations().status().hierarchy.generation);
    // Repeated, it finds nothing to move and says so in one outcome.
    admin.rotate(request).await.unwrap();
    assert_eq!(records(&service).len(), before + 62 + 2);
    service.stop().await;
}

#[tokio::test]
async fn what_stops_a_key_may_use_the_room_kept_for_emergencies() {
    let service = with_policy(ALL).await;
    let admin = kms(&service, "local:admin");
    admin.create_key(CreateKey::at(path("eu"))).await.unwrap();
    admin.rotate(rotate("eu")).await.unwrap();
    let first = VersionRequest { key: path("eu"), version: "1".parse().unwrap() };
    let stranger = kms(&service, "local:stranger");
    stranger.disable_version(first.clone()).await.unwrap_err();
    admin.disable_version(first).await.unwrap();
    let of_disable: Vec<(bool, Phase)> = records(&service)
        .iter()
        .filter(|record| record.entry.event == Action::Disable.into())
        .map(|record| (record.entry.emergency, record.entry.phase))
        .collect();
    assert_eq!(of_disable, [(false, Phase::Only), (true, Phase::Intent), (true, Phase::Outcome)]);
    service.stop().await;
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_refused_with_one_record() {
    let service = with_policy(ALL).await;
    let admin = kms(&service, "local:admin");
    let before = records(&service).len();
    let request = GenerateDataKey { key: path("eu"), binding: Binding::default() };
    let refused = admin.generate_data_key_batch(vec![request; 257]).await.unwrap_err();
    assert!(refused.to_string().contains("256"), "{refused}");
    assert_eq!(records(&service).len(), before + 1);
    service.stop().await;
}

/// With a rule for everything and one exception, an unknown id looked other than a forbidden key.
#[tokio::test]
async fn an_unknown_id_looks_like_a_forbidden_key_to_who_may_not_use_every_key() {
    let rules = format!(
        "{ALL}[[rule]]\nname = \"most\"\nprincipals = [\"local:app\"]\nactions = [\"decrypt\"]\n\
         keys = [\"**\"]\n[[rule]]\nname = \"but-not\"\neffect = \"deny\"\n\
         principals = [\"local:app\"]\nactions = [\"decrypt\"]\nkeys = [\"us/**\"]\n"
    );
    let service = with_policy(&rules).await;
    let admin = kms(&service, "local:admin");
    admin.create_key(CreateKey::at(path("us"))).await.unwrap();
    let request = GenerateDataKey { key: path("us"), binding: Binding::default() };
    let forbidden = admin.generate_wrapped_data_key(request).await.unwrap().ciphertext;
    let mut unknown = forbidden.clone();
    unknown[2] ^= 1;
    for ciphertext in [forbidden, unknown] {
        let request = Decrypt { ciphertext, binding: Binding::default() };
        let refused = kms(&service, "local:app").decrypt(request).await.unwrap_err();
        assert_eq!(refused, KmsError::Denied);
    }
    service.stop().await;
}

#[tokio::test]
async fn the_start_records_the_generation_of_the_store() {
    let service = with_policy(ALL).await;
    let started = records(&service).remove(0);
    assert_eq!(started.entry.event.as_str(), "service-started");
    assert_eq!(started.entry.highest_generation(), 1);
    service.stop().await;
}

/// A caller that a program holds for long is decided by the policy in force, not by the one it began with.
#[tokio::test]
async fn each_call_is_decided_and_recorded_by_the_policy_in_force_then() {
    let service = with_policy(ALL).await;
    let admin = kms(&service, "local:admin");
    admin.create_key(CreateKey::at(path("eu"))).await.unwrap();
    let next = Policy::parse("").unwrap();
    let hash = service.operations().put_in_force(next.clone()).await.unwrap();
    assert_eq!(admin.describe_key(&path("eu")).await.unwrap_err(), KmsError::Denied);
    // The same policy again: read, but no other.
    service.operations().put_in_force(next).await.unwrap();
    let records = records(&service);
    let events: Vec<_> = records.iter().map(|record| record.entry.event.as_str()).collect();
    assert_eq!(
        events,
        [
            "service-started",
            "create",
            "create",
            "policy-loaded",
            "configuration-loaded",
            "read-metadata",
            "configuration-loaded"
        ]
    );
    let new: Vec<_> = records.iter().map(|record| record.entry.policy_hash == Some(hash)).collect();
    assert_eq!(new, [false, false, false, true, true, true, true]);
    service.stop().await;
}
