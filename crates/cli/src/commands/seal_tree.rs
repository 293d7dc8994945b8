//! `claviger seal -r`: every file of a directory, each its own envelope.
//!
//! Invariants: a file's path in the tree is bound into its envelope, so files cannot be exchanged unseen; what is
//! sealed already is left alone; an output that stands counts as done only when it is a whole sealed file of
//! the input's length and no older than the input.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use claviger_envelope::{
    Envelopes, Header,
    file::{Existing, FileHeader, NewFile, PAYLOAD_OFFSET},
};
use claviger_kms::{EncryptionContext, KeyPath, KmsError};

use crate::{
    error::{CliError, Result},
    files::{SUFFIX, check_existing},
    progress::Progress,
    reply::Reply,
    session::{Session, blocking},
    stop::{Stop, StoppableReader},
    tally::Tally,
    tree::{Tree, check_context, context_of},
};

/// What is sealed, and where to.
pub(super) struct SealTree {
    pub(super) key: KeyPath,
    pub(super) context: EncryptionContext,
    pub(super) input: PathBuf,
    pub(super) output: Option<PathBuf>,
    pub(super) force: bool,
    pub(super) jobs: u8,
}

struct Work {
    key: KeyPath,
    context: EncryptionContext,
    from: Tree,
    to: Tree,
    force: bool,
    envelopes: Envelopes,
    stop: Stop,
    progress: Arc<Progress>,
}

pub(super) async fn run(session: &Session, job: SealTree) -> Result<Option<Reply>> {
    check_context(&job.context)?;
    let (input, output) = (job.input.clone(), job.output.clone());
    let (from, to, listing) = blocking(move || {
        let from = Tree::open(&input)?;
        let to = output.map_or_else(|| Tree::open(&input), |output| Tree::make(&output))?;
        let listing = from.list(Some(&to))?;
        to.clear(listing.files.iter());
        Ok((from, to, listing))
    })
    .await?;
    let name = job.input.display().to_string();
    let progress = Arc::new(Progress::new(&name, Some(listing.bytes), session.quiet));
    let work = Arc::new(Work {
        key: job.key,
        context: job.context,
        from,
        to,
        force: job.force,
        envelopes: Envelopes::new(session.service.clone()),
        stop: session.stop.clone(),
        progress: progress.clone(),
    });
    let mut tally = Tally::default();
    tally.count("links not followed", listing.links);
    tally.count("special files", listing.special);
    for (path, error) in listing.failed {
        tally.fail(&progress, &path.display().to_string(), error);
    }
    let one = |file| seal_one(work.clone(), file);
    tally.run(session, &progress, job.jobs, listing.files, one).await?;
    tally.finish(session, &[SEALED])
}

async fn seal_one(work: Arc<Work>, relative: PathBuf) -> Result<String> {
    let (looking, path) = (work.clone(), relative.clone());
    let looked = blocking(move || look(&looking, &path)).await?;
    let (plain, existing) = match looked {
        Look::Done(what) => return Ok(what.to_owned()),
        Look::Seal(plain, existing) => (plain, existing),
    };
    let context = context_of(&work.context, &relative)?;
    let sealer = work.envelopes.begin_file(&work.key, &context).await?;
    let cleanup = work.stop.cleanup();
    blocking(move || {
        let _cleanup = cleanup;
        let output = sealed_name(&relative);
        let folder = work.to.make_folder_of(&output)?;
        let file = NewFile::create_in(folder, &work.to.path_of(&output), existing)?;
        let plain = StoppableReader::new(plain, work.stop.clone());
        let mut last = 0;
        sealer.seal_to(plain, file, |done| {
            work.progress.advance(done - last);
            last = done;
        })?;
        Ok(SEALED.to_owned())
    })
    .await
}

/// What is to be done with a file.
enum Look {
    Done(&'static str),
    Seal(File, Existing),
}

fn look(work: &Work, relative: &Path) -> Result<Look> {
    let path = work.from.path_of(relative);
    let reading = || CliError::file(format!("reading {}", path.display()));
    let Some(plain) = work.from.open_file(relative, false)? else {
        return Err(KmsError::conflict(format!("{} is gone", path.display())).into());
    };
    let found = plain.metadata().map_err(reading())?;
    if is_sealed(&plain).map_err(reading())? {
        return Ok(Look::Done("already sealed"));
    }
    let output = sealed_name(relative);
    let Some(standing) = work.to.open_file(&output, false)? else {
        return Ok(Look::Seal(plain, Existing::Refuse));
    };
    let existing = standing.metadata().map_err(reading())?;
    let is_whole = FileHeader::read_at_start(&standing).is_ok_and(|header| {
        let payload = existing.len().saturating_sub(PAYLOAD_OFFSET as u64);
        let whole = header.inspect(payload);
        whole.damaged_slots == 0 && whole.plaintext_length == Some(found.len())
    });
    let is_newer = match (found.modified(), existing.modified()) {
        (Ok(input), Ok(output)) => output >= input,
        _ => false,
    };
    let is_done = existing.is_file() && is_whole && is_newer;
    check_existing(&work.to.path_of(&output), existing.is_file(), is_done, work.force)
        .map(|existing| existing.map_or(Look::Done("sealed before"), |how| Look::Seal(plain, how)))
}

/// Whether it begins as an envelope, a file's or a record's.
pub(super) fn is_sealed(file: &File) -> std::io::Result<bool> {
    use std::os::unix::fs::FileExt as _;
    let mut start = [0; Header::MAGIC.len()];
    let read = file.read_at(&mut start, 0)?;
    Ok(FileHeader::read_at_start(file).is_ok() || (read == start.len() && start == Header::MAGIC))
}

fn sealed_name(relative: &Path) -> PathBuf {
    let mut name = relative.as_os_str().to_owned();
    name.push(SUFFIX);
    name.into()
}

const SEALED: &str = "sealed now";
