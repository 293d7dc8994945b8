//! A file system that is really full, or really read-only: a small tmpfs in a mount namespace of its
//! own. Where the machine allows neither `unshare` nor mounting, the tests print SKIP.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::{
    fs,
    time::{Duration, Instant},
};

use claviger_audit::{AuditError, AuditLog};
use claviger_testkit::{fill_up, on_tmpfs};
use common::{emergency, entry, open, records, small};

/// Appends until one is refused, and returns the refusal.
async fn until_refused(log: &AuditLog) -> AuditError {
    loop {
        let batch = (0..256).map(|_| entry()).collect();
        if let Err(error) = log.append_all(batch).await {
            return error;
        }
    }
}

#[tokio::test]
async fn a_full_disk_refuses_at_once_keeps_room_for_emergencies_and_recovers_by_itself() {
    let name = "a_full_disk_refuses_at_once_keeps_room_for_emergencies_and_recovers_by_itself";
    let Some(disk) = on_tmpfs(name, "size=24m") else { return };
    let directory = disk.join("audit");
    let (log, _) = open(&directory).await;
    assert!(log.health().preallocated);
    let ballast = fill_up(&disk);

    // The disk is full, and yet the segment and the spare one take what they were made for.
    let first = log.append(entry()).await.unwrap();
    assert_eq!(first.number(), 1);
    let refused = until_refused(&log).await;
    assert!(matches!(&refused, AuditError::Full { directory: d } if *d == directory), "{refused}");
    let written = log.health().records;
    assert!(written > 10_000, "only {written} records fitted");

    let begun = Instant::now();
    assert!(matches!(until_refused(&log).await, AuditError::Full { .. }));
    assert!(begun.elapsed() < Duration::from_secs(1));
    let reason = log.health().failing.unwrap().reason;
    assert!(reason.contains("make room"), "{reason}");

    // The reserve: a quarantine is recorded, a thousand times over, while others stay refused.
    for _ in 0..1000 {
        log.append(emergency()).await.unwrap();
    }
    assert!(!log.health().is_ok());
    assert!(matches!(log.append(entry()).await, Err(AuditError::Full { .. })));
    // Mixed with an ordinary entry it is ordinary.
    let mixed = log.append_all(vec![emergency(), entry()]).await;
    assert!(matches!(mixed, Err(AuditError::Full { .. })));

    // A restart on the full disk finds everything and the same room.
    log.close().await;
    let (log, recovered) = open(&directory).await;
    assert!(!log.health().is_ok());
    let count = recovered.next_sequence - 1;
    assert_eq!(count, log.health().next_sequence - 1);
    assert!(matches!(log.append(entry()).await, Err(AuditError::Full { .. })));
    log.append(emergency()).await.unwrap();

    fs::remove_file(ballast).unwrap();
    for _ in 0..50 {
        if log.health().is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(log.health().is_ok(), "{:?}", log.health());
    log.append(entry()).await.unwrap();
    log.close().await;
    assert_eq!(records(&directory).len() as u64, count + 2);
}

#[tokio::test]
async fn a_disk_without_room_for_one_segment_is_refused_at_open() {
    let name = "a_disk_without_room_for_one_segment_is_refused_at_open";
    let Some(disk) = on_tmpfs(name, "size=2m") else { return };
    let refused = AuditLog::open(small(&disk.join("audit"))).await;
    assert!(matches!(refused, Err(AuditError::Full { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_read_only_file_system_is_refused_at_open() {
    let name = "a_read_only_file_system_is_refused_at_open";
    let Some(disk) = on_tmpfs(name, "ro") else { return };
    for directory in [disk.join("audit"), disk] {
        let refused = AuditLog::open(small(&directory)).await;
        assert!(matches!(refused, Err(AuditError::Unusable { .. })), "{refused:?}");
    }
}
