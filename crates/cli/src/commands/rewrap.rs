//! `claviger rewrap`: the data key of one sealed file or record to the newest version of its key.
//!
//! Only the header changes. A file's is replaced in place, slot by slot; a record's file is replaced as a
//! whole, in one step.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _},
    path::PathBuf,
};

use clap::Args;
use claviger_envelope::{Envelopes, Header, RewrappedHeader, WrapOutcome, file::PAYLOAD_OFFSET};
use claviger_kms::EncryptionContext;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::{
    commands::rewrap_many,
    context::ContextArguments,
    error::{CliError, Result},
    files::replace_file,
    reply::{Lines, Reply},
    session::{Session, blocking},
    streams::read_all,
    tree::TreeArguments,
};

/// Move the data key of a sealed file or record to the newest version of its key
///
/// Changes the file's header and nothing else; a file of any size takes as long as a small one. Needs the
/// context it was sealed with. Others may rewrap the same file at the same time; it can be read meanwhile.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RewrapArguments {
    #[command(flatten)]
    context: ContextArguments,
    /// The files, all with the same context; with -r directories
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    tree: TreeArguments,
}

pub(crate) async fn run(session: &Session, arguments: RewrapArguments) -> Result<Option<Reply>> {
    let RewrapArguments { context, files, tree } = arguments;
    let context = context.read()?;
    match <[PathBuf; 1]>::try_from(files) {
        Ok([path]) if !tree.recursive => rewrap_one(session, &context, path).await.map(Some),
        Ok([path]) => rewrap_many::run_tree(session, &context, vec![path], tree.jobs).await,
        Err(paths) if tree.recursive => {
            rewrap_many::run_tree(session, &context, paths, tree.jobs).await
        }
        Err(paths) => rewrap_many::run_files(session, &context, paths).await,
    }
}

/// One file, a record's too.
pub(super) async fn rewrap_one(
    session: &Session,
    context: &EncryptionContext,
    path: PathBuf,
) -> Result<Reply> {
    let opening = path.clone();
    let (start, file) = blocking(move || {
        let doing = format!("opening {}", opening.display());
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&opening)
            .map_err(CliError::file(&doing))?;
        let mut start = Vec::with_capacity(PAYLOAD_OFFSET);
        file.by_ref()
            .take(PAYLOAD_OFFSET as u64)
            .read_to_end(&mut start)
            .map_err(CliError::file(&doing))?;
        Ok((start, file))
    })
    .await?;
    let outcomes = if start.starts_with(&Header::MAGIC) {
        rewrap_record(session, context, path.clone(), start, file).await?
    } else {
        rewrap_file(session, context, file).await?
    };
    reply_of(&path.display().to_string(), &outcomes)
}

async fn rewrap_file(
    session: &Session,
    context: &EncryptionContext,
    mut file: File,
) -> Result<Vec<WrapOutcome>> {
    let envelopes = Envelopes::new(session.service.clone());
    let (context, cleanup) = (context.clone(), session.stop.cleanup());
    let runtime = Handle::current();
    blocking(move || {
        let _cleanup = cleanup;
        Ok(runtime.block_on(envelopes.rewrap_file(&context, &mut file))?.outcomes)
    })
    .await
}

async fn rewrap_record(
    session: &Session,
    context: &EncryptionContext,
    path: PathBuf,
    start: Vec<u8>,
    file: File,
) -> Result<Vec<WrapOutcome>> {
    let name = path.display().to_string();
    let envelope = blocking(move || read_all(io::Cursor::new(start).chain(file), &name)).await?;
    let (header, payload) = Header::parse(&envelope)?;
    let envelopes = Envelopes::new(session.service.clone());
    let RewrappedHeader { header: moved, outcomes, .. } =
        envelopes.rewrap_header(context, &header).await?;
    if moved != header {
        let new = [&moved.to_bytes(), payload].concat();
        let cleanup = session.stop.cleanup();
        blocking(move || {
            let _cleanup = cleanup;
            replace_file(&path, &envelope, &new)
        })
        .await?;
    }
    Ok(outcomes)
}

fn reply_of(file: &str, outcomes: &[WrapOutcome]) -> Result<Reply> {
    let mut lines = Lines::default().with("file", file);
    let mut wraps = Vec::with_capacity(outcomes.len());
    for (number, outcome) in (1..).zip(outcomes) {
        let (text, facts): (String, Value) = match outcome {
            WrapOutcome::Rewrapped { from, to } if from == to => (
                format!("under version {to}, the newest, already"),
                json!({"from": from, "to": to}),
            ),
            WrapOutcome::Rewrapped { from, to } => {
                (format!("version {from} to {to}"), json!({"from": from, "to": to}))
            }
            _ => ("kept: of another key service".to_owned(), Value::Null),
        };
        lines = lines.with(&format!("wrap {number}"), text);
        wraps.push(facts);
    }
    Reply::new(&json!({"file": file, "wraps": wraps}), lines.finish())
}

const EXAMPLES: &str = "\
Examples:
  claviger rewrap --context file=report report.pdf.claviger
  claviger rewrap monday.claviger tuesday.claviger
  claviger rewrap -r sealed";

#[cfg(test)]
mod tests;
