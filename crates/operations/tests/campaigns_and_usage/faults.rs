use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::{Duration, Instant},
};

use claviger_audit::AuditResult;
use claviger_keystore::PutDocument;
use claviger_kms::{CreateKey, ErrorCode, KeyManagementService as _};

use crate::{Bench, FailingStore, data_key, decrypt, kms, path};

async fn wraps(kms: &claviger_operations::LocalKms, key: &str) -> u64 {
    let usage = kms.key_usage(&path(key)).await.unwrap();
    usage.versions[0].callers.iter().map(|caller| caller.wraps.count).sum()
}

/// A reserve lasts over an outage of the store; what nothing durable covers is refused within two seconds.
#[tokio::test]
async fn a_use_that_cannot_be_counted_is_refused_and_what_is_in_reserve_is_served() {
    let bench = Bench::new().await;
    let store = FailingStore::over(bench.store());
    let operations = bench.start_on(Arc::clone(&store) as _).await;
    let admin = kms(&operations, "admin");
    admin.create_key(CreateKey::at(path("eu"))).await.unwrap();
    let wrapped = data_key(&admin, "eu").await.unwrap();

    store.refuses.store(true, SeqCst);
    for _ in 0..50 {
        data_key(&admin, "eu").await.unwrap();
    }
    let begun = Instant::now();
    // No unwrap of this caller was counted before.
    assert_eq!(decrypt(&admin, &wrapped).await.unwrap_err().code(), ErrorCode::Unavailable);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    let last = bench.records().pop().unwrap();
    assert_eq!(last.entry.result, AuditResult::Failed(ErrorCode::Unavailable));
    data_key(&admin, "eu").await.unwrap();

    store.refuses.store(false, SeqCst);
    decrypt(&admin, &wrapped).await.unwrap();
    assert_eq!(wraps(&admin, "eu").await, 52);
    operations.stop().await;
}

#[tokio::test]
async fn a_write_whose_reply_was_lost_is_written_again_over_itself() {
    let bench = Bench::new().await;
    let store = FailingStore::over(bench.store());
    let operations = bench.start_on(Arc::clone(&store) as _).await;
    let admin = kms(&operations, "admin");
    admin.create_key(CreateKey::at(path("eu"))).await.unwrap();
    for number in 1..=3 {
        store.loses_replies.store(true, SeqCst);
        let caller = kms(&operations, &format!("admin-{number}"));
        data_key(&caller, "eu").await.unwrap();
        assert!(!store.loses_replies.load(SeqCst), "nothing was written");
        assert_eq!(wraps(&admin, "eu").await, number);
    }
    operations.stop().await;
}

/// Reading says that the numbers are not to be believed; counting begins anew and says since when.
#[tokio::test]
async fn altered_counters_are_not_believed_and_begin_anew() {
    let (bench, operations) = Bench::with_keys().await;
    let admin = kms(&operations, "admin");
    let wrapped = data_key(&admin, "eu").await.unwrap();
    let usage = admin.key_usage(&path("eu")).await.unwrap();
    let began = usage.versions[0].counted_since.unwrap();
    operations.stop().await;
    drop((admin, operations));

    let store = bench.store();
    let name = format!("usage/{}/1", usage.key_id);
    let found = store.document(&name).await.unwrap().unwrap();
    let text = String::from_utf8(found.bytes).unwrap();
    let bytes = text.replace(r#"\"count\":1"#, r#"\"count\":0"#).into_bytes();
    assert_ne!(bytes, text.as_bytes());
    let put = PutDocument { name, expected_revision: Some(found.revision), bytes };
    store.put_document(put).await.unwrap();
    drop(store);

    let operations = bench.start().await;
    let admin = kms(&operations, "admin");
    let refused = admin.key_usage(&path("eu")).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Unavailable);
    decrypt(&admin, &wrapped).await.unwrap();
    let usage = admin.key_usage(&path("eu")).await.unwrap();
    assert!(usage.versions[0].counted_since.unwrap() > began);
    operations.stop().await;
}
