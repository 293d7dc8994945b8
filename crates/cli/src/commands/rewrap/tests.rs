//! Rewrapping, over a key service in memory.

use claviger_kms::{CreateVersion, KeyVersion, VersionRequest};

use super::*;
use crate::{
    commands::{open, seal},
    problem::Problem,
    session::tests::Bench,
};

fn arguments(file: impl Into<PathBuf>) -> RewrapArguments {
    RewrapArguments {
        context: ContextArguments::default(),
        files: vec![file.into()],
        tree: TreeArguments { recursive: false, jobs: 2 },
    }
}

async fn rotate(bench: &Bench) {
    let key = "eu/pay".parse().unwrap();
    let request = CreateVersion { key, idempotency_key: None };
    bench.session.service.rotate(request).await.unwrap();
}

async fn disable_first(bench: &Bench) {
    let request = VersionRequest { key: "eu/pay".parse().unwrap(), version: KeyVersion::FIRST };
    bench.session.service.disable_version(request).await.unwrap();
}

#[tokio::test]
async fn a_file_moves_and_then_opens_without_its_old_version() {
    let mut bench = Bench::new(&[5; 50_000]);
    seal::run(&bench.session, seal::tests::arguments("-")).await.unwrap();
    let file = bench.path("f.claviger");
    let sealed = bench.take_output();
    std::fs::write(&file, &sealed).unwrap();
    rotate(&bench).await;
    let reply = run(&bench.session, arguments(&file)).await.unwrap().unwrap();
    assert_eq!(reply.json()["wraps"], json!([{"from": 1, "to": 2}]));
    let moved = std::fs::read(&file).unwrap();
    assert_eq!(moved[PAYLOAD_OFFSET..], sealed[PAYLOAD_OFFSET..]);

    let again = run(&bench.session, arguments(&file)).await.unwrap().unwrap();
    assert_eq!(again.json()["wraps"], json!([{"from": 2, "to": 2}]));
    assert_eq!(std::fs::read(&file).unwrap(), moved);

    disable_first(&bench).await;
    open::run(&bench.session, open::tests::arguments(&file)).await.unwrap();
    assert_eq!(std::fs::read(bench.path("f")).unwrap(), [5; 50_000]);
}

#[tokio::test]
async fn a_record_moves_and_then_opens_without_its_old_version() {
    let mut bench = Bench::new(b"");
    let envelopes = Envelopes::new(bench.session.service.clone());
    let (key, context) = ("eu/pay".parse().unwrap(), EncryptionContext::new());
    let record = envelopes.seal(&key, &context, b"4111").await.unwrap();
    let file = bench.path("r.claviger");
    std::fs::write(&file, record).unwrap();
    rotate(&bench).await;
    run(&bench.session, arguments(&file)).await.unwrap();
    disable_first(&bench).await;
    bench.set_input(&std::fs::read(&file).unwrap());
    open::run(&bench.session, open::tests::arguments("-")).await.unwrap();
    assert_eq!(bench.take_output(), b"4111");
    assert_eq!(bench.names(), ["r.claviger"]);
}

#[tokio::test]
async fn what_is_refused_leaves_the_file_as_it_was() {
    let mut bench = Bench::new(b"secret");
    seal::run(&bench.session, seal::tests::arguments("-")).await.unwrap();
    let sealed = bench.take_output();
    let file = bench.path("f.claviger");
    rotate(&bench).await;
    disable_first(&bench).await;
    for (content, problem) in [
        (&sealed[..], Problem::KeyUnusable),
        (&sealed[..100], Problem::NotAnEnvelope),
        (b"CLVE\x01\x01", Problem::NotAnEnvelope),
    ] {
        std::fs::write(&file, content).unwrap();
        let refused = run(&bench.session, arguments(&file)).await.unwrap_err();
        assert_eq!(refused.problem(), problem);
        assert_eq!(std::fs::read(&file).unwrap(), content);
    }
    let missing = run(&bench.session, arguments(bench.path("none"))).await.unwrap_err();
    assert_eq!(missing.problem(), Problem::FileError);
}
