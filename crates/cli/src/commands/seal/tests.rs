//! Sealing, over a key service in memory.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::{problem::Problem, session::tests::Bench};

pub(crate) fn arguments(input: impl Into<PathBuf>) -> SealArguments {
    SealArguments {
        key: "eu/pay".parse().unwrap(),
        context: ContextArguments::default(),
        input: input.into(),
        output_file: None,
        force: false,
        tree: TreeArguments { recursive: false, jobs: 2 },
    }
}

#[tokio::test]
async fn the_output_stands_beside_the_input_and_is_its_owners_only() {
    let bench = Bench::new(b"");
    let input = bench.path("report");
    std::fs::write(&input, "secret").unwrap();
    let reply = run(&bench.session, arguments(&input)).await.unwrap().unwrap();
    let sealed = bench.path("report.claviger");
    assert_eq!(sealed.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(!std::fs::read(&sealed).unwrap().windows(6).any(|window| window == b"secret"));
    assert_eq!(reply.json()["output"], sealed.display().to_string());
    assert_eq!(reply.json()["plaintext_length"], 6);
    assert_eq!(reply.json()["version"], 1);
    assert_eq!(reply.text(), "");
    assert_eq!(bench.names(), ["report", "report.claviger"]);
}

#[tokio::test]
async fn an_output_that_exists_is_left_alone_and_no_data_key_is_made() {
    let bench = Bench::new(b"");
    let input = bench.path("report");
    std::fs::write(&input, "secret").unwrap();
    std::fs::write(bench.path("report.claviger"), "precious").unwrap();
    bench.service.set_reachable(false);
    let refused = run(&bench.session, arguments(&input)).await.unwrap_err();
    assert_eq!(refused.problem(), Problem::OutputExists);
    assert_eq!(std::fs::read(bench.path("report.claviger")).unwrap(), b"precious");
}

#[tokio::test]
async fn force_replaces_a_file_but_only_when_the_new_one_is_complete() {
    let bench = Bench::new(b"");
    let (input, output) = (bench.path("report"), bench.path("report.claviger"));
    std::fs::write(&input, "secret").unwrap();
    std::fs::write(&output, "precious").unwrap();
    let forced = || SealArguments { force: true, ..arguments(&input) };

    bench.session.stop.request();
    assert!(run(&bench.session, forced()).await.is_err());
    assert_eq!(std::fs::read(&output).unwrap(), b"precious");
    assert_eq!(bench.names(), ["report", "report.claviger"]);

    let bench =
        Bench { session: Session { stop: crate::stop::Stop::new(), ..bench.session }, ..bench };
    let reply = run(&bench.session, forced()).await.unwrap().unwrap();
    assert_eq!(reply.json()["replaced"], true);
    assert_ne!(std::fs::read(&output).unwrap(), b"precious");
}

#[tokio::test]
async fn a_missing_input_key_or_service_makes_no_output() {
    let bench = Bench::new(b"");
    let refused = run(&bench.session, arguments(bench.path("nothing"))).await.unwrap_err();
    assert_eq!(refused.problem(), Problem::FileError);

    let input = bench.path("report");
    std::fs::write(&input, "secret").unwrap();
    let other = SealArguments { key: "us".parse().unwrap(), ..arguments(&input) };
    let refused = run(&bench.session, other).await.unwrap_err();
    assert_eq!(refused.problem(), Problem::NotFound);

    bench.service.set_reachable(false);
    let refused = run(&bench.session, arguments(&input)).await.unwrap_err();
    assert_eq!(refused.problem(), Problem::Unavailable);
    assert_eq!(bench.names(), ["report"]);
}

#[tokio::test]
async fn an_output_in_a_folder_that_is_not_there_names_the_path() {
    let bench = Bench::new(b"secret");
    let output_file = Some(bench.path("nowhere/out"));
    let refused =
        run(&bench.session, SealArguments { output_file, ..arguments("-") }).await.unwrap_err();
    assert_eq!(refused.problem(), Problem::FileError);
    assert!(refused.to_string().contains("nowhere/out"), "{refused}");
}

#[tokio::test]
async fn a_full_disk_leaves_nothing_and_says_so() {
    let mut bench = Bench::new(b"secret");
    bench.session.streams.output = std::fs::File::create("/dev/full").unwrap();
    let refused = run(&bench.session, arguments("-")).await.unwrap_err();
    assert_eq!(refused.problem(), Problem::FileError);
    assert!(refused.to_string().contains("No space left"), "{refused}");
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_error_of_ours() {
    let mut bench = Bench::new(&[0; 500_000]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    bench.session.streams.output = std::fs::File::from(std::os::fd::OwnedFd::from(writer));
    let refused = run(&bench.session, arguments("-")).await.unwrap_err();
    assert_eq!(refused.problem(), Problem::OutputClosed);
}

/// Measured by the kernel, for the whole process.
#[tokio::test]
async fn sealing_and_opening_256_mib_stay_under_64_mib_of_memory() {
    let bench = Bench::new(b"");
    let input = bench.path("zeros");
    std::fs::File::create(&input).unwrap().set_len(256 << 20).unwrap();
    run(&bench.session, arguments(&input)).await.unwrap();
    std::fs::remove_file(&input).unwrap();
    let sealed = super::super::open::tests::arguments(bench.path("zeros.claviger"));
    super::super::open::run(&bench.session, sealed).await.unwrap();
    assert_eq!(input.metadata().unwrap().len(), 256 << 20);

    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let peak: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(peak < 64 * 1024, "{peak} KiB");
}
