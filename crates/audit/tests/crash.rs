//! The process is killed while it writes.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::{
    collections::HashMap,
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use claviger_kms::RequestId;
use common::{entry, home, open, records};

/// Twenty times: start a process that appends from 8 tasks and reports every acknowledgement, kill it
/// with SIGKILL at another moment each time, and look whether all it reported is in the log.
#[tokio::test]
async fn no_acknowledged_record_is_lost_when_the_process_is_killed() {
    if let Some(directory) = env::var_os(CHILD) {
        append_until_killed(Path::new(&directory)).await;
    }
    let (_home, directory) = home();
    let mut acknowledged: HashMap<u64, RequestId> = HashMap::new();
    for round in 0..20 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "no_acknowledged_record_is_lost_when_the_process_is_killed"])
            .args(["--nocapture", "--test-threads=1"])
            .env(CHILD, &directory)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let reader = BufReader::new(child.stdout.take().unwrap());
        let mut reported = 0;
        for line in reader.lines() {
            let Ok(line) = line else { break };
            let Some((number, request)) = line.strip_prefix("ack ").and_then(|l| l.split_once(' '))
            else {
                continue;
            };
            // The last line may be cut by the kill; then nobody was told.
            let (Ok(number), Ok(request)) = (number.parse(), request.parse()) else { continue };
            let twice = acknowledged.insert(number, request);
            assert_eq!(twice, None, "record {number} was acknowledged twice");
            reported += 1;
            if reported == 40 + 17 * round {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(reported > 0, "the child did nothing in round {round}");

        let (log, recovered) = open(&directory).await;
        log.close().await;
        let read = records(&directory);
        assert_eq!(recovered.next_sequence, read.len() as u64 + 1);
        for (number, request) in &acknowledged {
            let record = &read[usize::try_from(*number).unwrap() - 1];
            assert_eq!(record.sequence.number(), *number);
            assert_eq!(record.entry.request, *request, "record {number}, round {round}");
        }
    }
    assert!(acknowledged.len() > 1000);
}

async fn append_until_killed(directory: &Path) -> ! {
    let (log, _) = open(directory).await;
    let log = Arc::new(log);
    for _ in 0..8 {
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            loop {
                let entry = entry();
                let request = entry.request;
                let number = log.append(entry).await.unwrap();
                let line = format!("ack {number} {request}\n");
                std::io::stdout().write_all(line.as_bytes()).unwrap();
            }
        });
    }
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

const CHILD: &str = "CLAVIGER_AUDIT_CRASH_CHILD";
