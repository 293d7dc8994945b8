//! A tree of files: sealed ones, records, and others.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::PathBuf,
};

use claviger_envelope::file::{Existing, FileHeader};
use claviger_kms::EncryptionContext;
use claviger_rewrap::{CampaignFile, Outcome, sources};

use crate::bench::{Bench, Meddled, campaign, key};

struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, head: &str) -> CampaignFile {
        let root = format!(
            "kind = \"files\"\nroot = {:?}\ncontext = {{ path = \"{{path}}\" }}",
            self.0.path()
        );
        campaign(head, &root)
    }

    async fn seal(&self, bench: &Bench, name: &str, content: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        let sealer = bench.envelopes.begin_file(&key(), &bound(name)).await.expect("begins");
        sealer.seal_to_path(content, &path, Existing::Replace, |_| {}).expect("sealed");
    }

    fn header(&self, name: &str) -> FileHeader {
        let file = fs::File::open(self.path(name)).expect("opens");
        FileHeader::read_at_start(&file).expect("a header")
    }

    fn versions(&self, name: &str) -> Vec<u32> {
        let header = self.header(name);
        let slots = header.slots().map(|slot| slot.expect("a whole slot").header().key_version());
        slots.iter().map(|found| found.expect("a version").1.number()).collect()
    }

    async fn content(&self, bench: &Bench, name: &str) -> Vec<u8> {
        let mut file = fs::File::open(self.path(name)).expect("opens");
        let header = FileHeader::read_from(&mut file).expect("a header");
        let opener = bench.envelopes.open_file(&bound(name), &header).await.expect("opens");
        let mut content = Vec::new();
        opener.open_stream(file, &mut content, |_| {}).expect("opens");
        content
    }
}

fn bound(name: &str) -> EncryptionContext {
    let plain = name.strip_suffix(".claviger").expect("a sealed file's name");
    EncryptionContext::from_pairs([("path", plain)]).expect("a context")
}

const NAMES: [&str; 5] =
    ["a.claviger", "b/c.claviger", "b/d/e.claviger", "b.claviger", "z/y/x.claviger"];

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_all_sealed_files_move_and_nothing_outside_does() {
    let (tree, outside, bench) = (Tree::new(), Tree::new(), Bench::new());
    for name in NAMES {
        tree.seal(&bench, name, name.as_bytes()).await;
    }
    outside.seal(&bench, "o.claviger", b"outside").await;
    symlink(outside.0.path(), tree.path("link")).expect("linked");
    symlink(outside.path("o.claviger"), tree.path("l.claviger")).expect("linked");
    fs::write(tree.path("plain.claviger"), b"no envelope").expect("written");
    fs::write(tree.path("other.txt"), b"not included").expect("written");
    bench.rotate().await;
    let report = bench.run(&tree.file("batch = 2")).await;
    let counts = report.sources["cards"].last_pass;
    assert_eq!(
        (report.total.moved, counts.current, counts.malformed, counts.scanned),
        (5, 5, 1, 6)
    );
    assert_eq!(report.outcome, Outcome::Partial, "{report}");
    for name in NAMES {
        assert_eq!(tree.versions(name), [2, 2], "{name}");
        assert_eq!(tree.content(&bench, name).await, name.as_bytes());
    }
    assert_eq!(outside.versions("o.claviger"), [1, 1]);
    assert_eq!(fs::read(tree.path("plain.claviger")).expect("read"), b"no envelope");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_the_application_replaces_meanwhile_stays_the_applications() {
    for mode in ["rewrap", "reencrypt"] {
        let (tree, bench) = (Tree::new(), Bench::new());
        tree.seal(&bench, "a.claviger", b"first").await;
        tree.seal(&bench, "b.claviger", b"other").await;
        let aside = Tree::new();
        aside.seal(&bench, "a.claviger", b"second").await;
        bench.rotate().await;
        let (from, to) = (aside.path("a.claviger"), tree.path("a.claviger"));
        let file = tree.file(&format!("mode = \"{mode}\""));
        let inner = sources::open(&file).await.expect("opens").remove(0);
        let source = Meddled::once(&inner, async move {
            fs::rename(from, to).expect("replaced");
        });
        let report = bench.run_over(&file, &source).await;
        assert_eq!(report.outcome, Outcome::Complete, "{report}");
        assert_eq!((report.total.conflicts, report.total.moved), (1, 2), "{report}");
        assert_eq!(tree.content(&bench, "a.claviger").await, b"second");
        assert_eq!(tree.versions("a.claviger"), [2, 2]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reencrypt_seals_files_anew_with_their_mode_and_leaves_nothing_beside_them() {
    let (tree, bench) = (Tree::new(), Bench::new());
    let long = vec![7; 300_000];
    tree.seal(&bench, "a.claviger", &long).await;
    fs::set_permissions(tree.path("a.claviger"), fs::Permissions::from_mode(0o640)).expect("set");
    let record =
        bench.envelopes.seal(&key(), &bound("r.claviger"), b"record").await.expect("seals");
    fs::write(tree.path("r.claviger"), &record).expect("written");
    let before = tree.header("a.claviger").header().envelope_id();
    bench.rotate().await;
    let report = bench.run(&tree.file("mode = \"reencrypt\"")).await;
    assert_eq!(report.outcome, Outcome::Complete, "{report}");
    assert_ne!(tree.header("a.claviger").header().envelope_id(), before);
    assert_eq!(tree.content(&bench, "a.claviger").await, long);
    assert_eq!(tree.versions("a.claviger"), [2, 2]);
    let mode = fs::metadata(tree.path("a.claviger")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    let now = fs::read(tree.path("r.claviger")).expect("read");
    assert_ne!(now[6..22], record[6..22]);
    assert!(bench.envelopes.open(&bound("r.claviger"), &now).await.is_ok());
    assert_eq!(fs::read_dir(tree.0.path()).expect("read").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_rejected_stays_as_it_is_and_the_others_move() {
    let (tree, bench) = (Tree::new(), Bench::new());
    for name in ["a.claviger", "b.claviger"] {
        tree.seal(&bench, name, name.as_bytes()).await;
    }
    let mut altered = fs::read(tree.path("a.claviger")).expect("read");
    *altered.last_mut().expect("a payload") ^= 1;
    fs::write(tree.path("a.claviger"), &altered).expect("written");
    bench.rotate().await;
    let report = bench.run(&tree.file("mode = \"reencrypt\"")).await;
    assert_eq!(report.outcome, Outcome::Partial, "{report}");
    assert_eq!(report.sources["cards"].last_pass.refused, 1, "{report}");
    assert_eq!(fs::read(tree.path("a.claviger")).expect("read"), altered);
    assert_eq!(tree.versions("b.claviger"), [2, 2]);
    assert_eq!(fs::read_dir(tree.0.path()).expect("read").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_one_old_slot_is_not_current() {
    let (tree, bench) = (Tree::new(), Bench::new());
    tree.seal(&bench, "a.claviger", b"content").await;
    let old = fs::read(tree.path("a.claviger")).expect("read");
    bench.rotate().await;
    assert_eq!(bench.run(&tree.file("")).await.outcome, Outcome::Complete);
    // As after a crash between the two writes: the slot that counts is new, the other old.
    let mut torn = fs::read(tree.path("a.claviger")).expect("read");
    torn[4096..8192].copy_from_slice(&old[4096..8192]);
    let newest = tree.header("a.claviger");
    let first = newest.slots()[0].expect("whole").sequence();
    assert!(first > 2, "the first slot counts");
    fs::write(tree.path("a.claviger"), &torn).expect("written");
    assert_eq!(tree.versions("a.claviger"), [2, 1]);
    let report = bench.run(&tree.file("")).await;
    assert_eq!((report.outcome, report.total.moved), (Outcome::Complete, 1), "{report}");
    assert_eq!(tree.versions("a.claviger"), [2, 2]);
}
