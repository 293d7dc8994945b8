//! Output files: they appear whole or not at all.

use std::{
    env, fs,
    io::{self, Read},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::Command,
};

use claviger_envelope::file::{Existing, FileHeader, FileOpener, FileSealer};
use tempfile::TempDir;

use super::*;

async fn sealer() -> FileSealer {
    envelopes().begin_file(&key(), &row("1")).await.unwrap()
}

/// A sealed file in memory, standing at its payload, with its opener.
async fn sealed(plaintext: &[u8]) -> (FileOpener, Vec<u8>) {
    let envelopes = envelopes();
    let mut sealed = Vec::new();
    let sealer = envelopes.begin_file(&key(), &row("1")).await.unwrap();
    sealer.seal_stream(plaintext, &mut sealed, |_| {}).unwrap();
    let header = FileHeader::parse(&sealed).unwrap();
    let opener = envelopes.open_file(&row("1"), &header).await.unwrap();
    (opener, sealed.split_off(8192))
}

fn names_in(folder: &TempDir) -> Vec<String> {
    let names = fs::read_dir(folder.path()).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn both_ways_through_files_give_the_same_and_leave_nothing_else() {
    let folder = TempDir::new().unwrap();
    let (plain, sealed, again) =
        (folder.path().join("plain"), folder.path().join("sealed"), folder.path().join("again"));
    fs::write(&plain, vec![9; 200_000]).unwrap();
    let envelopes = envelopes();
    let sealer = envelopes.begin_file(&key(), &row("1")).await.unwrap();
    let input = fs::File::open(&plain).unwrap();
    sealer.seal_to_path(input, &sealed, Existing::Refuse, |_| {}).unwrap();

    let mut input = fs::File::open(&sealed).unwrap();
    let header = FileHeader::read_from(&mut input).unwrap();
    let opener = envelopes.open_file(&row("1"), &header).await.unwrap();
    opener.open_to_path(input, &again, Existing::Refuse, |_| {}).unwrap();
    assert_eq!(fs::read(&again).unwrap(), fs::read(&plain).unwrap());
    assert_eq!(names_in(&folder).len(), 3);
    assert_eq!((mode_of(&sealed), mode_of(&again)), (0o600, 0o600));
}

#[tokio::test]
async fn refuses_an_existing_output_even_a_dangling_link_before_it_reads_anything() {
    struct Untouched;
    impl Read for Untouched {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("the input was read")
        }
    }
    let folder = TempDir::new().unwrap();
    let (file, link) = (folder.path().join("file"), folder.path().join("link"));
    fs::write(&file, "mine").unwrap();
    symlink("nowhere", &link).unwrap();
    for output in [&file, &link, &folder.path().to_owned()] {
        let refused = sealer().await.seal_to_path(Untouched, output, Existing::Refuse, |_| {});
        assert!(matches!(refused, Err(EnvelopeError::OutputExists { .. })), "{output:?}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    assert_eq!(names_in(&folder).len(), 2);
}

#[tokio::test]
async fn a_file_that_appears_meanwhile_is_not_overwritten() {
    let folder = TempDir::new().unwrap();
    let output = folder.path().join("output");
    let appears = |_| fs::write(&output, "theirs").unwrap();
    let refused = sealer().await.seal_to_path(&b"mine"[..], &output, Existing::Refuse, appears);
    assert!(matches!(refused, Err(EnvelopeError::OutputExists { .. })));
    assert_eq!(fs::read(&output).unwrap(), b"theirs");
    assert_eq!(names_in(&folder), ["output"]);
}

#[tokio::test]
async fn replaces_when_told_and_a_link_itself_not_its_target() {
    let folder = TempDir::new().unwrap();
    let (target, link) = (folder.path().join("target"), folder.path().join("link"));
    fs::write(&target, "keep").unwrap();
    symlink(&target, &link).unwrap();
    let (opener, payload) = sealed(b"new").await;
    for output in [&link, &link] {
        opener.open_to_path(&payload[..], output, Existing::Replace, |_| {}).unwrap();
    }
    assert_eq!(fs::read(&link).unwrap(), b"new");
    assert_eq!(fs::read(&target).unwrap(), b"keep");
    assert_eq!(names_in(&folder).len(), 2);
}

#[tokio::test]
async fn plaintext_that_is_not_verified_never_gets_a_name() {
    let folder = TempDir::new().unwrap();
    let output = folder.path().join("output");
    fs::write(&output, "before").unwrap();
    let (opener, payload) = sealed(&[1; 100_000]).await;
    for cut in [0, 60, 56 + 16_400, 56 + 3 * 16_400, payload.len() - 1] {
        let seen = |_| assert_eq!(fs::read(&output).unwrap(), b"before");
        let refused = opener.open_to_path(&payload[..cut], &output, Existing::Replace, seen);
        assert!(is_rejected(&refused), "cut at {cut}");
        assert_eq!(fs::read(&output).unwrap(), b"before");
        assert_eq!(names_in(&folder), ["output"]);
    }
}

#[tokio::test]
async fn while_it_is_written_the_file_is_private_and_has_another_name() {
    let folder = TempDir::new().unwrap();
    let output = folder.path().join("output");
    let (opener, payload) = sealed(&[1; 100_000]).await;
    let mut looked = false;
    let look = |_| {
        let names = names_in(&folder);
        assert!(matches!(&names[..], [name] if name.starts_with(".claviger-")), "{names:?}");
        assert_eq!(mode_of(&folder.path().join(&names[0])), 0o600);
        looked = true;
    };
    opener.open_to_path(&payload[..], &output, Existing::Refuse, look).unwrap();
    assert!(looked);
}

#[tokio::test]
async fn refuses_outputs_that_are_no_file_names() {
    let folder = TempDir::new().unwrap();
    let missing = folder.path().join("missing/output");
    for output in [Path::new("/"), Path::new(".."), Path::new(""), &missing] {
        let refused = sealer().await.seal_to_path(&b"x"[..], output, Existing::Replace, |_| {});
        assert!(matches!(refused, Err(EnvelopeError::Io { .. })), "{output:?}");
    }
}

/// Says to the process below that it runs where files cannot grow past 64 KiB.
const SMALL_DISK: &str = "CLAVIGER_TEST_SMALL_DISK";

/// A write that the kernel refuses half-way, as on a full disk: the test runs itself again under a limit of
/// 64 KiB for every file, with the limit's signal ignored so that `write` returns an error.
#[tokio::test]
async fn a_write_that_fails_half_way_leaves_nothing_behind() {
    if let Some(folder) = env::var_os(SMALL_DISK) {
        let output = Path::new(&folder).join("output");
        let failed = sealer().await.seal_to_path(io::repeat(1), &output, Existing::Refuse, |_| {});
        assert!(matches!(failed, Err(EnvelopeError::Io { .. })), "{failed:?}");
        let (opener, payload) = sealed(&[1; 400_000]).await;
        let failed = opener.open_to_path(&payload[..], &output, Existing::Refuse, |_| {});
        let message = failed.unwrap_err().to_string();
        assert!(message.starts_with("writing the plaintext failed"), "{message}");
        return;
    }
    let folder = TempDir::new().unwrap();
    let script = "trap '' XFSZ; ulimit -f 64; exec \"$0\" --exact \"$1\"";
    let name = "new_files::a_write_that_fails_half_way_leaves_nothing_behind";
    let output = Command::new("bash")
        .args(["-c", script])
        .args([env::current_exe().unwrap().as_os_str(), name.as_ref()])
        .env(SMALL_DISK, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!(names_in(&folder), [""; 0]);
}
