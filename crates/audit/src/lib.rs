#![doc = include_str!("../README.md")]

mod config;
mod digest;
mod directory;
mod disk;
mod entry;
mod error;
mod event;
mod health;
mod keyed_hash;
mod line;
mod log;
mod queue;
mod reader;
mod record;
mod recovery;
mod segment;
mod spare;
mod store;
mod words;
mod writer;

pub use config::AuditConfig;
pub use digest::{Digest, InstanceId};
pub use directory::segments;
pub use entry::{AuditDecision, AuditResult, Entry, Peer, Phase, Proof, StateChange};
pub use error::AuditError;
pub use event::{Event, ServiceEvent};
pub use health::{AuditHealth, Failing};
pub use keyed_hash::{KeyedHash, KeyedHasher};
pub use log::AuditLog;
pub use reader::{SegmentReader, read_segment};
pub use record::{Ended, Header, PreviousSegment, Record, Sequence};
pub use recovery::Recovered;
pub use words::{ForeignId, RuleWord};

#[cfg(test)]
mod tests;
