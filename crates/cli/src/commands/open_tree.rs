//! `claviger open -r`: every sealed file of a directory back to its plaintext.
//!
//! Invariants: a file opens only at the path it was sealed at; no output leaves the output directory, whatever
//! links stand in it; an output that stands counts as done only when it has the plaintext's length.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use claviger_envelope::{
    Envelopes,
    file::{Existing, FileHeader, NewFile, PAYLOAD_OFFSET},
};
use claviger_kms::{EncryptionContext, KmsError};
use std::io::{Seek as _, SeekFrom};

use crate::{
    error::{CliError, Result},
    files::{check_existing, opened_path},
    progress::Progress,
    reply::Reply,
    session::{Session, blocking},
    stop::{Stop, StoppableReader},
    tally::Tally,
    tree::{Tree, check_context, context_of},
};

/// What is opened, and where to.
pub(super) struct OpenTree {
    pub(super) context: EncryptionContext,
    pub(super) input: PathBuf,
    pub(super) output: Option<PathBuf>,
    pub(super) force: bool,
    pub(super) jobs: u8,
}

struct Work {
    context: EncryptionContext,
    from: Tree,
    to: Tree,
    force: bool,
    envelopes: Envelopes,
    stop: Stop,
    progress: Arc<Progress>,
}

pub(super) async fn run(session: &Session, job: OpenTree) -> Result<Option<Reply>> {
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
    let one = |file| open_one(work.clone(), file);
    tally.run(session, &progress, job.jobs, listing.files, one).await?;
    tally.finish(session, &[OPENED])
}

async fn open_one(work: Arc<Work>, relative: PathBuf) -> Result<String> {
    let (looking, path) = (work.clone(), relative.clone());
    let (sealed, header, plain, existing) = match blocking(move || look(&looking, &path)).await? {
        Look::Done(what) => return Ok(what.to_owned()),
        Look::Open(sealed, header, plain, existing) => (sealed, header, plain, existing),
    };
    let context = context_of(&work.context, &plain)?;
    let opener = work.envelopes.open_file(&context, &header).await?;
    let cleanup = work.stop.cleanup();
    blocking(move || {
        let _cleanup = cleanup;
        let folder = work.to.make_folder_of(&plain)?;
        let file = NewFile::create_in(folder, &work.to.path_of(&plain), existing)?;
        let mut last = 0;
        opener.open_to(StoppableReader::new(sealed, work.stop.clone()), file, |done| {
            work.progress.advance(done - last);
            last = done;
        })?;
        Ok(OPENED.to_owned())
    })
    .await
}

/// What is to be done with a file; one to open stands at its payload.
enum Look {
    Done(&'static str),
    Open(File, FileHeader, PathBuf, Existing),
}

fn look(work: &Work, relative: &Path) -> Result<Look> {
    let path = work.from.path_of(relative);
    let reading = || CliError::file(format!("reading {}", path.display()));
    let Some(mut sealed) = work.from.open_file(relative, false)? else {
        return Err(KmsError::conflict(format!("{} is gone", path.display())).into());
    };
    let named = opened_path(relative);
    let header = match (FileHeader::read_at_start(&sealed), &named) {
        (Ok(header), _) => header,
        // Its name says that it is one.
        (Err(error), Some(_)) => return Err(error.into()),
        (Err(_), None) => return Ok(Look::Done("not sealed")),
    };
    let plain = named.ok_or_else(|| {
        CliError::usage("a sealed file whose name does not end with .claviger: open it alone")
    })?;
    sealed.seek(SeekFrom::Start(PAYLOAD_OFFSET as u64)).map_err(reading())?;
    let Some(standing) = work.to.open_file(&plain, false)? else {
        return Ok(Look::Open(sealed, header, plain, Existing::Refuse));
    };
    let length = sealed.metadata().map_err(reading())?.len();
    let existing = standing.metadata().map_err(reading())?;
    let expected = header.inspect(length.saturating_sub(PAYLOAD_OFFSET as u64)).plaintext_length;
    let is_done = existing.is_file() && expected == Some(existing.len());
    let output = work.to.path_of(&plain);
    check_existing(&output, existing.is_file(), is_done, work.force).map(|existing| {
        existing.map_or(Look::Done("opened before"), |how| Look::Open(sealed, header, plain, how))
    })
}

const OPENED: &str = "opened now";
