//! Sealed files below a directory.
//!
//! Invariants: no link is followed and nothing outside the directory is touched; a header is replaced in place under
//! the file's lock; a file that is written as a whole is exchanged with its successor, and exchanged back if what
//! was displaced is not what was read. Known limits: names of the directories on the way to the current file
//! are held in memory; extended attributes are not carried over to a file that is written as a whole.

mod exchange;
mod walk;

use std::{
    fs::File,
    io::Read as _,
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use claviger_envelope::{
    EnvelopeError, Header,
    file::{FileHeader, PAYLOAD_OFFSET, rewrap_file_header},
};
use claviger_kms::KmsError;
use globset::GlobSet;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};

use super::{blocking, globs};
use crate::{Batch, Change, Content, Item, New, Place, Replaced, Source, SourceError, Template};
use walk::Walk;

/// The sealed files of a tree.
#[derive(Debug)]
pub struct Files {
    name: String,
    tree: Arc<Tree>,
    /// Where the last scan stopped, to go on without reading the directories again.
    walk: Arc<Mutex<Option<(Place, Walk)>>>,
    context: Template,
}

#[derive(Debug)]
pub(super) struct Tree {
    root: OwnedFd,
    path: PathBuf,
    include: GlobSet,
}

impl Files {
    /// Opens the directory.
    ///
    /// # Errors
    /// [`SourceError::Unusable`].
    pub async fn open(
        name: &str,
        root: &Path,
        include: &[String],
        context: Template,
    ) -> Result<Self, SourceError> {
        if let Some(other) = context.names().into_iter().find(|name| !NAMES.contains(name)) {
            return Err(SourceError::unusable(format!(
                "the context names {{{other}}}; of files there are {{path}} and {{name}}"
            )));
        }
        let (path, include) = (root.to_owned(), globs(include)?);
        let tree = blocking(move || {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let root = openat(CWD, &path, flags, Mode::empty())
                .map_err(|error| SourceError::unusable(format!("{}: {error}", path.display())))?;
            Ok(Tree { root, path, include })
        });
        Ok(Self {
            name: name.to_owned(),
            tree: Arc::new(tree.await?),
            walk: Arc::default(),
            context,
        })
    }
}

#[async_trait]
impl Source for Files {
    fn name(&self) -> &str {
        &self.name
    }

    async fn estimate(&self) -> Result<Option<u64>, SourceError> {
        Ok(None)
    }

    async fn scan(&self, after: Option<&Place>, most: usize) -> Result<Batch, SourceError> {
        let (tree, kept, context) = (self.tree.clone(), self.walk.clone(), self.context.clone());
        let after = after.cloned();
        blocking(move || {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            let mut walk = match (kept.take(), &after) {
                (Some((place, walk)), Some(after)) if place == *after => walk,
                (_, None) => Walk::begin(&tree)?,
                (_, Some(after)) => Walk::after(&tree, &path_at(after)?)?,
            };
            let mut items = Vec::new();
            let mut next = None;
            while let Some(path) = walk.next(&tree)? {
                if let Some(item) = tree.item(&path, &context)? {
                    items.push(item);
                }
                if items.len() >= most {
                    next = Some(place_of(&path));
                    break;
                }
            }
            *kept = next.clone().map(|place| (place, walk));
            Ok(Batch { items, next })
        })
        .await
    }

    async fn replace(&self, changes: &[Change]) -> Result<Vec<Replaced>, SourceError> {
        let mut outcomes = Vec::with_capacity(changes.len());
        for change in changes {
            let (tree, path) = (self.tree.clone(), path_at(&change.item.place)?);
            let content = change.item.content.clone();
            let replace: Box<dyn FnOnce() -> _ + Send> = match &change.new {
                New::Header(header) => {
                    let header = header.clone();
                    Box::new(move || tree.replace_header(&path, &content, &header))
                }
                New::Bytes(bytes) => {
                    let bytes = bytes.clone();
                    Box::new(move || exchange::bytes(&tree, &path, &content, &bytes))
                }
                New::Reseal(resealer) => {
                    let resealer = resealer.lock().unwrap_or_else(PoisonError::into_inner).take();
                    let Some(resealer) = resealer else {
                        return Err(SourceError::unusable("the file was sealed anew already"));
                    };
                    Box::new(move || exchange::reseal(&tree, &path, &content, *resealer))
                }
            };
            outcomes.push(match blocking(replace).await {
                // One file's fault is not the tree's.
                Err(SourceError::Unusable { reason }) => {
                    tracing::warn!(file = change.item.locator, reason, "not replaced");
                    Replaced::Refused
                }
                outcome => outcome?,
            });
        }
        Ok(outcomes)
    }
}

impl Tree {
    /// Opens a file below the root; `None` when it is gone, a link, or no regular file.
    pub(super) fn open(&self, path: &Path, write: bool) -> Result<Option<File>, SourceError> {
        let access = if write { OFlags::RDWR } else { OFlags::RDONLY };
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match openat2(&self.root, path, flags, Mode::empty(), resolve) {
            Ok(file) => {
                let file = File::from(file);
                let regular = file.metadata().is_ok_and(|found| found.is_file());
                Ok(Some(file).filter(|_| regular))
            }
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR) => {
                Ok(None)
            }
            Err(error) => Err(SourceError::unusable(format!(
                "opening {} failed: {error}",
                self.path.join(path).display()
            ))),
        }
    }

    fn item(&self, path: &Path, context: &Template) -> Result<Option<Item>, SourceError> {
        let (content, locator) =
            (self.open(path, false), self.path.join(path).display().to_string());
        let content = match content {
            Ok(None) => return Ok(None),
            Ok(Some(file)) => content_of(file),
            // Of one file: its reader lacks the right.
            Err(error) => Content::Unreadable(error.to_string()),
        };
        let plain = path.with_extension("");
        let sealed = path.extension().is_some_and(|ending| ending == "claviger");
        let bound = if sealed { plain.as_path() } else { path };
        let whole = bound.to_str();
        let name = bound.file_name().and_then(|name| name.to_str());
        let context = context.fill(|wanted| if wanted == "path" { whole } else { name });
        Ok(Some(Item { locator, place: place_of(path), content, context }))
    }

    fn replace_header(
        &self,
        path: &Path,
        content: &Content,
        header: &Header,
    ) -> Result<Replaced, SourceError> {
        let Content::File(read) = content else {
            return Err(SourceError::unusable("it is not a sealed file"));
        };
        let Some(mut file) = self.open(path, true)? else { return Ok(Replaced::Gone) };
        match rewrap_file_header(&mut file, read, header) {
            Ok(_) => {}
            Err(EnvelopeError::Kms { source: KmsError::Conflict { .. } }) => {
                return Ok(Replaced::Conflict);
            }
            // The application's file is no longer one of ours.
            Err(
                EnvelopeError::NotAnEnvelope { .. }
                | EnvelopeError::UnknownFormat { .. }
                | EnvelopeError::HeadersTorn,
            ) => return Ok(Replaced::Conflict),
            Err(error) => return Err(SourceError::unusable(error)),
        }
        // Whoever put another file in place meanwhile has won; ours was written for nothing.
        Ok(if self.is_still(path, &file)? { Replaced::Replaced } else { Replaced::Conflict })
    }

    /// Whether the name still leads to this file.
    pub(super) fn is_still(&self, path: &Path, file: &File) -> Result<bool, SourceError> {
        let (Some(named), Ok(ours)) = (self.open(path, false)?, file.metadata()) else {
            return Ok(false);
        };
        let named = named.metadata().map_err(SourceError::unusable)?;
        Ok((named.dev(), named.ino()) == (ours.dev(), ours.ino()))
    }
}

/// What a file holds: a sealed file by its header, a record as a whole.
fn content_of(file: File) -> Content {
    match FileHeader::read_at_start(&file) {
        Ok(header) => return Content::File(Box::new(header)),
        Err(EnvelopeError::NotAnEnvelope { .. }) => {}
        Err(error) => return Content::Unreadable(error.to_string()),
    }
    let mut bytes = Vec::with_capacity(PAYLOAD_OFFSET);
    match file.take(MOST_IN_MEMORY + 1).read_to_end(&mut bytes) {
        Ok(_) if bytes.len() as u64 > MOST_IN_MEMORY => Content::Unreadable(format!(
            "it is no sealed file, and longer than {MOST_IN_MEMORY} bytes"
        )),
        Ok(_) => Content::Bytes(bytes),
        Err(error) => Content::Unreadable(error.to_string()),
    }
}

/// `path:` and the path, or `hex:` and its bytes where it is not UTF-8 or holds control characters.
fn place_of(path: &Path) -> Place {
    match path.to_str().filter(|text| !text.chars().any(char::is_control)) {
        Some(text) => Place(format!("path:{text}")),
        None => Place(format!("hex:{}", hex::encode(path.as_os_str().as_bytes()))),
    }
}

fn path_at(place: &Place) -> Result<PathBuf, SourceError> {
    let path = match place.0.split_once(':') {
        Some(("path", text)) => Some(PathBuf::from(text)),
        Some(("hex", text)) => {
            hex::decode(text).ok().map(|bytes| PathBuf::from(std::ffi::OsStr::from_bytes(&bytes)))
        }
        _ => None,
    };
    path.ok_or_else(|| {
        SourceError::unusable("the cursor is of another source; begin a new campaign")
    })
}

const NAMES: [&str; 2] = ["path", "name"];

/// Most bytes of a record: it is held in memory.
pub(super) const MOST_IN_MEMORY: u64 = 1024 * 1024;
