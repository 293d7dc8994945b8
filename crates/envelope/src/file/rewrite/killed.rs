//! A rewrap in place whose process is killed at every step, over a real file and a key service.
//!
//! The test runs itself again for each step; the child kills itself there with SIGKILL, so nothing of it runs on.

use std::{
    cell::Cell, env, fs, os::unix::process::ExitStatusExt as _, path::Path, process::Command,
    sync::Arc,
};

use claviger_kms::{CreateVersion, EncryptionContext, KeyManagementService as _, KeyVersion};
use claviger_testkit::MemoryKms;
use rustix::process::{Signal, getpid, kill_process};

use super::*;
use crate::Envelopes;

/// Tells the child where the file is, and at which step and after how many bytes of it to die.
const FOLDER: &str = "CLAVIGER_TEST_KILLED_FOLDER";
const STEP: &str = "CLAVIGER_TEST_KILLED_STEP";
const BYTES: &str = "CLAVIGER_TEST_KILLED_BYTES";

/// A file whose process dies at a step: 0 reading, 1 and 3 writing, 2 and 4 syncing, 5 reading again.
struct Mortal {
    file: File,
    step: Cell<usize>,
    last: usize,
    bytes: usize,
}

impl Mortal {
    fn is_last(&self) -> bool {
        let step = self.step.replace(self.step.get() + 1);
        step == self.last
    }
}

fn die() {
    kill_process(getpid(), Signal::KILL).unwrap();
}

impl Medium for Mortal {
    fn read_header(&self) -> io::Result<Vec<u8>> {
        if self.is_last() {
            die();
        }
        self.file.read_header()
    }

    fn write_slot(&self, write: &SlotWrite) -> io::Result<()> {
        if self.is_last() {
            self.file.write_all_at(&write.bytes[..self.bytes], write.offset)?;
            die();
        }
        self.file.write_slot(write)
    }

    fn sync(&self) -> io::Result<()> {
        if self.is_last() {
            die();
        }
        self.file.sync()
    }
}

fn die_in(folder: &Path) {
    let number = |name: &str| env::var(name).unwrap().parse().unwrap();
    let file = File::options().read(true).write(true).open(folder.join("sealed")).unwrap();
    let read = FileHeader::read_at_start(&file).unwrap();
    let (new, _) = Header::parse(&fs::read(folder.join("new-header")).unwrap())
        .map(|(header, rest)| (header, rest.len()))
        .unwrap();
    let lock = File::options().read(true).open(folder.join("sealed")).unwrap();
    let _lock = HeaderLock::wait(&lock, LONGEST_WAIT).unwrap();
    let mortal = Mortal { file, step: Cell::new(0), last: number(STEP), bytes: number(BYTES) };
    replace(&mortal, &read, &new).unwrap();
}

/// Runs this test again so that it dies there.
fn kill_at(folder: &Path, step: usize, bytes: usize) {
    let status = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "file::rewrite::killed::a_rewrap_killed_at_any_step_leaves_a_file_that_opens",
        ])
        .env(FOLDER, folder)
        .env(STEP, step.to_string())
        .env(BYTES, bytes.to_string())
        .output()
        .unwrap()
        .status;
    assert_eq!(status.signal(), Some(9), "step {step} was not reached: {status}");
}

#[tokio::test]
async fn a_rewrap_killed_at_any_step_leaves_a_file_that_opens() {
    if let Some(folder) = env::var_os(FOLDER) {
        return die_in(Path::new(&folder));
    }
    let service = Arc::new(MemoryKms::with_keys(&["eu/pay"]).unwrap());
    let (envelopes, key) = (Envelopes::new(service.clone()), "eu/pay".parse().unwrap());
    let context = EncryptionContext::new();
    let mut sealed = Vec::new();
    let sealer = envelopes.begin_file(&key, &context).await.unwrap();
    sealer.seal_stream(&[7; 20_000][..], &mut sealed, |_| {}).unwrap();
    let old = FileHeader::parse(&sealed).unwrap();
    service.rotate(CreateVersion { key, idempotency_key: None }).await.unwrap();
    let new = envelopes.rewrap_header(&context, old.header()).await.unwrap().header;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sealed");
    fs::write(folder.path().join("new-header"), new.to_bytes()).unwrap();

    let whole = [0, 2, 4, 5].map(|step| (step, 0));
    let torn = (0..=SLOT_LENGTH).step_by(512).chain([600, 4080]);
    let torn = torn.flat_map(|bytes| [(1, bytes), (3, bytes)]);
    // Also a file whose older slot an earlier crash has torn: now the order of the writes decides.
    let mut hurt = sealed.clone();
    hurt[300..SLOT_LENGTH].fill(0xEE);
    let starts = [(&sealed, false), (&hurt, true)];
    let steps: Vec<_> = whole.into_iter().chain(torn).collect();
    for ((start, is_hurt), (step, bytes)) in
        starts.into_iter().flat_map(|start| steps.iter().map(move |step| (start, *step)))
    {
        fs::write(&path, start).unwrap();
        kill_at(folder.path(), step, bytes);

        // It opens, and a census sees all that it can: the old version until both slots are new.
        let left = fs::read(&path).unwrap();
        let header = FileHeader::parse(&left).unwrap();
        let opener = envelopes.open_file(&context, &header).await.unwrap();
        let mut plain = Vec::new();
        opener.open_stream(&left[PAYLOAD_OFFSET..], &mut plain, |_| {}).unwrap();
        assert_eq!(plain, [7; 20_000], "step {step}, {bytes} bytes");
        assert_eq!(left[PAYLOAD_OFFSET..], sealed[PAYLOAD_OFFSET..]);
        let is_torn = (step == 1 || step == 3) && (300..SLOT_LENGTH).contains(&bytes);
        let damaged = is_torn || (is_hurt && step < 2 && bytes < SLOT_LENGTH);
        assert_eq!(header.inspect(0).damaged_slots, usize::from(damaged), "step {step}, {bytes}");
        let versions: Vec<u32> = header
            .slots()
            .iter()
            .flatten()
            .map(|slot| slot.header().wraps()[0].key_version().unwrap().1.number())
            .collect();
        assert_eq!(versions.contains(&1), step < 3 || (step == 3 && bytes == 0), "{step} {bytes}");

        // The lock died with its holder, and the next run finishes.
        let mut file = File::options().read(true).write(true).open(&path).unwrap();
        let mended = envelopes.rewrap_file(&context, &mut file).await.unwrap();
        for slot in mended.header.slots() {
            let (_, version) = slot.unwrap().header().wraps()[0].key_version().unwrap();
            assert_eq!(version, KeyVersion::new(2).unwrap());
        }
    }
}

/// 10 GiB, most of it a hole: nothing past the first 8 KiB is read or written.
#[tokio::test]
async fn a_large_file_is_moved_by_its_first_8_kib_alone() {
    /// Notes each access.
    struct Watched<'a>(&'a File, Cell<Vec<(u64, usize)>>);
    impl Watched<'_> {
        fn note(&self, offset: u64, length: usize) {
            let mut seen = self.1.take();
            seen.push((offset, length));
            self.1.set(seen);
        }
    }
    impl Medium for Watched<'_> {
        fn read_header(&self) -> io::Result<Vec<u8>> {
            let bytes = self.0.read_header()?;
            self.note(0, bytes.len());
            Ok(bytes)
        }
        fn write_slot(&self, write: &SlotWrite) -> io::Result<()> {
            self.note(write.offset, write.bytes.len());
            self.0.write_slot(write)
        }
        fn sync(&self) -> io::Result<()> {
            self.0.sync()
        }
    }
    use std::os::unix::fs::MetadataExt as _;
    const LENGTH: u64 = 10 << 30;
    let service = Arc::new(MemoryKms::with_keys(&["eu/pay"]).unwrap());
    let (envelopes, key) = (Envelopes::new(service.clone()), "eu/pay".parse().unwrap());
    let context = EncryptionContext::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large");
    let sealer = envelopes.begin_file(&key, &context).await.unwrap();
    sealer.seal_to_path(&b"x"[..], &path, crate::file::Existing::Refuse, |_| {}).unwrap();
    let mut file = File::options().read(true).write(true).open(&path).unwrap();
    file.set_len(LENGTH).unwrap();
    service.rotate(CreateVersion { key, idempotency_key: None }).await.unwrap();
    let blocks = file.metadata().unwrap().blocks();

    let read = FileHeader::read_at_start(&file).unwrap();
    let new = envelopes.rewrap_header(&context, read.header()).await.unwrap().header;
    let watched = Watched(&file, Cell::default());
    replace(&watched, &read, &new).unwrap();
    let seen = watched.1.take();
    assert_eq!(seen, [(0, 8192), (0, 4096), (4096, 4096), (0, 8192)]);

    let started = std::time::Instant::now();
    assert!(!envelopes.rewrap_file(&context, &mut file).await.unwrap().written);
    assert!(started.elapsed() < Duration::from_secs(1));
    let after = file.metadata().unwrap();
    assert_eq!((after.len(), after.blocks()), (LENGTH, blocks));
}

#[test]
fn a_version_never_goes_back_and_a_held_lock_is_respected() {
    use claviger_kms::{Ciphertext, EnvelopeId, KeyId};

    use crate::{EnvelopeKind, Provider, Wrap};
    let header = |version: u32| {
        let version = KeyVersion::new(version).unwrap();
        let key = Ciphertext::of_data_key(KeyId::from_bytes([7; 16]), version, [8; 104]);
        let wrap = Wrap::new(Provider::CLAVIGER, key.to_bytes()).unwrap();
        Header::new(EnvelopeKind::File, EnvelopeId::from_bytes([1; 16]), vec![wrap]).unwrap()
    };
    let slot = |sequence| HeaderSlot::new(sequence, header(2)).unwrap().to_bytes();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sealed");
    fs::write(&path, [slot(1), slot(2)].concat()).unwrap();
    let open = || File::options().read(true).write(true).open(&path).unwrap();
    let (mut file, other) = (open(), open());
    let read = FileHeader::read_at_start(&file).unwrap();
    let refused = rewrap_file_header(&mut file, &read, &header(1)).unwrap_err();
    assert!(refused.to_string().contains("older version"), "{refused}");

    let held = HeaderLock::wait(&other, Duration::ZERO).unwrap();
    assert!(HeaderLock::wait(&file, Duration::from_millis(30)).is_err());
    drop(held);
    rewrap_file_header(&mut file, &read, &header(3)).unwrap();
}
