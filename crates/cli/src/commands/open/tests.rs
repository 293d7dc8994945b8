//! Opening, over a key service in memory.

use super::*;
use crate::{
    commands::seal::{self, tests::arguments as seal_arguments},
    problem::Problem,
    session::tests::Bench,
};

pub(crate) fn arguments(input: impl Into<PathBuf>) -> OpenArguments {
    OpenArguments {
        context: ContextArguments::default(),
        input: input.into(),
        output_file: None,
        force: false,
        tree: TreeArguments { recursive: false, jobs: 2 },
    }
}

/// A bench and a sealed file of this plaintext.
async fn sealed(plaintext: &[u8]) -> (Bench, Vec<u8>) {
    let mut bench = Bench::new(plaintext);
    seal::run(&bench.session, seal_arguments("-")).await.unwrap();
    let sealed = bench.take_output();
    (bench, sealed)
}

fn plaintext() -> Vec<u8> {
    (0..300_000_u32).map(|n| (n % 251) as u8).collect()
}

#[tokio::test]
async fn a_file_comes_back_beside_its_sealed_form() {
    let (bench, sealed) = sealed(&plaintext()).await;
    std::fs::write(bench.path("report.claviger"), sealed).unwrap();
    let input = bench.path("report.claviger");
    let reply = run(&bench.session, arguments(input)).await.unwrap().unwrap();
    assert_eq!(std::fs::read(bench.path("report")).unwrap(), plaintext());
    assert_eq!(reply.json()["plaintext_length"], 300_000);
}

#[tokio::test]
async fn pipes_of_every_length_come_back() {
    for length in [0, 1, 16_383, 16_384, 16_385, 300_000] {
        let plaintext = &plaintext()[..length];
        let (mut bench, sealed) = sealed(plaintext).await;
        bench.set_input(&sealed);
        assert!(run(&bench.session, arguments("-")).await.unwrap().is_none());
        assert_eq!(bench.take_output(), plaintext);
    }
}

/// Each byte that came out was verified, and the exit code says that they are not all.
#[tokio::test]
async fn a_pipe_that_was_cut_gives_a_true_beginning_and_says_it_is_not_the_whole() {
    let (mut bench, sealed) = sealed(&plaintext()).await;
    for cut in [1, 17, 16_400, 100_000] {
        bench.set_input(&sealed[..sealed.len() - cut]);
        let refused = run(&bench.session, arguments("-")).await.unwrap_err();
        assert_eq!(refused.problem(), Problem::CiphertextRejected);
        let output = bench.take_output();
        assert!(!output.is_empty() && output.len() < 300_000);
        assert!(plaintext().starts_with(&output), "{cut}");
        let text = refused.to_string();
        assert!(text.contains(&format!("after {} bytes", output.len())), "{text}");
        assert!(text.contains("must not be used"), "{text}");
    }
}

#[tokio::test]
async fn a_file_that_was_cut_altered_or_lengthened_leaves_nothing_behind() {
    let (bench, sealed) = sealed(&plaintext()).await;
    let mut altered = sealed.clone();
    altered[PAYLOAD_OFFSET + 200_000] ^= 1;
    let longer = [&sealed[..], b"x"].concat();
    for bad in [&sealed[..sealed.len() - 1], &altered, &longer] {
        let input = bench.path("report.claviger");
        std::fs::write(&input, bad).unwrap();
        let refused = run(&bench.session, arguments(&input)).await.unwrap_err();
        assert_eq!(refused.problem(), Problem::CiphertextRejected);
        assert_eq!(bench.names(), ["report.claviger"]);
    }
}

#[tokio::test]
async fn another_context_is_rejected_before_a_byte_comes_out() {
    let (mut bench, sealed) = sealed(b"secret").await;
    bench.set_input(&sealed);
    let path = bench.path("context.json");
    std::fs::write(&path, r#"{"row": "18"}"#).unwrap();
    let context = clap_context(&["--context-json", path.to_str().unwrap()]);
    let refused = run(&bench.session, OpenArguments { context, ..arguments("-") }).await;
    assert_eq!(refused.unwrap_err().problem(), Problem::CiphertextRejected);
    assert!(bench.take_output().is_empty());
}

#[tokio::test]
async fn what_is_no_sealed_file_is_said_plainly() {
    let (mut bench, sealed) = sealed(b"secret").await;
    let mut torn = sealed.clone();
    (torn[100], torn[5000]) = (0xFF, 0xFF);
    for (bad, problem) in [
        (&b""[..], Problem::NotAnEnvelope),
        (&[7; 9000], Problem::NotAnEnvelope),
        (&sealed[..8000], Problem::NotAnEnvelope),
        (b"CLVE\x09", Problem::UnknownFormat),
        (&torn, Problem::HeadersDamaged),
    ] {
        bench.set_input(bad);
        let refused = run(&bench.session, arguments("-")).await.unwrap_err();
        assert_eq!(refused.problem(), problem);
        assert!(bench.take_output().is_empty());
    }
}

#[tokio::test]
async fn a_record_opens_into_a_pipe_and_into_a_file() {
    let mut bench = Bench::new(b"");
    let envelopes = Envelopes::new(bench.session.service.clone());
    let (key, context) = ("eu/pay".parse().unwrap(), EncryptionContext::new());
    let record = envelopes.seal(&key, &context, b"4111").await.unwrap();
    bench.set_input(&record);
    run(&bench.session, arguments("-")).await.unwrap();
    assert_eq!(bench.take_output(), b"4111");

    let input = bench.path("card.claviger");
    std::fs::write(&input, &record).unwrap();
    run(&bench.session, arguments(&input)).await.unwrap();
    assert_eq!(std::fs::read(bench.path("card")).unwrap(), b"4111");
    let refused = run(&bench.session, arguments(&input)).await.unwrap_err();
    assert_eq!(refused.problem(), Problem::OutputExists);
}

#[tokio::test]
async fn a_stop_while_opening_leaves_nothing_behind() {
    let (bench, sealed) = sealed(&plaintext()).await;
    let input = bench.path("report.claviger");
    std::fs::write(&input, sealed).unwrap();
    bench.session.stop.request();
    assert!(run(&bench.session, arguments(&input)).await.is_err());
    assert_eq!(bench.names(), ["report.claviger"]);
}

fn clap_context(words: &[&str]) -> ContextArguments {
    use clap::FromArgMatches as _;
    let command = ContextArguments::augment_args(clap::Command::new("claviger"));
    let words = std::iter::once(&"claviger").chain(words);
    let matches = command.try_get_matches_from(words).unwrap();
    ContextArguments::from_arg_matches(&matches).unwrap()
}
