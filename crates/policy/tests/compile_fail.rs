//! What must not compile. Each file in `tests/compile_fail` says on its first line what the compiler
//! must answer: its error codes, such as `//~ E0451`, or `//~ compiles` for the control. Only the code is compared: the
//! compiler's words change from release to release.
//!
//! The compiler is run on the library that was built for this test, so a case costs a fraction of a
//! second and no second build.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

#[test]
fn misuse_of_permits_does_not_compile() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile_fail");
    let library = newest_library();
    let mut cases = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        let source = fs::read_to_string(&file).unwrap();
        let expected = source.lines().next().and_then(|line| line.strip_prefix("//~ ")).unwrap();
        let messages = compile(&file, &library);
        let answer = messages.as_deref().map_or("compiles".to_owned(), codes);
        assert_eq!(answer, expected, "{}\n{}", file.display(), messages.unwrap_or_default());
        cases += 1;
    }
    assert_eq!(cases, 8);
}

/// The error codes in the compiler's messages, in order, each once.
fn codes(messages: &str) -> String {
    let after = messages.split("error[").skip(1);
    let codes: BTreeSet<&str> = after.filter_map(|rest| rest.split(']').next()).collect();
    codes.into_iter().collect::<Vec<_>>().join(" ")
}

/// The folder where cargo put this test and the libraries it is linked with.
fn built() -> PathBuf {
    env::current_exe().unwrap().parent().unwrap().to_owned()
}

fn newest_library() -> PathBuf {
    let library = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with("libclaviger_policy-") && name.ends_with(".rlib")
    };
    fs::read_dir(built())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(library)
        .max_by_key(|path| fs::metadata(path).unwrap().modified().unwrap())
        .unwrap()
}

/// The compiler's messages, if it refuses the file.
fn compile(file: &Path, library: &Path) -> Option<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--edition=2024", "--crate-type=lib", "--emit=metadata", "--out-dir"])
        .arg(env!("CARGO_TARGET_TMPDIR"))
        .arg("-L")
        .arg(format!("dependency={}", built().display()))
        .arg("--extern")
        .arg(format!("claviger_policy={}", library.display()))
        .arg(file)
        .output()
        .unwrap();
    (!output.status.success()).then(|| String::from_utf8(output.stderr).unwrap())
}
