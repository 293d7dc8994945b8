//! `kill -9` while the store is at work: this test binary is its own victim.

use std::{
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{self, Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use claviger_keystore::{KeyStore, SqliteStore};
use tempfile::tempdir;

use crate::{next_commit, whole_generation};

const ROUNDS: u64 = 20;
const LONGEST_LIFE: Duration = Duration::from_secs(10);
const STORE: &str = "CLAVIGER_TEST_KILLED_STORE";

#[tokio::test]
async fn a_kill_between_commits_leaves_the_old_or_the_new_never_half() {
    if let Some(path) = env::var_os(STORE) {
        commit_until_killed(Path::new(&path)).await;
    }
    let folder = tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let mut last = 0;
    for round in 0..ROUNDS {
        let mut victim =
            victim("kill::a_kill_between_commits_leaves_the_old_or_the_new_never_half", &path);
        let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        let mut told = || {
            lines.by_ref().map_while(Result::ok).find_map(|l| {
                l.strip_prefix("committed ").map(|number| number.parse::<u64>().unwrap())
            })
        };
        let mut acknowledged = told().expect("the victim commits");
        // Not in step with the commits: somewhere inside one, or between two.
        thread::sleep(Duration::from_micros(round * 1373));
        victim.kill().unwrap();
        victim.wait().unwrap();
        while let Some(further) = told() {
            acknowledged = further;
        }
        let store = SqliteStore::open(&path).unwrap();
        let found = whole_generation(&store).await.unwrap().unwrap();
        assert!(found >= acknowledged, "{acknowledged} was acknowledged, {found} is there");
        assert!(found > last);
        last = found;
    }
}

/// Does not return: it is killed, or ends by itself if its test is gone.
async fn commit_until_killed(path: &Path) -> ! {
    // The test harness has begun a line.
    println!();
    let begun = Instant::now();
    let store = SqliteStore::open(path).unwrap();
    let mut generation = match *store.watch().borrow() {
        0 => None,
        found => Some(found),
    };
    while begun.elapsed() < LONGEST_LIFE {
        store.commit(next_commit(generation, 20_000)).await.unwrap();
        generation = Some(generation.unwrap_or(0) + 1);
        println!("committed {}", generation.unwrap());
    }
    process::exit(1)
}

#[tokio::test]
async fn a_kill_while_a_store_is_made_leaves_none_or_a_whole_one() {
    if let Some(path) = env::var_os(STORE) {
        println!("\nbegun");
        let _store = SqliteStore::open(Path::new(&path)).unwrap();
        thread::sleep(LONGEST_LIFE);
        process::exit(1);
    }
    let folder = tempdir().unwrap();
    for round in 0..ROUNDS {
        let path = folder.path().join(format!("{round}.db"));
        let mut victim =
            victim("kill::a_kill_while_a_store_is_made_leaves_none_or_a_whole_one", &path);
        let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "begun"));
        thread::sleep(Duration::from_micros(round * 400));
        victim.kill().unwrap();
        victim.wait().unwrap();
        let store = SqliteStore::open(&path).unwrap();
        assert_eq!(whole_generation(&store).await.unwrap(), None);
        store.commit(next_commit(None, 100)).await.unwrap();
    }
}

fn victim(test: &str, path: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(STORE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
