//! The objects of a bucket: sealed files, records, and others.

use std::net::SocketAddr;

use bytes::Bytes;
use claviger_envelope::file::{FileHeader, PAYLOAD_OFFSET};
use claviger_kms::EncryptionContext;
use claviger_rewrap::{CampaignFile, Outcome, SourceError, sources};
use claviger_testkit::{
    ObjectStore,
    certificates::{Authority, Wanted},
};
use object_store::{
    Attribute, Attributes, GetResult, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions,
    PutPayload, TagSet, UpdateVersion,
    aws::{AmazonS3, AmazonS3Builder},
};

use crate::{
    bench::{Bench, campaign, key, version_of},
    line::Line,
};

/// A bucket, as an application sees it.
struct Bucket {
    store: ObjectStore,
    application: AmazonS3,
    secret: tempfile::NamedTempFile,
}

impl Bucket {
    /// An empty one; `None` where there is no store.
    fn new() -> Option<Self> {
        let store = ObjectStore::start()?;
        store.create_bucket("cards");
        let application = AmazonS3Builder::new()
            .with_endpoint(format!("http://{}", store.address()))
            .with_allow_http(true)
            .with_bucket_name("cards")
            .with_access_key_id("application")
            .with_secret_access_key("any")
            .build()
            .expect("a client");
        let bucket = Self { store, application, secret: credentials("runner", "any") };
        Some(bucket)
    }

    fn file(&self, head: &str, more: &str) -> CampaignFile {
        self.file_at(self.store.address(), head, more)
    }

    fn file_at(&self, address: SocketAddr, head: &str, more: &str) -> CampaignFile {
        let source = format!(
            "kind = \"objects\"\nendpoint = \"http://{address}\"\nbucket = \"cards\"\nprefix = \"in/\"\n\
             credentials-file = {:?}\ncontext = {{ path = \"{{path}}\" }}\n{more}",
            self.secret.path()
        );
        campaign(head, &source)
    }

    async fn put(&self, name: &str, content: &[u8]) {
        let content = PutPayload::from(Bytes::copy_from_slice(content));
        self.application.put(&at(name), content).await.expect("written");
    }

    async fn put_with(&self, name: &str, content: &[u8], options: PutOptions) {
        let content = PutPayload::from(Bytes::copy_from_slice(content));
        self.application.put_opts(&at(name), content, options).await.expect("written");
    }

    async fn get(&self, name: &str) -> GetResult {
        self.application.get(&at(name)).await.expect("there")
    }

    async fn bytes(&self, name: &str) -> Vec<u8> {
        self.get(name).await.bytes().await.expect("read").into()
    }

    async fn versions(&self, name: &str) -> Vec<u32> {
        let header = FileHeader::parse(&self.bytes(name).await).expect("a header");
        let slots = header.slots().map(|slot| slot.expect("a whole slot").header().key_version());
        slots.iter().map(|found| found.expect("a version").1.number()).collect()
    }
}

fn credentials(key_id: &str, secret: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let text =
        format!("[default]\naws_access_key_id = {key_id}\naws_secret_access_key = {secret}\n");
    std::fs::write(file.path(), text).expect("written");
    file
}

fn at(name: &str) -> object_store::path::Path {
    format!("in/{name}").into()
}

fn bound(name: &str) -> EncryptionContext {
    let plain = name.strip_suffix(".claviger").expect("a sealed file's name");
    EncryptionContext::from_pairs([("path", plain)]).expect("a context")
}

async fn sealed(bench: &Bench, name: &str, content: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sealed");
    let sealer = bench.envelopes.begin_file(&key(), &bound(name)).await.expect("begins");
    let existing = claviger_envelope::file::Existing::Refuse;
    sealer.seal_to_path(content, &path, existing, |_| {}).expect("sealed");
    std::fs::read(path).expect("read")
}

async fn record(bench: &Bench, name: &str, content: &[u8]) -> Vec<u8> {
    bench.envelopes.seal(&key(), &bound(name), content).await.expect("seals")
}

async fn content(bench: &Bench, name: &str, sealed: &[u8]) -> Vec<u8> {
    let mut rest = sealed;
    let header = FileHeader::read_from(&mut rest).expect("a header");
    let opener = bench.envelopes.open_file(&bound(name), &header).await.expect("opens");
    let mut content = Vec::new();
    opener.open_stream(rest, &mut content, |_| {}).expect("opens");
    content
}

#[tokio::test(flavor = "multi_thread")]
async fn all_objects_move_and_what_is_no_envelope_is_counted_and_stays() {
    let Some(bucket) = Bucket::new() else { return };
    for mode in ["rewrap", "reencrypt"] {
        let bench = Bench::new();
        let mut names = Vec::new();
        for index in 0..12 {
            let name = format!("{}/{index}.claviger", index % 3);
            if index % 2 == 0 {
                bucket.put(&name, &sealed(&bench, &name, name.as_bytes()).await).await;
            } else {
                bucket.put(&name, &record(&bench, &name, name.as_bytes()).await).await;
            }
            names.push(name);
        }
        let garbage = vec![7; 20_000];
        bucket.put("garbage.claviger", &garbage).await;
        bucket.put("empty.claviger", b"").await;
        bucket.put("other.txt", b"not included").await;
        let outside = record(&bench, "o.claviger", b"outside").await;
        let elsewhere = object_store::path::Path::from("out/o.claviger");
        bucket.application.put(&elsewhere, outside.clone().into()).await.expect("written");
        bench.rotate().await;
        let before = bucket.bytes("0/0.claviger").await;
        let head = format!("mode = \"{mode}\"\nbatch = 3");
        let report = bench.run(&bucket.file(&head, "")).await;
        let counts = report.sources["cards"].last_pass;
        assert_eq!(
            (report.total.moved, counts.current, counts.malformed, counts.empty, counts.scanned),
            (12, 12, 1, 1, 14),
            "{report}"
        );
        assert_eq!(report.outcome, Outcome::Partial, "{report}");
        for (index, name) in names.iter().enumerate() {
            let now = bucket.bytes(name).await;
            if index % 2 == 0 {
                assert_eq!(bucket.versions(name).await, [2, 2], "{name}");
                assert_eq!(content(&bench, name, &now).await, name.as_bytes());
            } else {
                assert_eq!(version_of(&now), 2, "{name}");
                assert!(bench.envelopes.open(&bound(name), &now).await.is_ok(), "{name}");
            }
        }
        let now = bucket.bytes("0/0.claviger").await;
        let same_payload = now[PAYLOAD_OFFSET..] == before[PAYLOAD_OFFSET..];
        assert_eq!(same_payload, mode == "rewrap");
        assert_eq!(bucket.bytes("garbage.claviger").await, garbage);
        assert_eq!(bucket.bytes("other.txt").await, b"not included");
        let stands = bucket.application.get(&elsewhere).await.expect("there");
        assert_eq!(stands.bytes().await.expect("read"), outside);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_writes_between_reading_and_writing_wins() {
    let Some(bucket) = Bucket::new() else { return };
    for mode in ["rewrap", "reencrypt"] {
        let bench = Bench::new();
        bucket.put("a.claviger", &sealed(&bench, "a.claviger", b"first").await).await;
        bucket.put("b.claviger", &sealed(&bench, "b.claviger", b"other").await).await;
        // The application's own write, under the old version too.
        let second = sealed(&bench, "a.claviger", b"second").await;
        bench.rotate().await;
        let line = Line::to(bucket.store.address()).await;
        let application = bucket.application.clone();
        // The object was read, and the request that replaces it is on its way.
        line.before("PUT /cards/in/a.claviger", async move {
            application.put(&at("a.claviger"), second.into()).await.expect("written");
        });
        let head = format!("mode = \"{mode}\"");
        let report = bench.run(&bucket.file_at(line.address, &head, "")).await;
        assert_eq!(report.outcome, Outcome::Complete, "{report}");
        assert_eq!((report.total.conflicts, report.total.moved), (1, 2), "{report}");
        let now = bucket.bytes("a.claviger").await;
        assert_eq!(content(&bench, "a.claviger", &now).await, b"second");
        assert_eq!(bucket.versions("a.claviger").await, [2, 2]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_replaced_or_removed_after_the_scan_is_left_to_the_application() {
    let Some(bucket) = Bucket::new() else { return };
    let bench = Bench::new();
    for name in ["a.claviger", "b.claviger"] {
        bucket.put(name, &record(&bench, name, b"first").await).await;
    }
    let second = record(&bench, "a.claviger", b"second").await;
    bench.rotate().await;
    let file = bucket.file("", "");
    let inner = sources::open(&file).await.expect("opens").remove(0);
    let application = bucket.application.clone();
    let source = crate::bench::Meddled::once(&inner, async move {
        application.put(&at("a.claviger"), second.into()).await.expect("written");
        application.delete(&at("b.claviger")).await.expect("removed");
    });
    let report = bench.run_over(&file, &source).await;
    assert_eq!(report.outcome, Outcome::Complete, "{report}");
    assert_eq!((report.total.conflicts, report.total.gone), (1, 1), "{report}");
    let now = bucket.bytes("a.claviger").await;
    let opened = bench.envelopes.open(&bound("a.claviger"), &now).await.expect("opens");
    #[expect(clippy::disallowed_methods, reason = "compares what was opened")]
    opened.with_bytes(|bytes| assert_eq!(bytes, b"second"));
    assert!(bucket.application.head(&at("b.claviger")).await.is_err());
}

/// Without the look beforehand a store that ignores `If-Match` would take every write, whatever stands there.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_honour_if_match_is_not_written_to() {
    let Some(bucket) = Bucket::new() else { return };
    let bench = Bench::new();
    let before = record(&bench, "a.claviger", b"first").await;
    bucket.put("a.claviger", &before).await;
    bench.rotate().await;
    let line = Line::to(bucket.store.address()).await;
    line.hide_conditions();
    let report = bench.run(&bucket.file_at(line.address, "", "")).await;
    assert_eq!((report.outcome, report.total.moved), (Outcome::Partial, 0), "{report}");
    let reason = report.sources["cards"].reason.as_deref().expect("a reason");
    assert!(reason.contains("does not honour If-Match"), "{reason}");
    assert_eq!(bucket.bytes("a.claviger").await, before);
    use futures::TryStreamExt as _;
    let objects: Vec<_> = bucket.application.list(None).try_collect().await.expect("a list");
    assert_eq!(objects.len(), 1, "{objects:?}");
}

/// What the tests above stand on.
#[tokio::test(flavor = "multi_thread")]
async fn the_store_under_test_refuses_another_etag() {
    let Some(bucket) = Bucket::new() else { return };
    bucket.put("a", b"first").await;
    let mode = PutMode::Update(UpdateVersion { e_tag: Some("\"other\"".into()), version: None });
    let refused = bucket.application.put_opts(&at("a"), "second".into(), mode.into()).await;
    assert!(matches!(refused, Err(object_store::Error::Precondition { .. })), "{refused:?}");
    assert_eq!(bucket.bytes("a").await, b"first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_goes_away_ends_partial_and_the_next_run_does_the_rest() {
    let Some(bucket) = Bucket::new() else { return };
    let bench = Bench::new();
    for index in 0..30 {
        let name = format!("{index:02}.claviger");
        bucket.put(&name, &record(&bench, &name, b"value").await).await;
    }
    bench.rotate().await;
    let line = Line::to(bucket.store.address()).await;
    let cutting = line.clone();
    line.before("PUT /cards/in/12.claviger", async move { cutting.cut(true) });
    let head = "batch = 5\nconcurrency = 1\ngive-up-seconds = 1";
    let file = bucket.file_at(line.address, head, "");
    let first = bench.run(&file).await;
    assert_eq!(first.outcome, Outcome::Partial, "{first}");
    let reason = first.sources["cards"].reason.as_deref().expect("a reason");
    assert!(reason.contains("out of reach"), "{reason}");
    assert_eq!(first.total.moved, 10, "{first}");
    line.cut(false);
    let second = bench.run(&file).await;
    assert_eq!(second.outcome, Outcome::Complete, "{second}");
    for index in 0..30 {
        assert_eq!(version_of(&bucket.bytes(&format!("{index:02}.claviger")).await), 2, "{index}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_and_storage_class_are_kept_and_what_cannot_be_is_left_alone() {
    let Some(bucket) = Bucket::new() else { return };
    for mode in ["rewrap", "reencrypt"] {
        let bench = Bench::new();
        let attributes = Attributes::from_iter([
            (Attribute::ContentType, "application/x-sealed"),
            (Attribute::CacheControl, "no-store"),
            (Attribute::ContentDisposition, "attachment"),
            (Attribute::ContentEncoding, "aws"),
            (Attribute::ContentLanguage, "de"),
            (Attribute::StorageClass, "STANDARD_IA"),
            (Attribute::Metadata("owner".into()), "finance"),
        ]);
        let options = PutOptions { attributes: attributes.clone(), ..Default::default() };
        let file = sealed(&bench, "a.claviger", b"content").await;
        bucket.put_with("a.claviger", &file, options).await;
        let mut tags = TagSet::default();
        tags.push("keep", "7-years");
        let tagged = record(&bench, "tagged.claviger", b"content").await;
        let options = PutOptions { tags, ..Default::default() };
        bucket.put_with("tagged.claviger", &tagged, options).await;
        bench.rotate().await;
        let report = bench.run(&bucket.file(&format!("mode = \"{mode}\""), "")).await;
        assert_eq!((report.outcome, report.total.moved), (Outcome::Partial, 1), "{report}");
        assert_eq!(bucket.versions("a.claviger").await, [2, 2]);
        let now = bucket.get("a.claviger").await;
        for (name, value) in attributes.iter().filter(|(name, _)| **name != Attribute::StorageClass)
        {
            assert_eq!(now.attributes.get(name), Some(value), "{name:?}");
        }
        assert_eq!(storage_class(&bucket, "a.claviger").await.as_deref(), Some("STANDARD_IA"));
        let refused = report.sources["cards"].findings.of("refused");
        assert!(refused[0].reason.contains("tags"), "{report}");
        assert_eq!(bucket.bytes("tagged.claviger").await, tagged);
    }
}

/// As the store's answer says it; `object_store` does not.
async fn storage_class(bucket: &Bucket, name: &str) -> Option<String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let address = bucket.store.address();
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("connects");
    let request = format!(
        "HEAD /cards/in/{name} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential=none/20200101/us-east-1/s3/aws4_request, \
         SignedHeaders=host, Signature=none\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("read");
    let line =
        answer.lines().find(|line| line.to_lowercase().starts_with("x-amz-storage-class"))?;
    Some(line.split_once(": ")?.1.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_over_the_limit_is_a_finding_and_stays_and_counts_as_current_later() {
    let Some(bucket) = Bucket::new() else { return };
    let bench = Bench::new();
    let long = sealed(&bench, "long.claviger", &vec![7; 1_200_000]).await;
    bucket.put("long.claviger", &long).await;
    bucket.put("short.claviger", &sealed(&bench, "short.claviger", b"short").await).await;
    bench.rotate().await;
    let limited = "max-object-bytes = 1048576";
    let report = bench.run(&bucket.file("", limited)).await;
    assert_eq!((report.outcome, report.total.moved), (Outcome::Partial, 1), "{report}");
    let refused = report.sources["cards"].findings.of("refused");
    assert!(refused[0].reason.contains("max-object-bytes is 1048576"), "{report}");
    assert_eq!(bucket.bytes("long.claviger").await, long);
    let report = bench.run(&bucket.file("", "")).await;
    assert_eq!((report.outcome, report.total.moved), (Outcome::Complete, 1), "{report}");
    let now = bucket.bytes("long.claviger").await;
    assert_eq!(content(&bench, "long.claviger", &now).await, vec![7; 1_200_000]);
    let report = bench.run(&bucket.file("", limited)).await;
    assert_eq!((report.outcome, report.total.current), (Outcome::Complete, 2), "{report}");
}

async fn refused_at_open(file: &CampaignFile) -> String {
    match sources::open(file).await {
        Ok(_) => panic!("the source opened"),
        Err(error) => {
            use claviger_rewrap::CampaignError::Source;
            assert!(matches!(error, Source { source: SourceError::Unusable { .. }, .. }));
            error.to_string()
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_or_missing_credentials_are_told_at_once() {
    let Some(bucket) = Bucket::new() else { return };
    bucket.store.require_permission();
    let said = refused_at_open(&bucket.file("", "")).await;
    assert!(said.contains("InvalidAccessKeyId"), "{said}");
    std::fs::write(bucket.secret.path(), "aws_access_key_id = runner").expect("written");
    let said = refused_at_open(&bucket.file("", "")).await;
    assert!(said.contains("aws_secret_access_key") && !said.contains("runner"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_write_a_run_says_so_and_with_it_the_run_goes_on() {
    let Some(mut bucket) = Bucket::new() else { return };
    let bench = Bench::new();
    let before = record(&bench, "a.claviger", b"value").await;
    bucket.put("a.claviger", &before).await;
    bench.rotate().await;
    let reader = bucket.store.create_user("reader", &["s3:ListBucket", "s3:GetObject"]);
    let writer =
        bucket.store.create_user("writer", &["s3:ListBucket", "s3:GetObject", "s3:PutObject"]);
    bucket.store.require_permission();
    bucket.secret = credentials(&reader.0, &reader.1);
    let report = bench.run(&bucket.file("", "")).await;
    assert_eq!((report.outcome, report.total.moved), (Outcome::Partial, 0), "{report}");
    let reason = report.sources["cards"].reason.as_deref().expect("a reason");
    assert!(reason.contains("AccessDenied"), "{reason}");
    // Signed for the wrong secret.
    bucket.secret = credentials(&writer.0, &reader.1);
    let said = refused_at_open(&bucket.file("", "")).await;
    assert!(said.contains("SignatureDoesNotMatch") && !said.contains(&reader.1), "{said}");
    bucket.secret = credentials(&writer.0, &writer.1);
    let report = bench.run(&bucket.file("", "")).await;
    assert_eq!((report.outcome, report.total.moved), (Outcome::Complete, 1), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_only_a_store_of_the_named_ca_is_believed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ours, other) = (Authority::new("ours"), Authority::new("another"));
    let (ca, wrong) = (folder.path().join("ca.pem"), folder.path().join("wrong.pem"));
    ours.write(&ca);
    other.write(&wrong);
    let issued = ours.issue(folder.path(), "store", &Wanted::server());
    let Some(store) = ObjectStore::start_tls(&issued.certificate, &issued.key) else { return };
    let secret = credentials("runner", "any");
    let file = |ca: &std::path::Path| {
        campaign(
            "",
            &format!(
                "kind = \"objects\"\nendpoint = \"https://{}\"\nbucket = \"cards\"\n\
                 credentials-file = {:?}\nca-file = {ca:?}\ncontext = {{}}",
                store.address(),
                secret.path()
            ),
        )
    };
    // The bucket is not there, and only a store that was believed can say so.
    let said = refused_at_open(&file(&ca)).await;
    assert!(said.contains("NoSuchBucket"), "{said}");
    let Err(error) = sources::open(&file(&wrong)).await else { panic!("it was believed") };
    assert!(error.to_string().contains("certificate"), "{error}");
}
