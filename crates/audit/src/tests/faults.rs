//! A disk whose `fsync` fails, and one that hangs.

use std::{
    io::ErrorKind,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use claviger_kms::{Action, RequestId};
use tempfile::TempDir;

use super::{Fault, Faults, Operation};
use crate::{
    AuditConfig, AuditDecision, AuditError, AuditLog, AuditResult, Ended, Entry, disk::Disk,
    read_segment, segments,
};

async fn open(deadline: Duration) -> (TempDir, PathBuf, AuditLog, Faults) {
    let home = tempfile::tempdir().unwrap();
    let mut config = AuditConfig::in_directory(home.path().join("audit"));
    config.segment_bytes = 4 << 20;
    config.reserve_bytes = 1 << 20;
    config.deadline = deadline;
    let directory = config.directory.clone();
    let disk = Disk::default();
    let faults = disk.faults.clone();
    let (log, _) = AuditLog::open_on(config, disk).await.unwrap();
    (home, directory, log, faults)
}

fn entry() -> Entry {
    let request = RequestId::make_random().unwrap();
    Entry::new(request, Action::Encrypt, AuditDecision::Allowed, AuditResult::Done)
}

/// Closes, opens again on a sound disk, and returns the next number.
async fn next_after_reopening(log: AuditLog, directory: &Path) -> u64 {
    log.close().await;
    let mut config = AuditConfig::in_directory(directory);
    config.segment_bytes = 4 << 20;
    config.reserve_bytes = 1 << 20;
    let (log, recovered) = AuditLog::open(config).await.unwrap();
    log.close().await;
    recovered.next_sequence
}

/// PostgreSQL learned in 2018 that a second `fsync` on the same file may succeed although the first
/// one's pages were lost. So the file is left, and what was not acknowledged is written elsewhere.
#[tokio::test]
async fn a_failed_sync_moves_the_unacknowledged_records_to_a_new_segment() {
    let (_home, directory, log, faults) = open(Duration::from_secs(2)).await;
    log.append(entry()).await.unwrap();
    faults.add(Operation::Sync, Fault::Fails(ErrorKind::Other));
    assert_eq!(log.append(entry()).await.unwrap().number(), 2);
    assert_eq!(log.append(entry()).await.unwrap().number(), 3);
    assert!(log.health().is_ok());
    let paths = segments(&directory).unwrap();
    let header = read_segment(&paths[1]).unwrap().header().clone();
    assert_eq!(header.previous.unwrap().ended, Ended::Failed);
    assert_eq!(header.first_sequence.number(), 2);
    // The surplus of the failed file is cut, so that no record stands twice.
    assert_eq!(read_segment(&paths[0]).unwrap().count(), 1);
    assert_eq!(next_after_reopening(log, &directory).await, 4);
}

#[tokio::test]
async fn a_disk_that_fails_twice_acknowledges_nothing_and_recovers() {
    let (_home, directory, log, faults) = open(Duration::from_secs(2)).await;
    log.append(entry()).await.unwrap();
    for _ in 0..2 {
        faults.add(Operation::Sync, Fault::Fails(ErrorKind::Other));
    }
    let refused = log.append(entry()).await;
    assert!(matches!(refused, Err(AuditError::Failing { .. })), "{refused:?}");
    assert!(!log.health().is_ok());
    faults.clear();
    assert_eq!(log.append(entry()).await.unwrap().number(), 2);
    assert!(log.health().is_ok());
    assert_eq!(next_after_reopening(log, &directory).await, 3);
}

/// The header of the new segment is durable, its records are not: the next attempt must neither
/// write to the old segment again nor leave two segments that begin with the same record.
#[tokio::test]
async fn a_new_segment_that_fails_too_is_replaced() {
    let (_home, directory, log, faults) = open(Duration::from_secs(2)).await;
    log.append(entry()).await.unwrap();
    faults.add(Operation::Sync, Fault::Fails(ErrorKind::Other)); // the first segment
    faults.add(Operation::Write, Fault::Hangs(Duration::ZERO)); // the new one's header
    faults.add(Operation::Write, Fault::Fails(ErrorKind::Other)); // its records
    let refused = log.append(entry()).await;
    assert!(matches!(refused, Err(AuditError::Failing { .. })), "{refused:?}");
    let second = segments(&directory).unwrap().pop().unwrap();
    let distrusted = std::fs::metadata(&second).unwrap().ino();
    let numbers = log.append_all((0..300).map(|_| entry()).collect()).await.unwrap();
    assert_eq!(numbers[0].number(), 2);
    assert_eq!(segments(&directory).unwrap().len(), 2);
    assert_ne!(std::fs::metadata(&second).unwrap().ino(), distrusted, "the same file again");
    assert_eq!(next_after_reopening(log, &directory).await, 302);
}

#[tokio::test]
async fn a_write_refused_for_want_of_room_is_undone_and_tried_again() {
    let (_home, directory, log, faults) = open(Duration::from_secs(2)).await;
    log.append(entry()).await.unwrap();
    faults.add(Operation::Write, Fault::Fails(ErrorKind::StorageFull));
    let refused = log.append(entry()).await;
    assert!(matches!(refused, Err(AuditError::Full { .. })), "{refused:?}");
    assert_eq!(log.append(entry()).await.unwrap().number(), 2);
    assert_eq!(segments(&directory).unwrap().len(), 1);
    assert_eq!(next_after_reopening(log, &directory).await, 3);
}

#[tokio::test]
async fn a_hanging_disk_costs_one_deadline_and_then_nothing() {
    let (_home, directory, log, faults) = open(Duration::from_millis(200)).await;
    faults.add(Operation::Sync, Fault::Hangs(Duration::from_millis(1500)));
    let begun = Instant::now();
    let late = log.append(entry()).await;
    assert!(matches!(late, Err(AuditError::TimedOut { .. })), "{late:?}");
    assert!(begun.elapsed() < Duration::from_millis(800), "{:?}", begun.elapsed());
    tokio::time::sleep(Duration::from_millis(20)).await;
    let begun = Instant::now();
    for _ in 0..100 {
        let refused = log.append(entry()).await;
        assert!(matches!(refused, Err(AuditError::Failing { .. })), "{refused:?}");
    }
    assert!(begun.elapsed() < Duration::from_millis(100), "{:?}", begun.elapsed());
    assert!(!log.health().is_ok());
    tokio::time::sleep(Duration::from_millis(1600)).await;
    assert!(log.health().is_ok(), "{:?}", log.health());
    // The late one became durable: it holds its number, though nobody was told.
    assert_eq!(log.append(entry()).await.unwrap().number(), 2);
    assert_eq!(next_after_reopening(log, &directory).await, 3);
}

#[tokio::test]
async fn an_entry_whose_time_passed_before_its_turn_is_not_written() {
    let (_home, directory, log, faults) = open(Duration::from_millis(300)).await;
    faults.add(Operation::Sync, Fault::Hangs(Duration::from_millis(700)));
    let (first, second) = tokio::join!(log.append(entry()), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        log.append(entry()).await
    });
    assert!(matches!(first, Err(AuditError::TimedOut { .. })), "{first:?}");
    assert!(matches!(second, Err(AuditError::TimedOut { .. })), "{second:?}");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(next_after_reopening(log, &directory).await, 2);
}

/// As on a really full disk (`tests/full_disk.rs`), for machines where none can be mounted.
#[tokio::test]
async fn without_a_next_segment_only_emergencies_use_the_reserve() {
    let (_home, directory, log, faults) = open(Duration::from_secs(2)).await;
    // The spare that exists is used; then every allocation fails.
    for _ in 0..1000 {
        faults.add(Operation::Allocate, Fault::Fails(ErrorKind::StorageFull));
    }
    let refused = loop {
        let batch = (0..256).map(|_| entry()).collect();
        if let Err(error) = log.append_all(batch).await {
            break error;
        }
    };
    assert!(matches!(refused, AuditError::Full { .. }), "{refused}");
    let written = log.health().records;
    assert_eq!(segments(&directory).unwrap().len(), 2);
    // One at a time until not even the smallest fits: then the health says so.
    while log.append(entry()).await.is_ok() {}
    assert!(log.health().failing.unwrap().reason.contains("make room"));
    let mut urgent = entry();
    urgent.emergency = true;
    let mut taken = 0;
    while log.append(urgent.clone()).await.is_ok() {
        taken += 1;
    }
    assert!(taken > 1000, "the reserve took {taken} of {written}");
    faults.clear();
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(log.health().is_ok(), "{:?}", log.health());
    let next = log.append(entry()).await.unwrap().number() + 1;
    assert_eq!(next_after_reopening(log, &directory).await, next);
}

/// Where the failed file cannot even be cut, its successor's header says where it ends.
#[tokio::test]
async fn what_a_failed_segment_holds_beyond_its_end_does_not_count() {
    let (_home, directory, log, faults) = open(Duration::from_secs(2)).await;
    log.append(entry()).await.unwrap();
    faults.add(Operation::Sync, Fault::Fails(ErrorKind::Other));
    log.append(entry()).await.unwrap();
    let first = segments(&directory).unwrap().remove(0);
    let mut content = std::fs::read(&first).unwrap();
    content.extend_from_slice(b"never acknowledged");
    std::fs::write(&first, content).unwrap();
    assert_eq!(next_after_reopening(log, &directory).await, 3);
}

/// The sync succeeds, on a file that nobody will find.
#[tokio::test]
async fn a_directory_moved_during_the_sync_is_noticed_before_the_acknowledgement() {
    let (home, directory, log, faults) = open(Duration::from_secs(2)).await;
    faults.add(Operation::Sync, Fault::Hangs(Duration::from_millis(300)));
    let (refused, ()) = tokio::join!(log.append(entry()), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        std::fs::rename(&directory, home.path().join("aside")).unwrap();
    });
    assert!(matches!(refused, Err(AuditError::Failing { .. })), "{refused:?}");
}

/// What a watchdog asks: a disk that refuses has answered, one that hangs has not.
#[tokio::test]
async fn a_disk_that_fails_answers_and_one_that_hangs_does_not() {
    let (_home, directory, log, faults) = open(Duration::from_millis(200)).await;
    log.append(entry()).await.unwrap();
    assert!(log.answers().await);
    faults.add(Operation::Sync, Fault::Fails(ErrorKind::Other));
    assert!(log.answers().await);
    faults.clear();
    faults.add(Operation::Sync, Fault::Hangs(Duration::from_millis(900)));
    assert!(!log.answers().await);
    assert!(!log.answers().await);
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert!(log.answers().await);
    assert_eq!(log.append(entry()).await.unwrap().number(), 2, "a question was recorded");
    assert_eq!(next_after_reopening(log, &directory).await, 3);
}
