//! What every [`KeyStore`] must do, as checks that any store can be given to.
//!
//! Each check gets a new, empty store from `make`. The stores' own tests add what only they can have:
//! crashes, damaged files, lost connections.

#![expect(clippy::unwrap_used, reason = "a check may panic")]

use std::{sync::Arc, time::Duration};

use claviger_keystore::{
    Commit, Document, KeyStore, NamedDocument, PutDocument, PutRecord, StoreError, StoredHead,
    StoredRecord,
};
use claviger_kms::KeyId;
use tokio::time::{sleep, timeout};

/// Runs every check, each on a store of its own.
///
/// # Panics
/// Where the store does otherwise.
pub async fn run(make: impl AsyncFn() -> Arc<dyn KeyStore>) {
    an_empty_store_has_nothing(make().await).await;
    what_is_committed_is_read_back_exactly(make().await).await;
    a_commit_on_a_stale_generation_changes_nothing(make().await).await;
    a_commit_on_a_stale_record_changes_nothing(make().await).await;
    a_commit_on_a_stale_document_changes_nothing(make().await).await;
    commits_that_break_a_rule_are_refused(make().await).await;
    the_largest_commit_is_taken(make().await).await;
    records_come_in_order_and_in_pages(make().await).await;
    documents_are_compared_and_swapped(make().await).await;
    documents_come_by_prefix_in_order_and_in_pages(make().await).await;
    several_documents_are_written_together_or_not_at_all(make().await).await;
    a_document_is_removed_only_at_the_expected_revision(make().await).await;
    of_two_writers_one_wins(make().await).await;
    no_update_is_lost_between_writers(make().await).await;
    a_watcher_sees_each_commit(make().await).await;
    a_lease_has_one_holder(make().await).await;
}

async fn an_empty_store_has_nothing(store: Arc<dyn KeyStore>) {
    assert_eq!(store.head().await.unwrap(), None);
    assert_eq!(store.record(id(1)).await.unwrap(), None);
    assert_eq!(store.records(None, 10).await.unwrap(), []);
    assert_eq!(store.document("root").await.unwrap(), None);
    assert_eq!(*store.watch().borrow(), 0);
}

async fn what_is_committed_is_read_back_exactly(store: Arc<dyn KeyStore>) {
    let every_byte: Vec<u8> = (0..=255).collect();
    let mut first = put(1, None, &every_byte);
    first.record.mac_key = u32::MAX;
    let large = put(2, None, &every_byte.repeat(1024));
    let empty = put(3, None, &[]);
    let records = vec![first, large, empty];
    let documents = vec![document("a/b.c_d-1", None, &every_byte), document("b", None, &[])];
    let commit = Commit { documents: documents.clone(), ..commit(None, records.clone()) };
    store.commit(commit.clone()).await.unwrap();

    assert_eq!(store.head().await.unwrap(), Some(commit.head));
    for put in records {
        assert_eq!(store.record(put.record.id).await.unwrap(), Some(put.record));
    }
    for put in documents {
        let expected = Document { revision: 1, bytes: put.bytes };
        assert_eq!(store.document(&put.name).await.unwrap(), Some(expected));
    }
}

async fn a_commit_on_a_stale_generation_changes_nothing(store: Arc<dyn KeyStore>) {
    let ahead = commit(Some(1), vec![put(1, None, b"ahead")]);
    refused_as_conflict(&*store, ahead, "head").await;

    store.commit(commit(None, vec![put(1, None, b"one")])).await.unwrap();
    store.commit(commit(Some(1), vec![put(1, Some(1), b"two")])).await.unwrap();
    for stale in [None, Some(1), Some(3)] {
        let stale = commit(stale, vec![put(1, Some(2), b"stale"), put(2, None, b"new")]);
        refused_as_conflict(&*store, stale, "head").await;
    }
}

async fn a_commit_on_a_stale_record_changes_nothing(store: Arc<dyn KeyStore>) {
    let both = vec![put(1, None, b"one"), put(2, None, b"one")];
    store.commit(commit(None, both)).await.unwrap();
    store.commit(commit(Some(1), vec![put(2, Some(1), b"two")])).await.unwrap();
    for (stale, what) in [
        (put(2, Some(1), b"stale"), id(2)),
        (put(2, None, b"exists already"), id(2)),
        (put(2, Some(7), b"ahead"), id(2)),
        (put(9, Some(1), b"does not exist"), id(9)),
    ] {
        // The good record comes first: its write must be undone.
        let stale = Commit {
            documents: vec![document("beside", None, b"")],
            ..commit(Some(2), vec![put(1, Some(1), b"good"), stale])
        };
        refused_as_conflict(&*store, stale, &what.to_string()).await;
    }
}

async fn a_commit_on_a_stale_document_changes_nothing(store: Arc<dyn KeyStore>) {
    let first = Commit {
        documents: vec![document("facts", None, b"one")],
        ..commit(None, vec![put(1, None, b"one")])
    };
    store.commit(first).await.unwrap();
    for (name, revision) in [("facts", None), ("facts", Some(2)), ("others", Some(1))] {
        let stale = Commit {
            documents: vec![document("good", None, b""), document(name, revision, b"stale")],
            ..commit(Some(1), vec![put(1, Some(1), b"two")])
        };
        refused_as_conflict(&*store, stale, name).await;
        assert_eq!(store.document("good").await.unwrap(), None);
    }
}

async fn commits_that_break_a_rule_are_refused(store: Arc<dyn KeyStore>) {
    store.commit(commit(None, vec![put(1, None, b"one")])).await.unwrap();
    let good = || commit(Some(1), vec![put(1, Some(1), b"two"), put(2, None, b"one")]);
    let changed = |change: fn(&mut Commit)| {
        let mut commit = good();
        change(&mut commit);
        commit
    };
    let refusals = [
        changed(|c| c.head.generation = 0),
        changed(|c| c.head.generation = 1),
        changed(|c| c.records.last_mut().unwrap().record.epoch = 2),
        changed(|c| c.records.first_mut().unwrap().record.epoch = 1),
        changed(|c| c.records.first_mut().unwrap().record.epoch = 3),
        changed(|c| c.records.push(put(2, None, b"again"))),
        changed(|c| c.head.buckets.truncate(255)),
        changed(|c| c.head.buckets.push([0; 32])),
        changed(|c| c.documents.push(document("", None, b""))),
        changed(|c| c.documents.push(document("A", None, b""))),
        changed(|c| c.documents.push(document(&"a".repeat(129), None, b""))),
        changed(|c| c.documents = vec![document("a", None, b""), document("a", None, b"")]),
        changed(|c| c.records = (10..=60).map(|n| put(n, None, b"many")).collect()),
    ];
    for (number, commit) in refusals.into_iter().enumerate() {
        let error = unchanged_by(&*store, commit).await;
        assert!(matches!(error, StoreError::Refused { .. }), "refusal {number}: {error:?}");
    }
    let error = store.put_document(document("a b", None, b"")).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
    store.commit(good()).await.unwrap();
}

async fn the_largest_commit_is_taken(store: Arc<dyn KeyStore>) {
    let records = (0..Commit::MAX_RECORDS).map(|n| put(u8::try_from(n).unwrap(), None, &[7; 4096]));
    store.commit(commit(None, records.collect())).await.unwrap();
    assert_eq!(store.records(None, 1000).await.unwrap().len(), Commit::MAX_RECORDS);
}

async fn records_come_in_order_and_in_pages(store: Arc<dyn KeyStore>) {
    let records = [9, 200, 0, 255, 1, 128].map(|n| put(n, None, b"any"));
    store.commit(commit(None, records.to_vec())).await.unwrap();
    let page = async |after: Option<u8>, limit| -> Vec<KeyId> {
        let records = store.records(after.map(id), limit).await.unwrap();
        records.into_iter().map(|record| record.id).collect()
    };
    let ids = |numbers: &[u8]| numbers.iter().copied().map(id).collect::<Vec<_>>();
    assert_eq!(page(None, 100).await, ids(&[0, 1, 9, 128, 200, 255]));
    assert_eq!(page(None, 2).await, ids(&[0, 1]));
    assert_eq!(page(Some(1), 2).await, ids(&[9, 128]));
    assert_eq!(page(Some(100), 9).await, ids(&[128, 200, 255]));
    assert_eq!(page(Some(255), 9).await, []);
    assert_eq!(page(None, 0).await, []);
    assert_eq!(page(None, usize::MAX).await.len(), 6);
}

async fn documents_are_compared_and_swapped(store: Arc<dyn KeyStore>) {
    let put =
        async |revision, bytes: &[u8]| store.put_document(document("facts", revision, bytes)).await;
    let conflict = |result| matches!(result, Err(StoreError::Conflict { .. }));
    assert!(conflict(put(Some(1), b"of nothing").await));
    assert_eq!(put(None, b"one").await.unwrap(), 1);
    assert!(conflict(put(None, b"again").await));
    assert_eq!(put(Some(1), b"two").await.unwrap(), 2);
    assert!(conflict(put(Some(1), b"stale").await));
    assert!(conflict(put(Some(3), b"ahead").await));
    let found = store.document("facts").await.unwrap();
    assert_eq!(found, Some(Document { revision: 2, bytes: b"two".to_vec() }));
    assert_eq!(store.head().await.unwrap(), None, "documents are not under the head");
    assert_eq!(*store.watch().borrow(), 0);
}

async fn documents_come_by_prefix_in_order_and_in_pages(store: Arc<dyn KeyStore>) {
    for name in ["b/2", "b/10", "a/1", "b", "b-1", "b/1", "b/1/x", "b0", "c"] {
        store.put_document(document(name, None, name.as_bytes())).await.unwrap();
    }
    let page = async |prefix, after, limit| -> Vec<String> {
        let found = store.documents(prefix, after, limit).await.unwrap();
        let whole = |named: NamedDocument| {
            assert_eq!(
                (named.document.revision, named.document.bytes),
                (1, named.name.clone().into())
            );
            named.name
        };
        found.into_iter().map(whole).collect()
    };
    assert_eq!(page("b/", None, 9).await, ["b/1", "b/1/x", "b/10", "b/2"]);
    assert_eq!(page("b/", None, 2).await, ["b/1", "b/1/x"]);
    assert_eq!(page("b/", Some("b/1/x"), 9).await, ["b/10", "b/2"]);
    assert_eq!(page("b/", Some("a"), 1).await, ["b/1"]);
    assert_eq!(page("b", None, 9).await, ["b", "b-1", "b/1", "b/1/x", "b/10", "b/2", "b0"]);
    assert_eq!(page("d", None, 9).await, [""; 0]);
    assert_eq!(page("b/", Some("b/2"), 9).await, [""; 0]);
    assert_eq!(page("b/", None, 0).await, [""; 0]);
    let error = store.documents("B%", None, 9).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
}

async fn several_documents_are_written_together_or_not_at_all(store: Arc<dyn KeyStore>) {
    let both = vec![document("a", None, b"one"), document("b", None, b"one")];
    store.put_documents(both).await.unwrap();
    // The good one comes first: its write must be undone.
    let stale = vec![document("a", Some(1), b"two"), document("b", Some(2), b"stale")];
    let error = store.put_documents(stale).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");
    assert!(error.to_string().contains("\"b\""), "{error}");
    let twice = vec![document("a", Some(1), b"two"), document("a", Some(1), b"two")];
    let error = store.put_documents(twice).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
    let found = store.document("a").await.unwrap();
    assert_eq!(found, Some(Document { revision: 1, bytes: b"one".to_vec() }));
    store.put_documents(Vec::new()).await.unwrap();
}

async fn a_document_is_removed_only_at_the_expected_revision(store: Arc<dyn KeyStore>) {
    store.put_document(document("a", None, b"one")).await.unwrap();
    store.put_document(document("a", Some(1), b"two")).await.unwrap();
    for (name, revision) in [("a", 1), ("a", 3), ("b", 1)] {
        let error = store.remove_document(name, revision).await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");
    }
    assert!(store.document("a").await.unwrap().is_some());
    store.remove_document("a", 2).await.unwrap();
    assert_eq!(store.document("a").await.unwrap(), None);
    assert_eq!(store.put_document(document("a", None, b"new")).await.unwrap(), 1);
}

async fn of_two_writers_one_wins(store: Arc<dyn KeyStore>) {
    store.commit(commit(None, vec![put(1, None, b"one")])).await.unwrap();
    let writers: Vec<_> = (0..8_u8)
        .map(|writer| {
            let store = Arc::clone(&store);
            let commit = commit(Some(1), vec![put(1, Some(1), &[writer])]);
            tokio::spawn(async move { (writer, store.commit(commit).await) })
        })
        .collect();
    let mut winners = Vec::new();
    for writer in writers {
        match writer.await.unwrap() {
            (writer, Ok(())) => winners.push(writer),
            (_, Err(StoreError::Conflict { .. })) => {}
            (_, Err(error)) => panic!("{error:?}"),
        }
    }
    assert_eq!(winners.len(), 1, "{winners:?} won");
    assert_eq!(store.record(id(1)).await.unwrap().unwrap().body, winners);
}

async fn no_update_is_lost_between_writers(store: Arc<dyn KeyStore>) {
    const WRITERS: u32 = 4;
    const EACH: u32 = 5;
    store.commit(commit(None, vec![put(1, None, &0_u32.to_be_bytes())])).await.unwrap();
    let add_one = async |store: &dyn KeyStore| loop {
        let head = store.head().await.unwrap().unwrap();
        let record = store.record(id(1)).await.unwrap().unwrap();
        let count = u32::from_be_bytes(record.body.try_into().unwrap()) + 1;
        let put = put(1, Some(record.epoch), &count.to_be_bytes());
        match store.commit(commit(Some(head.generation), vec![put])).await {
            Ok(()) => break,
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    };
    let writer = async || {
        for _ in 0..EACH {
            add_one(&*store).await;
        }
    };
    tokio::join!(writer(), writer(), writer(), writer());
    let record = store.record(id(1)).await.unwrap().unwrap();
    assert_eq!(record.body, (WRITERS * EACH).to_be_bytes());
    assert_eq!(record.epoch, u64::from(WRITERS * EACH) + 1);
}

async fn a_watcher_sees_each_commit(store: Arc<dyn KeyStore>) {
    let mut watcher = store.watch();
    store.commit(commit(None, Vec::new())).await.unwrap();
    timeout(Duration::from_secs(5), watcher.wait_for(|&g| g == 1)).await.unwrap().unwrap();
    store.commit(commit(Some(1), Vec::new())).await.unwrap();
    timeout(Duration::from_secs(5), watcher.wait_for(|&g| g == 2)).await.unwrap().unwrap();
    store.commit(commit(Some(1), Vec::new())).await.unwrap_err();
    assert_eq!(*watcher.borrow(), 2, "a refused commit moves nothing");
    assert_eq!(*store.watch().borrow(), 2, "a late watcher sees the present");
}

async fn a_lease_has_one_holder(store: Arc<dyn KeyStore>) {
    let long = Duration::from_secs(600);
    let take = async |name, holder, term| store.lease(name, holder, term).await.unwrap();
    assert!(take("leader", "a", long).await);
    assert!(take("leader", "a", long).await, "a holder may renew");
    assert!(!take("leader", "b", long).await);
    assert!(!take("leader", "b", Duration::ZERO).await, "only the holder gives it up");
    assert!(!take("leader", "b", long).await);
    assert!(take("another", "b", long).await);
    assert!(take("leader", "a", Duration::ZERO).await);
    assert!(take("leader", "b", long).await, "it was given up");

    assert!(take("short", "a", Duration::from_millis(50)).await);
    sleep(Duration::from_millis(1200)).await;
    assert!(take("short", "b", long).await, "it ran out");
    assert!(!take("short", "a", long).await);

    for (name, holder) in [("", "a"), ("leader", ""), ("A", "a"), ("leader", "a b")] {
        let error = store.lease(name, holder, long).await.unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
    }
}

async fn refused_as_conflict(store: &dyn KeyStore, commit: Commit, what: &str) {
    let error = unchanged_by(store, commit).await;
    assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");
    assert!(error.to_string().contains(what), "{error} does not name {what}");
}

/// The error of a commit after which everything is as it was.
async fn unchanged_by(store: &dyn KeyStore, commit: Commit) -> StoreError {
    let seen = async || {
        let mut documents = Vec::new();
        for put in &commit.documents {
            documents.push(store.document(&put.name).await.ok());
        }
        let records = store.records(None, 1000).await.unwrap();
        (store.head().await.unwrap(), records, documents, *store.watch().borrow())
    };
    let before = seen().await;
    let error = store.commit(commit.clone()).await.unwrap_err();
    assert_eq!(before, seen().await);
    error
}

fn id(number: u8) -> KeyId {
    KeyId::from_bytes([number; KeyId::LENGTH])
}

fn put(number: u8, expected_epoch: Option<u64>, body: &[u8]) -> PutRecord {
    let epoch = expected_epoch.unwrap_or(0) + 1;
    let mac = [number; 32];
    let record = StoredRecord { id: id(number), epoch, body: body.to_vec(), mac, mac_key: 1 };
    PutRecord { expected_epoch, record }
}

fn document(name: &str, expected_revision: Option<u64>, bytes: &[u8]) -> PutDocument {
    PutDocument { name: name.to_owned(), expected_revision, bytes: bytes.to_vec() }
}

fn commit(expected_generation: Option<u64>, records: Vec<PutRecord>) -> Commit {
    let generation = expected_generation.unwrap_or(0) + 1;
    let buckets = (0..=255).map(|bucket| [bucket; 32]).collect();
    let head = StoredHead { generation, buckets, mac: [0xee; 32], mac_key: 3 };
    Commit { expected_generation, head, records, documents: Vec::new() }
}
