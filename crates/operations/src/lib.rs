#![doc = include_str!("../README.md")]

mod alerts;
mod approvals;
mod attempt;
mod batch;
mod caller;
mod change;
mod create_key;
mod create_version;
mod data_key;
mod decrypt;
mod describe_key;
mod destroy_version;
mod disable_version;
mod emergency;
mod enable_version;
mod encrypt;
mod key_state;
mod lifecycle;
mod list_keys;
mod local_kms;
mod metrics;
mod operations;
mod quarantine_key;
mod readiness;
mod rewrap;
mod rotate;
mod set_primary;
mod upkeep;

pub use caller::Caller;
pub use claviger_audit::{ForeignId, Peer, Proof};
pub use local_kms::LocalKms;
pub use operations::{Operations, Status};
pub use readiness::{Part, Readiness};
