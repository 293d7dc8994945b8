//! `claviger cat`: a part of a sealed file, without reading the rest.
//!
//! That the file is complete is verified first, by its last chunk; then only the chunks that hold the part are
//! read, and each is verified before it is written.

use std::path::PathBuf;

use clap::Args;
use claviger_envelope::{
    EnvelopeError, Envelopes,
    file::{ByteRange, FileHeader},
};

use crate::{
    context::ContextArguments,
    error::{CliError, Result},
    files::Place,
    session::{Session, blocking},
    stop::StoppableReader,
};

/// Write a sealed file's plaintext, or a part of it, to the standard output
///
/// Reads and verifies only the chunks that hold the part, and the last one. If the exit code is not 0, throw
/// away what came. A pipe cannot be read at any position: use open.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CatArguments {
    #[command(flatten)]
    context: ContextArguments,
    /// The sealed file
    #[arg(value_name = "FILE")]
    input: PathBuf,
    /// START-END (END included), START+LENGTH, START- or -LAST, in bytes from 0; all of it if not given
    #[arg(long, value_name = "RANGE", allow_hyphen_values = true)]
    range: Option<ByteRange>,
}

pub(crate) async fn run(session: &Session, arguments: CatArguments) -> Result<()> {
    let CatArguments { context, input, range } = arguments;
    let context = context.read()?;
    let input = Place::named(input);
    let (place, streams) = (input.clone(), session.streams.share()?);
    let (file, header) = blocking(move || {
        let (file, length) = place.open(&streams)?;
        if place == Place::Stream || length.is_none() {
            return Err(CliError::usage(
                "only a file can be read at any position; a pipe is opened with `claviger open -`",
            ));
        }
        let header = FileHeader::read_at_start(&file)?;
        Ok((file, header))
    })
    .await?;
    let opener = Envelopes::new(session.service.clone()).open_file(&context, &header).await?;
    let (streams, stop) = (session.streams.share()?, session.stop.clone());
    blocking(move || {
        let mut released = 0;
        let file = StoppableReader::new(file, stop);
        let range = range.unwrap_or(ByteRange::ALL);
        let opened = opener.open_range(file, range, &streams.output, |done| released = done);
        opened.map(|_| ()).map_err(|error| match error {
            EnvelopeError::Rejected if released > 0 => CliError::Incomplete { released },
            error => Place::Stream.explain(error),
        })
    })
    .await
}

const EXAMPLES: &str = "\
Examples:
  claviger cat --range 0-499 disk.img.claviger
  claviger cat --range 1048576+4096 disk.img.claviger > block
  claviger cat --range -1000 --context file=log log.claviger";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        commands::seal::{self, tests::arguments as seal_arguments},
        problem::Problem,
        session::tests::Bench,
    };

    fn arguments(input: impl Into<PathBuf>, range: &str) -> CatArguments {
        let range = Some(range.parse().unwrap());
        CatArguments { context: ContextArguments::default(), input: input.into(), range }
    }

    async fn bench() -> (Bench, Vec<u8>) {
        let plain: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
        let mut bench = Bench::new(&plain);
        seal::run(&bench.session, seal_arguments("-")).await.unwrap();
        let sealed = bench.take_output();
        std::fs::write(bench.path("f.claviger"), &sealed).unwrap();
        (bench, plain)
    }

    #[tokio::test]
    async fn any_part_comes_out_as_it_was_sealed() {
        let (mut bench, plain) = bench().await;
        for (range, part) in [
            ("0-0", 0..1),
            ("16380-16390", 16_380..16_391),
            ("40000+30000", 40_000..70_000),
            ("99990-", 99_990..100_000),
            ("-5", 99_995..100_000),
            ("-500000", 0..100_000),
        ] {
            run(&bench.session, arguments(bench.path("f.claviger"), range)).await.unwrap();
            assert_eq!(bench.take_output(), plain[part], "{range}");
        }
    }

    #[tokio::test]
    async fn refuses_a_range_past_the_end_a_pipe_a_cut_file_and_another_context() {
        let (mut bench, _) = bench().await;
        let file = bench.path("f.claviger");
        async fn refused(bench: &Bench, arguments: CatArguments) -> Problem {
            run(&bench.session, arguments).await.unwrap_err().problem()
        }
        assert_eq!(refused(&bench, arguments(&file, "100000-")).await, Problem::InvalidRequest);
        assert_eq!(refused(&bench, arguments("-", "0-1")).await, Problem::Usage);
        let cut = std::fs::read(&file).unwrap();
        std::fs::write(&file, &cut[..cut.len() - 1]).unwrap();
        assert_eq!(refused(&bench, arguments(&file, "0-1")).await, Problem::CiphertextRejected);
        std::fs::write(&file, &cut[..8192]).unwrap();
        assert_eq!(refused(&bench, arguments(&file, "0-1")).await, Problem::CiphertextRejected);
        std::fs::write(&file, "CLVE").unwrap();
        assert_eq!(refused(&bench, arguments(&file, "0-1")).await, Problem::NotAnEnvelope);
        assert_eq!(bench.take_output(), b"");
    }
}
