//! `claviger seal`: a file or a pipe into a sealed file.
//!
//! Whatever can be refused is refused before a data key is made. The output appears at its name only when
//! it is complete and on the disk.

use std::path::PathBuf;

use clap::Args;
use claviger_envelope::{Envelopes, file::Existing};
use claviger_kms::KeyPath;
use serde_json::json;

use crate::{
    commands::seal_tree::{self, SealTree},
    context::ContextArguments,
    error::{CliError, Result},
    files::{Place, clear_beside},
    progress::Progress,
    reply::{Reply, bytes},
    session::{Session, blocking},
    stop::StoppableReader,
    tree::TreeArguments,
};

/// Seal a file or a pipe under a fresh data key
///
/// The data stays here; the service sees the data key only. The output is a new file, INPUT.claviger unless
/// -O names another, readable by its owner only; from a pipe (INPUT is -) it is the standard output.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SealArguments {
    /// The key that wraps the data key
    #[arg(long, value_name = "PATH")]
    key: KeyPath,
    #[command(flatten)]
    context: ContextArguments,
    /// The file to seal (with -r the directory), or - for the standard input
    #[arg(value_name = "INPUT")]
    input: PathBuf,
    /// Where to write, or - for the standard output
    #[arg(short = 'O', long, value_name = "OUTPUT")]
    output_file: Option<PathBuf>,
    /// Replace the output if it is a regular file
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    tree: TreeArguments,
}

pub(crate) async fn run(session: &Session, arguments: SealArguments) -> Result<Option<Reply>> {
    let SealArguments { key, context, input, output_file, force, tree } = arguments;
    let context = context.read()?;
    if tree.recursive {
        let jobs = tree.jobs;
        let job = SealTree { key, context, input, output: output_file, force, jobs };
        return seal_tree::run(session, job).await;
    }
    let input = Place::named(input);
    let output = output_file.map_or_else(|| input.sealed(), Place::named);
    let existing = output.check_output(force)?;
    if output == Place::Stream && session.streams.output_is_terminal() {
        return Err(CliError::usage("a sealed file is not for a terminal; name an output with -O"));
    }
    let (streams, place) = (session.streams.share()?, input.clone());
    let (plain, length) = blocking(move || place.open(&streams)).await?;

    let sealer = Envelopes::new(session.service.clone()).begin_file(&key, &context).await?;
    let header = sealer.header().clone();
    let plain = StoppableReader::new(plain, session.stop.clone());
    let progress = Progress::new(&input.display(), length, session.quiet);
    let (to, streams, cleanup) = (output.clone(), session.streams.share()?, session.stop.cleanup());
    let plaintext_length = blocking(move || {
        let _cleanup = cleanup;
        // Gone from the terminal before the end of the program is allowed.
        let progress = progress;
        let count = |done| progress.set(done);
        if let Place::File(path) = &to {
            clear_beside(path);
        }
        let sealed = match &to {
            Place::File(path) => sealer.seal_to_path(plain, path, existing, count),
            Place::Stream => sealer.seal_stream(plain, &streams.output, count),
        };
        sealed.map_err(|error| to.explain(error))
    })
    .await?;

    if output == Place::Stream {
        return Ok(None);
    }
    let (key_id, version) = header.key_version().unzip();
    let facts = json!({
        "input": input.display(),
        "output": output.display(),
        "plaintext_length": plaintext_length,
        "envelope_id": header.envelope_id(),
        "key": key,
        "key_id": key_id,
        "version": version,
        "replaced": existing == Existing::Replace,
    });
    session.note(&format!(
        "sealed {} of {} into {}, under {key}",
        bytes(plaintext_length),
        input.display(),
        output.display()
    ));
    Reply::new(&facts, "").map(Some)
}

const EXAMPLES: &str = "\
Examples:
  claviger seal --key us-east-1/payments report.pdf
  claviger seal --key us-east-1/payments --context file=report report.pdf -O sealed/report
  claviger seal -r --key us-east-1/payments folder -O sealed
  tar c folder | claviger seal --key us-east-1/payments - > folder.tar.claviger";

#[cfg(test)]
pub(super) mod tests;
