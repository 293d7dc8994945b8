//! Appending, sharing, rotating, closing.

mod common;

use std::{sync::Arc, time::Duration};

use claviger_audit::{AuditError, AuditLog, Ended, Phase, read_segment, segments};
use claviger_kms::EncryptionContext;
use common::{emergency, entry, fill, home, open, records, rotation, small};
use sha2::{Digest as _, Sha256};

#[tokio::test]
async fn what_was_acknowledged_is_read_back_field_by_field() {
    let (_home, directory) = home();
    let (log, recovered) = open(&directory).await;
    let mut sent = emergency();
    sent.foreign_request = Some("trace-1".parse().unwrap());
    sent.rule = Some("ops-may-quarantine".parse().unwrap());
    let first = log.append(sent.clone()).await.unwrap();
    let second = log.append(rotation(7)).await.unwrap();
    assert_eq!((first.number(), second.number()), (1, 2));
    // No need to close: it is there when `append` returns.
    let read = records(&directory);
    assert_eq!(read[0].entry, sent);
    assert_eq!(read[0].entry.phase, Phase::Intent);
    assert_eq!(read[1].entry.change.unwrap().generation, 7);
    assert_eq!((read[0].durable, read[1].durable), (0, 1));
    assert!(read.iter().all(|record| record.instance == recovered.instance));
    assert!(read[0].monotonic_us <= read[1].monotonic_us);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_appends_share_syncs() {
    let (_home, directory) = home();
    let (log, _) = open(&directory).await;
    let log = Arc::new(log);
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                let mut last = 0;
                for _ in 0..20 {
                    let number = log.append(entry()).await.unwrap().number();
                    assert!(number > last, "a later append has a smaller number");
                    last = number;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let health = log.health();
    assert_eq!((health.records, health.next_sequence), (1280, 1281));
    assert!(health.syncs * 4 < health.records, "{health:?}");
    log.close().await;
    assert_eq!(records(&directory).len(), 1280);
}

#[tokio::test]
async fn a_batch_gets_consecutive_numbers_and_one_sync() {
    let (_home, directory) = home();
    let (log, _) = open(&directory).await;
    let before = log.health().syncs;
    let numbers = log.append_all((0..100).map(|_| entry()).collect()).await.unwrap();
    let numbers: Vec<u64> = numbers.iter().map(|n| n.number()).collect();
    assert_eq!(numbers, (1..=100).collect::<Vec<_>>());
    assert_eq!(log.health().syncs - before, 1);
    assert_eq!(log.append_all(Vec::new()).await.unwrap(), []);
}

#[tokio::test]
async fn rotation_keeps_the_numbers_and_the_chain() {
    let (_home, directory) = home();
    let (log, _) = open(&directory).await;
    log.append(rotation(41)).await.unwrap();
    fill(&log, 25_000).await;
    log.close().await;
    assert_eq!(records(&directory).len(), 25_001);
    let paths = segments(&directory).unwrap();
    assert!(paths.len() >= 3, "only {} segments", paths.len());
    for pair in paths.windows(2) {
        let header = read_segment(&pair[1]).unwrap().header().clone();
        let previous = header.previous.unwrap();
        let content = std::fs::read(&pair[0]).unwrap();
        assert!(content.len() <= 4 << 20);
        assert_eq!(previous.bytes, content.len() as u64);
        assert_eq!(previous.sha256.as_bytes()[..], Sha256::digest(&content)[..]);
        assert_eq!(previous.ended, Ended::Full);
        assert_eq!(header.highest_generation, 41);
    }
    let (log, recovered) = open(&directory).await;
    assert_eq!((recovered.next_sequence, recovered.highest_generation), (25_002, 41));
    assert_eq!((recovered.torn_bytes, recovered.segments), (0, paths.len()));
    assert_eq!(log.append(entry()).await.unwrap().number(), 25_002);
}

#[tokio::test]
async fn a_second_open_is_refused_until_the_first_is_closed() {
    let (_home, directory) = home();
    let (log, _) = open(&directory).await;
    let second = AuditLog::open(small(&directory)).await;
    assert!(matches!(second, Err(AuditError::InUse { .. })), "{second:?}");
    log.append(entry()).await.unwrap();
    log.close().await;
    log.close().await;
    assert!(matches!(log.append(entry()).await, Err(AuditError::Closed)));
    assert!(!log.health().is_ok());
    let (_log, recovered) = open(&directory).await;
    assert_eq!(recovered.next_sequence, 2);
}

#[tokio::test]
async fn closing_writes_what_waits() {
    let (_home, directory) = home();
    let (log, _) = open(&directory).await;
    let log = Arc::new(log);
    let (sent, mut answers) = (Arc::clone(&log), tokio::task::JoinSet::new());
    for _ in 0..50 {
        let log = Arc::clone(&sent);
        answers.spawn(async move { log.append(entry()).await });
    }
    tokio::task::yield_now().await;
    log.close().await;
    let mut acknowledged = 0;
    while let Some(answer) = answers.join_next().await {
        match answer.unwrap() {
            Ok(_) => acknowledged += 1,
            Err(AuditError::Closed) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert!(acknowledged > 0);
    assert_eq!(records(&directory).len(), acknowledged);
}

#[tokio::test]
async fn a_removed_or_moved_directory_refuses_entries_and_one_put_back_takes_them() {
    let (home, directory) = home();
    let (log, _) = open(&directory).await;
    log.append(entry()).await.unwrap();
    let aside = home.path().join("aside");
    std::fs::rename(&directory, &aside).unwrap();
    for _ in 0..3 {
        let refused = log.append(entry()).await;
        assert!(matches!(refused, Err(AuditError::Failing { .. })), "{refused:?}");
    }
    let reason = log.health().failing.unwrap().reason;
    assert!(reason.contains("moved or removed"), "{reason}");
    // A new directory at the same place is not the log.
    std::fs::create_dir(&directory).unwrap();
    assert!(log.append(entry()).await.is_err());
    std::fs::remove_dir(&directory).unwrap();
    std::fs::rename(&aside, &directory).unwrap();
    // The health recovers without anyone appending.
    for _ in 0..50 {
        if log.health().is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(log.health().is_ok(), "{:?}", log.health());
    assert_eq!(log.append(entry()).await.unwrap().number(), 2);
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(log.append(entry()).await.is_err());
}

#[tokio::test]
async fn no_byte_of_a_context_is_in_the_file() {
    let (_home, directory) = home();
    let (log, _) = open(&directory).await;
    let context = EncryptionContext::from_pairs([("patient", "Q7XK-marker")]).unwrap();
    let key = claviger_kms::SecretKey::make_random().unwrap();
    let hasher = claviger_audit::KeyedHasher::new(key, claviger_kms::KeyVersion::FIRST);
    let hash = hasher.hash("context", &context.canonical_bytes()).unwrap();
    let mut sent = entry();
    sent.context_hash = Some(hash);
    log.append(sent).await.unwrap();
    let content = std::fs::read_to_string(&segments(&directory).unwrap()[0]).unwrap();
    assert!(content.contains(&hash.to_string()), "the positive control");
    assert!(!content.contains("marker") && !content.contains("patient"));
}

#[tokio::test]
async fn files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_home, directory) = home();
    let (log, _) = open(&directory).await;
    log.append(entry()).await.unwrap();
    for item in std::fs::read_dir(&directory).unwrap() {
        let item = item.unwrap();
        let mode = item.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", item.path().display());
    }
}
