use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::{Duration, Instant},
};

use claviger_keystore::PutDocument;
use claviger_kms::{CreateKey, ErrorCode, KeyManagementService as _};

use crate::{Bench, FailingStore, data_key, decrypt, kms, path};

async fn wraps(kms: &claviger_operations::LocalKms, key: &str) -> u64 {
    let usage = kms.key_usage(&path(key)).await.unwrap();
    usage.versions[0].callers.iter().map(|caller| caller.wraps.count).sum()
}

/// Refusing what cannot be counted would stop every warm key with the store: the audit log has the use.
#[tokio::test]
async fn while_the_store_cannot_be_written_uses_go_on_and_are_counted_once_it_is_back() {
    let bench = Bench::new().await;
    let store = FailingStore::over(bench.store());
    let operations = bench.start_on(Arc::clone(&store) as _).await;
    let admin = kms(&operations, "admin");
    admin.create_key(CreateKey::at(path("eu"))).await.unwrap();
    let wrapped = data_key(&admin, "eu").await.unwrap();

    store.refuses.store(true, SeqCst);
    let begun = Instant::now();
    for _ in 0..50 {
        data_key(&admin, "eu").await.unwrap();
        // No unwrap of this caller was counted before.
        decrypt(&admin, &wrapped).await.unwrap();
    }
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());

    store.refuses.store(false, SeqCst);
    operations.stop().await;
    drop((admin, operations));
    let operations = bench.start_on(Arc::clone(&store) as _).await;
    assert_eq!(wraps(&kms(&operations, "admin"), "eu").await, 51);
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
        let begun = Instant::now();
        while store.loses_replies.load(SeqCst) {
            assert!(begun.elapsed() < Duration::from_secs(10), "nothing was written");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
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
