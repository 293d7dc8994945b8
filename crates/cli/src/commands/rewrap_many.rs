//! `claviger rewrap` of several files, or of directories with `-r`.
//!
//! Invariants: only headers of sealed files are changed, under each file's lock; what is not sealed is left alone
//! and counted. With `-r` each file's context holds its path, as `seal -r` has bound it. Known limit: records
//! are moved one at a time by their names, not by `-r`.

use std::{path::PathBuf, sync::Arc};

use claviger_envelope::{Envelopes, WrapOutcome, file::FileHeader};
use claviger_kms::{EncryptionContext, KmsError};
use tokio::runtime::Handle;

use super::rewrap::rewrap_one;
use crate::{
    error::Result,
    files::opened_path,
    progress::Progress,
    reply::Reply,
    session::{Session, blocking},
    stop::Stop,
    tally::Tally,
    tree::{Tree, check_context, context_of},
};

/// Several files with one context, one after the other.
pub(super) async fn run_files(
    session: &Session,
    context: &EncryptionContext,
    paths: Vec<PathBuf>,
) -> Result<Option<Reply>> {
    let (mut tally, quiet) = (Tally::default(), Progress::new("", None, true));
    for path in paths {
        let name = path.display().to_string();
        match rewrap_one(session, context, path).await {
            Ok(_) => tally.count(DONE, 1),
            Err(error) => tally.fail(&quiet, &name, error),
        }
    }
    tally.finish(session, &[DONE])
}

struct Work {
    context: EncryptionContext,
    tree: Tree,
    envelopes: Envelopes,
    stop: Stop,
}

/// Everything below these directories.
pub(super) async fn run_tree(
    session: &Session,
    context: &EncryptionContext,
    paths: Vec<PathBuf>,
    jobs: u8,
) -> Result<Option<Reply>> {
    check_context(context)?;
    let mut tally = Tally::default();
    let progress = Arc::new(Progress::new("", None, true));
    for path in paths {
        let (tree, listing) = blocking(move || {
            let tree = Tree::open(&path)?;
            let listing = tree.list(None)?;
            Ok((tree, listing))
        })
        .await?;
        tally.count("links not followed", listing.links);
        tally.count("special files", listing.special);
        for (path, error) in listing.failed {
            tally.fail(&progress, &path.display().to_string(), error);
        }
        let work = Arc::new(Work {
            context: context.clone(),
            tree,
            envelopes: Envelopes::new(session.service.clone()),
            stop: session.stop.clone(),
        });
        let one = |file| rewrap_in(work.clone(), file);
        tally.run(session, &progress, jobs, listing.files, one).await?;
    }
    tally.finish(session, &[MOVED, "newest"])
}

async fn rewrap_in(work: Arc<Work>, relative: PathBuf) -> Result<String> {
    let (runtime, cleanup) = (Handle::current(), work.stop.cleanup());
    blocking(move || {
        let _cleanup = cleanup;
        let Some(reading) = work.tree.open_file(&relative, false)? else {
            let path = work.tree.path_of(&relative);
            return Err(KmsError::conflict(format!("{} is gone", path.display())).into());
        };
        let plain = opened_path(&relative);
        match FileHeader::read_at_start(&reading) {
            Ok(_) => {}
            // Its name says that it is one.
            Err(error) if plain.is_some() => return Err(error.into()),
            Err(_) => return Ok("not sealed".to_owned()),
        }
        let context = context_of(&work.context, &plain.unwrap_or_else(|| relative.clone()))?;
        let Some(mut file) = work.tree.open_file(&relative, true)? else {
            return Ok("not sealed".to_owned());
        };
        let moved = runtime.block_on(work.envelopes.rewrap_file(&context, &mut file))?;
        let versions = moved.outcomes.iter().find_map(|outcome| match outcome {
            WrapOutcome::Rewrapped { from, to } if from != to => {
                Some(format!("{MOVED} {from} to {to}"))
            }
            _ => None,
        });
        Ok(versions.unwrap_or_else(|| "newest already".to_owned()))
    })
    .await
}

/// What is counted for a file that was moved.
const MOVED: &str = "version";

const DONE: &str = "rewrapped";
