//! The programs under test, as cargo built them.
//!
//! Cargo names a package's programs to that package's tests only. Ours stand beside the tests in the
//! target folder, where a build of the workspace puts them. One that is missing, or older than a source
//! it was made from (its `.d` file lists them), is built first, under a lock: every test is a process of
//! its own. So no test ever runs yesterday's program.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::SystemTime,
};

/// Path of `clavigerd`.
#[must_use]
pub fn clavigerd() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| program("clavigerd", PROGRAMS))
}

/// Path of `claviger`.
#[must_use]
pub fn claviger() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| program("claviger", PROGRAMS))
}

/// Path of the example `postgres_users` of `claviger-envelope`.
#[must_use]
pub fn postgres_users() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| program("examples/postgres_users", EXAMPLE))
}

const PROGRAMS: &[&str] = &["-p", "claviger-service", "-p", "claviger-cli"];
const EXAMPLE: &[&str] = &["-p", "claviger-envelope", "--example", "postgres_users"];

/// The program of this name in the target folder; these words have cargo build it.
fn program(name: &str, what: &[&str]) -> PathBuf {
    // The test is FOLDER/deps/NAME-HASH.
    let test = env::current_exe().unwrap();
    let folder = test.parent().unwrap().parent().unwrap();
    let path = folder.join(name);
    if is_fresh(&path) != Some(true) {
        let lock = File::create(folder.join(".claviger-tests.lock")).unwrap();
        lock.lock().unwrap();
        if is_fresh(&path) != Some(true) {
            build(folder, what);
            assert!(path.exists(), "cargo build {what:?} made no {}", path.display());
        }
    }
    path
}

/// `None` when the program or its list of sources is not there.
fn is_fresh(program: &Path) -> Option<bool> {
    let changed = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
    let built = changed(program)?;
    let list = fs::read_to_string(program.with_extension("d")).ok()?;
    let sources = list.split_once(": ")?.1.trim_end().replace("\\ ", "\0");
    let newer = |source: &str| {
        let source = source.replace('\0', " ");
        changed(Path::new(&source)).unwrap_or(SystemTime::now()) > built
    };
    Some(!sources.split(' ').any(newer))
}

fn build(folder: &Path, what: &[&str]) {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let status = Command::new(cargo)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args(["build", "--locked", "--quiet"])
        .args(what)
        .args(["--profile", profile, "--target-dir"])
        .arg(folder.parent().unwrap())
        .status()
        .unwrap();
    assert!(status.success(), "{what:?} does not build; cargo's words are above");
}
