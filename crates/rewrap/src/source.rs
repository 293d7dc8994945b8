//! The seam to where envelopes are kept.
//!
//! Invariants that every source keeps: a scan gives each place at most once, in a fixed order, and holds
//! nothing open between two batches; a replacement is written only where the old bytes still stand, so the
//! application's own write always wins.

use std::sync::Mutex;

use async_trait::async_trait;
use claviger_envelope::{
    Header,
    file::{FileHeader, FileResealer},
};
use claviger_kms::EncryptionContext;

use crate::SourceError;

/// Where envelopes are kept: a table, a tree of files, a bucket.
#[async_trait]
pub trait Source: Send + Sync {
    /// Its name in the campaign file, in the register and in reports.
    fn name(&self) -> &str;

    /// How many places there are, roughly; `None` where that is not cheap to know.
    async fn estimate(&self) -> Result<Option<u64>, SourceError>;

    /// The next places after one, at most `most`, in the source's order.
    async fn scan(&self, after: Option<&Place>, most: usize) -> Result<Batch, SourceError>;

    /// Replaces each where the old bytes stand; one outcome for each change, in order. Repeating it after a lost
    /// reply is safe.
    async fn replace(&self, changes: &[Change]) -> Result<Vec<Replaced>, SourceError>;
}

/// A place in a source's order, in the source's own words; may hold key columns, never an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(pub String);

/// What one scan found.
#[derive(Debug)]
pub struct Batch {
    /// In the source's order.
    pub items: Vec<Item>,
    /// Where the next scan goes on; none at the end.
    pub next: Option<Place>,
}

/// One place and what it holds.
#[derive(Debug, Clone)]
pub struct Item {
    /// For reports, such as `users id=17`.
    pub locator: String,
    /// The source's own way back to it.
    pub place: Place,
    /// What it holds.
    pub content: Content,
    /// What the envelope is bound to, or why that cannot be said.
    pub context: Result<EncryptionContext, String>,
}

/// What a place holds.
#[derive(Debug, Clone)]
pub enum Content {
    /// Nothing.
    Empty,
    /// These bytes: an envelope of a record, or something else.
    Bytes(Vec<u8>),
    /// A sealed file of any length, by its header.
    File(Box<FileHeader>),
    /// Something that cannot be an envelope, and why.
    Unreadable(String),
}

/// A replacement.
#[derive(Debug)]
pub struct Change {
    /// As it was scanned.
    pub item: Item,
    /// What is to stand there.
    pub new: New,
}

/// What is to stand in place of the old.
#[derive(Debug)]
pub enum New {
    /// These bytes, a record's envelope.
    Bytes(Vec<u8>),
    /// This header; a file's payload stays.
    Header(Box<Header>),
    /// The file sealed anew; taken by the source when it is.
    Reseal(Mutex<Option<Box<FileResealer>>>),
}

/// What became of a replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    /// It stands there.
    Replaced,
    /// Other bytes stand there, or somebody holds the lock: nothing was written.
    Conflict,
    /// Nothing stands there any more.
    Gone,
    /// This one place cannot be written, as a file without the right; the log says why.
    Refused,
}
