//! What opening repairs, and what it refuses.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod common;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use claviger_audit::{AuditError, AuditLog, Recovered, segments};
use common::{entry, fill, home, open, records, rotation, small};

async fn try_open(directory: &Path) -> Result<Recovered, AuditError> {
    let (log, recovered) = AuditLog::open(small(directory)).await?;
    log.close().await;
    Ok(recovered)
}

/// A closed log with so many records, and its last segment.
async fn written(directory: &Path, count: usize) -> PathBuf {
    let (log, _) = open(directory).await;
    fill(&log, count).await;
    log.close().await;
    segments(directory).unwrap().pop().unwrap()
}

/// Asserts that the log is refused, and why.
async fn assert_damaged(directory: &Path, file: &Path, line: u64, why: &str) {
    match try_open(directory).await {
        Err(AuditError::Damaged { file: found, line: at, what }) => {
            assert_eq!((found.as_path(), at), (file, line), "{what}");
            assert!(what.contains(why), "{what}");
        }
        other => panic!("expected damage: {why}; got {other:?}"),
    }
}

/// Line `number` of the text, from 1, replaced by what `change` makes of it.
fn change_line(path: &Path, number: usize, change: impl FnOnce(&mut Vec<u8>)) {
    let text = fs::read(path).unwrap();
    let mut lines: Vec<Vec<u8>> = text.split_inclusive(|b| *b == b'\n').map(Vec::from).collect();
    change(&mut lines[number - 1]);
    fs::write(path, lines.concat()).unwrap();
}

#[tokio::test]
async fn a_last_record_cut_at_any_byte_is_cut_off_and_counted() {
    let (_home, directory) = home();
    let last = written(&directory, 3).await;
    let whole = fs::read(&last).unwrap();
    let begins = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    for cut in begins..whole.len() {
        fs::write(&last, &whole[..cut]).unwrap();
        let recovered = try_open(&directory).await.unwrap();
        assert_eq!(recovered.next_sequence, 3, "cut at {cut}");
        assert_eq!(recovered.torn_bytes, (cut - begins) as u64);
        assert_eq!(fs::read(&last).unwrap(), whole[..begins]);
    }
    let (log, _) = open(&directory).await;
    assert_eq!(log.append(entry()).await.unwrap().number(), 3);
    assert_eq!(records(&directory).len(), 3);
}

#[tokio::test]
async fn zeros_after_the_last_record_are_cut_off() {
    let (_home, directory) = home();
    let last = written(&directory, 3).await;
    let whole = fs::read(&last).unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(&last).unwrap();
    file.write_all(&[0; 5000]).unwrap();
    assert_eq!(try_open(&directory).await.unwrap().torn_bytes, 5000);
    assert_eq!(fs::read(&last).unwrap(), whole);
}

#[tokio::test]
async fn a_hole_in_the_last_unacknowledged_write_is_cut_off_with_what_follows() {
    let (_home, directory) = home();
    // One batch, one write: none of its records says that another was durable before it.
    let last = written(&directory, 20).await;
    change_line(&last, 12, |line| {
        let end = line.len();
        line[5..end - 5].fill(0);
    });
    let recovered = try_open(&directory).await.unwrap();
    assert_eq!(recovered.next_sequence, 11);
    assert!(recovered.torn_bytes > 0);
    assert_eq!(records(&directory).len(), 10);
}

#[tokio::test]
async fn refuses_a_hole_where_a_later_record_says_one_was_durable() {
    let (_home, directory) = home();
    let (log, _) = open(&directory).await;
    for _ in 0..5 {
        log.append(entry()).await.unwrap();
    }
    log.close().await;
    let last = segments(&directory).unwrap().pop().unwrap();
    change_line(&last, 3, |line| {
        let end = line.len();
        line[5..end - 5].fill(0);
    });
    assert_damaged(&directory, &last, 3, "once durable").await;
}

#[tokio::test]
async fn refuses_a_flipped_bit_in_any_line() {
    let (_home, directory) = home();
    let last = written(&directory, 5).await;
    let whole = fs::read(&last).unwrap();
    // Bits that leave the text valid JSON, or turn a letter of a name into another one.
    for line in 1..=6 {
        for place in [3, 40, 140] {
            change_line(&last, line, |text| text[place] ^= 1);
            assert_damaged(&directory, &last, line as u64, "").await;
            fs::write(&last, &whole).unwrap();
        }
    }
    assert_eq!(try_open(&directory).await.unwrap().next_sequence, 6);
}

#[tokio::test]
async fn refuses_removed_repeated_and_swapped_records() {
    let (_home, directory) = home();
    let last = written(&directory, 6).await;
    let whole = fs::read(&last).unwrap();
    change_line(&last, 4, Vec::clear);
    assert_damaged(&directory, &last, 4, "record 4 stands where record 3").await;
    fs::write(&last, &whole).unwrap();
    change_line(&last, 4, |line| line.extend_from_within(..));
    assert_damaged(&directory, &last, 5, "record 3 stands where record 4").await;
    fs::write(&last, &whole).unwrap();
    change_line(&last, 1, Vec::clear);
    assert_damaged(&directory, &last, 1, "").await;
}

#[tokio::test]
async fn refuses_a_missing_shortened_or_altered_segment_before_the_last() {
    let (_home, directory) = home();
    written(&directory, 25_000).await;
    let paths = segments(&directory).unwrap();
    let [first, second, third] = &paths[..] else { panic!("{} segments", paths.len()) };
    let aside = directory.join("aside");

    fs::rename(second, &aside).unwrap();
    assert_damaged(&directory, third, 1, "that file is missing").await;
    fs::rename(&aside, second).unwrap();

    let whole = fs::read(second).unwrap();
    let mut altered = whole.clone();
    altered[2_000_000] ^= 1;
    fs::write(second, &altered).unwrap();
    assert_damaged(&directory, second, 0, "hash").await;
    fs::write(second, &whole[..whole.len() - 1]).unwrap();
    assert_damaged(&directory, second, 0, "bytes").await;
    fs::write(second, [&whole[..], b"\n"].concat()).unwrap();
    assert_damaged(&directory, second, 0, "bytes").await;
    fs::write(second, &whole).unwrap();

    // The oldest may be archived; a last one that is gone is found only against a checkpoint.
    fs::rename(first, &aside).unwrap();
    assert_eq!(try_open(&directory).await.unwrap().next_sequence, 25_001);
}

#[tokio::test]
async fn refuses_a_segment_under_another_name_and_an_unknown_format() {
    let (_home, directory) = home();
    let last = written(&directory, 2).await;
    let other = directory.join("audit-00000000000000000002.jsonl");
    fs::rename(&last, &other).unwrap();
    assert_damaged(&directory, &other, 1, "unlike its name").await;
    fs::write(&other, "").unwrap();
    assert_damaged(&directory, &other, 1, "").await;
}

#[tokio::test]
async fn the_highest_generation_survives_a_crash_within_the_segment() {
    let (_home, directory) = home();
    let (log, _) = open(&directory).await;
    for generation in [3, 9, 4] {
        log.append(rotation(generation)).await.unwrap();
    }
    log.close().await;
    assert_eq!(try_open(&directory).await.unwrap().highest_generation, 9);
}

/// A change whose outcome was never written is known all the same, from the start that came after it.
#[tokio::test]
async fn the_generation_that_a_start_found_counts_too() {
    let (_home, directory) = home();
    let (log, _) = open(&directory).await;
    log.append(rotation(3)).await.unwrap();
    let mut started = entry();
    started.store_generation = Some(5);
    log.append(started).await.unwrap();
    log.close().await;
    assert_eq!(try_open(&directory).await.unwrap().highest_generation, 5);
}

#[tokio::test]
async fn a_spare_segment_left_by_a_crash_is_used_again_even_if_it_was_begun() {
    let (_home, directory) = home();
    written(&directory, 2).await;
    fs::write(directory.join("spare"), "half a head").unwrap();
    let (log, _) = open(&directory).await;
    fill(&log, 14_000).await;
    log.close().await;
    assert_eq!(segments(&directory).unwrap().len(), 2);
    assert_eq!(records(&directory).len(), 14_002);
}
