#![doc = include_str!("../README.md")]

pub mod column;
mod data_key;
mod envelopes;
mod error;
pub mod file;
mod header;
mod inspect;
mod payload;
mod provider;
mod record;
mod reencrypt;
mod reuse;
mod rewrap;
#[cfg(test)]
mod vectors;
mod wrap;

pub use column::{BlindIndex, ColumnContext, SealedColumn};
pub use envelopes::Envelopes;
pub use error::{EnvelopeError, Result};
pub use header::{EnvelopeKind, Header};
pub use inspect::{Inspection, WrapInspection, inspect, key_version};
pub use provider::Provider;
pub use reuse::DataKeyReuse;
pub use rewrap::{RewrappedHeader, WrapOutcome};
pub use wrap::Wrap;
