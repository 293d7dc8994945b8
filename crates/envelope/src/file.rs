//! File envelopes: two header slots of 4,096 bytes, then the payload at 8,192.
//!
//! Invariant: whatever happens while a header is replaced, one slot is whole, and the payload is never
//! touched. Reading the header needs no key; [`Envelopes::open_file`](crate::Envelopes::open_file) turns it
//! into a [`FileOpener`], and nothing else does:
//!
//! ```compile_fail,E0451
//! # fn shown(header: claviger_envelope::file::FileHeader) {
//! let opener = claviger_envelope::file::FileOpener { payload_key: header.header() };
//! # }
//! ```

mod abandoned;
mod header;
mod lock;
mod new_file;
mod opener;
mod range;
mod reseal;
mod rewrite;
mod sealer;
mod slot;
mod stream;

pub use abandoned::remove_abandoned;
pub use header::{FileHeader, header_slots};
pub use new_file::{Existing, NewFile, is_temporary_name};
pub use opener::FileOpener;
pub use range::ByteRange;
pub use reseal::FileResealer;
pub use rewrite::{RewrappedFile, rewrap_file_header};
pub use sealer::FileSealer;
pub use slot::{HeaderSlot, SLOT_LENGTH};

/// Where the payload begins: after two header slots.
pub const PAYLOAD_OFFSET: usize = 2 * SLOT_LENGTH;

pub(crate) use header::may_be_file;
