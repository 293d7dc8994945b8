//! What the process gives up before it reads a secret.

use std::{fs, os::unix::process::ExitStatusExt as _};

use claviger_tests::Site;
use rustix::process::{Pid, Signal, kill_process};

/// The line of a process's limits on core files.
fn core_limit(pid: u32) -> Vec<String> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    line.split_whitespace().skip(4).take(2).map(str::to_owned).collect()
}

#[test]
fn a_crash_leaves_no_core_and_the_limit_cannot_be_raised() {
    let site = Site::new();
    let service = site.start();
    assert_eq!(core_limit(service.pid()), ["0", "0"]);
    // The control: the limit is the service's own doing, this process may raise its own.
    if core_limit(std::process::id()).last().is_some_and(|hard| hard == "0") {
        println!("SKIP the control: core files are forbidden to every process here");
    }

    let pid = Pid::from_raw(i32::try_from(service.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::ABORT).unwrap();
    let status = service.end();
    assert_eq!(status.signal(), Some(6), "{status}");
    assert!(!status.core_dumped(), "a core file was written");
}
