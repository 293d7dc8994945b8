//! What a census counts, and what it admits not to know.

use std::{fs, path::Path, sync::Arc};

use async_trait::async_trait;
use claviger_envelope::file::Existing;
use claviger_kms::{EncryptionContext, KeyManagementService as _};
use claviger_rewrap::{
    Batch, CampaignFile, Change, Place, Replaced, Source, SourceError, census, sources,
};
use rusqlite::{Connection, params};
use tokio_util::sync::CancellationToken;

use crate::{
    bench::{Bench, key},
    gates::{bare_key, with_a_foreign_wrap_first},
};

const FILE: &str = r#"
    name = "all"
    key = "eu/pay"
    mode = "rewrap"
    batch = 3
    give-up-seconds = 1
    backoff-milliseconds = 20
    [[source]]
    name = "cards"
    kind = "sqlite"
    path = "cards.sqlite"
    table = "cards"
    key-columns = ["id"]
    envelope-column = "number"
    context = { table = "cards", row = "{id}" }
    [[source]]
    name = "files"
    kind = "files"
    root = "."
    context = { path = "{path}" }
"#;

fn file(folder: &Path) -> CampaignFile {
    CampaignFile::parse(FILE, folder).expect("a campaign file")
}

fn table(folder: &Path, contents: &[Option<Vec<u8>>]) {
    let connection = Connection::open(folder.join("cards.sqlite")).expect("opens");
    connection
        .execute_batch("CREATE TABLE cards (id INTEGER PRIMARY KEY, number BLOB)")
        .expect("a table");
    for content in contents {
        connection
            .execute("INSERT INTO cards (number) VALUES (?)", params![content])
            .expect("written");
    }
}

async fn seal(bench: &Bench, folder: &Path, name: &str) {
    let bound = EncryptionContext::from_pairs([("path", name)]).expect("a context");
    let sealer = bench.envelopes.begin_file(&key(), &bound).await.expect("begins");
    let path = folder.join(format!("{name}.claviger"));
    sealer.seal_to_path(&b"content"[..], &path, Existing::Refuse, |_| {}).expect("sealed");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wrap_in_both_headers_is_counted_and_all_adds_up() {
    let (bench, folder) = (Bench::new(), tempfile::tempdir().expect("a folder"));
    let id = bench.service.describe_key(&key()).await.expect("the key").id;
    let old = bench.seal(1, b"old").await;
    seal(&bench, folder.path(), "old").await;
    seal(&bench, folder.path(), "half").await;
    bench.rotate().await;
    let new = bench.seal(2, b"new").await;
    seal(&bench, folder.path(), "new").await;
    // As a crash between the two writes leaves it: one header moved, the other not.
    let half = folder.path().join("half.claviger");
    let before = fs::read(&half).expect("read");
    let mut opened = fs::File::options().read(true).write(true).open(&half).expect("opens");
    let bound = EncryptionContext::from_pairs([("path", "half")]).expect("a context");
    bench.envelopes.rewrap_file(&bound, &mut opened).await.expect("moved");
    let after = fs::read(&half).expect("read");
    let both: Vec<u8> = before[..4096].iter().chain(&after[4096..]).copied().collect();
    fs::write(&half, both).expect("written");
    fs::write(folder.path().join("torn.claviger"), b"CLVF").expect("written");

    let two_wraps = with_a_foreign_wrap_first(&old);
    let cut = new[..new.len() - 10].to_vec();
    table(
        folder.path(),
        &[
            Some(old),
            Some(two_wraps),
            Some(new),
            None,
            Some(Vec::new()),
            Some(b"garbage".to_vec()),
            Some(cut),
            Some(bare_key(&bench).await),
        ],
    );
    let file = file(folder.path());
    let opened = sources::open(&file).await.expect("opens");
    let found = census(&file, &opened, &CancellationToken::new()).await;
    assert!(found.complete && found.sources.values().all(|source| source.adds_up()), "{found}");
    let cards = &found.sources["cards"];
    assert_eq!(
        (cards.scanned, cards.empty, cards.envelopes, cards.bare_keys),
        (8, 2, 3, 1),
        "{found}"
    );
    assert_eq!((cards.malformed, cards.findings.of("malformed").len()), (2, 2), "{found}");
    let files = &found.sources["files"];
    assert_eq!(
        (files.scanned, files.envelopes, files.malformed + files.unreadable),
        (4, 3, 1),
        "{found}"
    );
    let named = |source: &claviger_rewrap::SourceCensus, version: u32| {
        let named = source.versions[&format!("{id}/{version}")];
        (named.places, named.wraps)
    };
    assert_eq!((named(cards, 1), named(cards, 2)), ((2, 2), (2, 2)), "{found}");
    // old 1 1, half 1 2, new 2 2.
    assert_eq!((named(files, 1), named(files, 2)), ((2, 3), (2, 3)), "{found}");
    assert_eq!(found.versions[&format!("{id}/1")].places, 4);
    let text = found.to_string();
    assert!(text.contains("not seen:") && text.contains("backups"), "{text}");
    assert!(!text.to_lowercase().contains("safe"), "{text}");
}

/// Fails after its first page.
struct Failing(Arc<dyn Source>);

#[async_trait]
impl Source for Failing {
    fn name(&self) -> &str {
        self.0.name()
    }
    async fn estimate(&self) -> Result<Option<u64>, SourceError> {
        self.0.estimate().await
    }
    async fn scan(&self, after: Option<&Place>, most: usize) -> Result<Batch, SourceError> {
        match after {
            None => self.0.scan(after, most).await,
            Some(_) => Err(SourceError::Unreachable { reason: "the line was cut".to_owned() }),
        }
    }
    async fn replace(&self, _: &[Change]) -> Result<Vec<Replaced>, SourceError> {
        panic!("a census writes nothing")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_cut_off_is_told_and_the_others_are_counted() {
    let (bench, folder) = (Bench::new(), tempfile::tempdir().expect("a folder"));
    let mut contents = Vec::new();
    for row in 0..7 {
        contents.push(Some(bench.seal(row, b"x").await));
    }
    table(folder.path(), &contents);
    seal(&bench, folder.path(), "one").await;
    let file = file(folder.path());
    let mut opened = sources::open(&file).await.expect("opens");
    opened[0] = Arc::new(Failing(opened[0].clone()));
    let found = census(&file, &opened, &CancellationToken::new()).await;
    let cards = &found.sources["cards"];
    assert!(!found.complete && !cards.complete && cards.adds_up(), "{found}");
    assert_eq!((cards.scanned, found.sources["files"].scanned), (3, 1));
    assert!(cards.reason.as_ref().expect("a reason").contains("the line was cut"));
    let text = found.to_string();
    assert!(text.contains("NOT WHOLE") && text.contains("cut off after 3 places"), "{text}");

    let stopped = CancellationToken::new();
    stopped.cancel();
    let found = census(&file, &opened, &stopped).await;
    assert!(!found.complete && found.sources.values().all(|source| source.scanned == 0), "{found}");
}
