//! `claviger open`: a sealed file or record back to its plaintext.
//!
//! Into a file: it appears only when all of it is verified. Into a pipe: verified chunks only, and an exit
//! code that is not 0 when the end is missing, for by then a part is out.

use std::{
    io::{self, Read as _},
    path::PathBuf,
};

use clap::Args;
use claviger_envelope::{
    EnvelopeError, Envelopes, Header,
    file::{Existing, FileHeader, PAYLOAD_OFFSET},
};
use claviger_kms::EncryptionContext;
use serde_json::json;

use crate::{
    commands::open_tree::{self, OpenTree},
    context::ContextArguments,
    error::{CliError, Result},
    files::{Place, clear_beside},
    progress::Progress,
    reply::{Reply, bytes},
    secret_output,
    session::{Session, blocking},
    stop::StoppableReader,
    streams::read_all,
    tree::TreeArguments,
};

/// Open a sealed file, pipe or record
///
/// The output is a new file, INPUT without .claviger unless -O names another, readable by its owner only;
/// from a pipe (INPUT is -) it is the standard output. A pipe gets verified chunks as they come: if the
/// exit code is not 0, throw away what came.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct OpenArguments {
    #[command(flatten)]
    context: ContextArguments,
    /// The file to open (with -r the directory), or - for the standard input
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

/// What is opened into what.
struct Job {
    context: EncryptionContext,
    input: Place,
    output: Place,
    existing: Existing,
}

pub(crate) async fn run(session: &Session, arguments: OpenArguments) -> Result<Option<Reply>> {
    let OpenArguments { context, input, output_file, force, tree } = arguments;
    let context = context.read()?;
    if tree.recursive {
        let job = OpenTree { context, input, output: output_file, force, jobs: tree.jobs };
        return open_tree::run(session, job).await;
    }
    let input = Place::named(input);
    let output = output_file.map_or_else(|| input.opened(), |name| Ok(Place::named(name)))?;
    let existing = output.check_output(force)?;
    let job = Job { context, input, output, existing };

    let (place, streams, stop) =
        (job.input.clone(), session.streams.share()?, session.stop.clone());
    let (start, sealed, length) = blocking(move || {
        let (file, length) = place.open(&streams)?;
        let mut sealed = StoppableReader::new(file, stop);
        let start = read_start(&mut sealed, &place)?;
        Ok((start, sealed, length))
    })
    .await?;
    let plaintext_length = if start.starts_with(&Header::MAGIC) {
        open_record(session, &job, start, sealed).await?
    } else {
        open_file(session, &job, &start, sealed, length).await?
    };

    if job.output == Place::Stream {
        return Ok(None);
    }
    let (input, output) = (job.input.display(), job.output.display());
    session.note(&format!("opened {input} into {output}, {}", bytes(plaintext_length)));
    let replaced = job.existing == Existing::Replace;
    let facts = json!({
        "input": input,
        "output": output,
        "plaintext_length": plaintext_length,
        "replaced": replaced,
    });
    Reply::new(&facts, "").map(Some)
}

/// A file, with bounded memory.
async fn open_file(
    session: &Session,
    job: &Job,
    start: &[u8],
    sealed: StoppableReader,
    length: Option<u64>,
) -> Result<u64> {
    let header = FileHeader::parse(start)?;
    let opener = Envelopes::new(session.service.clone()).open_file(&job.context, &header).await?;
    let payload_length = length.map(|length| length.saturating_sub(PAYLOAD_OFFSET as u64));
    let plaintext_length =
        payload_length.and_then(|length| header.inspect(length).plaintext_length);
    let progress = Progress::new(&job.input.display(), plaintext_length, session.quiet);
    let (to, existing) = (job.output.clone(), job.existing);
    let (streams, cleanup) = (session.streams.share()?, session.stop.cleanup());
    blocking(move || {
        let _cleanup = cleanup;
        // Gone from the terminal before the end of the program is allowed.
        let progress = progress;
        let mut released = 0;
        let count = |done| {
            released = done;
            progress.set(done);
        };
        if let Place::File(path) = &to {
            clear_beside(path);
        }
        let opened = match &to {
            Place::File(path) => opener.open_to_path(sealed, path, existing, count),
            Place::Stream => opener.open_stream(sealed, &streams.output, count),
        };
        opened.map_err(|error| match (&to, error) {
            (Place::Stream, EnvelopeError::Rejected) if released > 0 => {
                CliError::Incomplete { released }
            }
            (_, error) => to.explain(error),
        })
    })
    .await
}

/// A record: it is verified as a whole, so it is held as a whole.
async fn open_record(
    session: &Session,
    job: &Job,
    start: Vec<u8>,
    sealed: StoppableReader,
) -> Result<u64> {
    let name = job.input.display();
    let envelope = blocking(move || read_all(io::Cursor::new(start).chain(sealed), &name)).await?;
    let plain = Envelopes::new(session.service.clone()).open(&job.context, &envelope).await?;
    let (to, existing) = (job.output.clone(), job.existing);
    let (streams, cleanup) = (session.streams.share()?, session.stop.cleanup());
    blocking(move || {
        let _cleanup = cleanup;
        match &to {
            Place::File(path) => secret_output::write_file(&plain, path, existing)?,
            Place::Stream => secret_output::write_plain(&plain, &streams.output)?,
        }
        Ok(plain.len() as u64)
    })
    .await
}

/// The first bytes, as many as a file's header has, or fewer if there are no more.
fn read_start(sealed: &mut StoppableReader, place: &Place) -> Result<Vec<u8>> {
    let mut start = Vec::with_capacity(PAYLOAD_OFFSET);
    sealed
        .take(PAYLOAD_OFFSET as u64)
        .read_to_end(&mut start)
        .map_err(CliError::file(format!("reading {}", place.display())))?;
    Ok(start)
}

const EXAMPLES: &str = "\
Examples:
  claviger open report.pdf.claviger
  claviger open --context file=report sealed/report -O report.pdf
  claviger open -r sealed -O folder
  claviger open - < folder.tar.claviger | tar x";

#[cfg(test)]
pub(super) mod tests;
