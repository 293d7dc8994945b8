//! A disk of one's own: a small tmpfs in a mount namespace, really full or really read-only.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails where its surroundings do; a skip is said aloud"
)]

use std::{
    env,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

/// Runs the test named `test` (its path as the test program lists it) again, in a process that has a tmpfs
/// of these mount options at a directory. Returns that directory inside. Outside it returns `None`, when
/// that run has passed, or when the machine allows neither `unshare` nor mounting, which prints SKIP.
///
/// # Panics
/// When the inner run fails, with its words.
#[must_use]
pub fn on_tmpfs(test: &str, options: &str) -> Option<PathBuf> {
    if let Some(directory) = env::var_os(INSIDE) {
        return Some(directory.into());
    }
    let home = tempfile::tempdir().unwrap();
    let unshared = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", script, "sh"]).arg(home.path());
        command.arg(options);
        command
    };
    let allowed = unshared("mount -t tmpfs -o \"$2\" tmpfs \"$1\"").output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        println!("SKIP {test}: no mount namespace on this machine");
        return None;
    }
    let script = "mount -t tmpfs -o \"$2\" tmpfs \"$1\" && shift 2 && exec \"$@\"";
    let output = unshared(script)
        .arg(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, home.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "the inner test did not run: {text}");
    None
}

/// Takes every byte that is left on the file system of this directory, until the file returned is removed.
///
/// # Panics
/// When not even an empty file can be made.
#[must_use]
pub fn fill_up(directory: &Path) -> PathBuf {
    let path = directory.join("ballast");
    let mut file = File::create(&path).unwrap();
    while file.write_all(&[7; 4096]).is_ok() {}
    assert!(fs::metadata(&path).unwrap().len() > 0, "there was no room to take");
    path
}

const INSIDE: &str = "CLAVIGER_ON_TMPFS";
