#![doc = include_str!("../README.md")]

mod attempt;
mod batch;
mod caller;
mod change;
mod create_key;
mod create_version;
mod data_key;
mod decrypt;
mod describe_key;
mod disable_version;
mod enable_version;
mod encrypt;
mod list_keys;
mod local_kms;
mod metrics;
mod operations;
mod policy_in_force;
mod readiness;
mod reload;
mod rewrap;
mod rotate;
mod set_primary;

pub use caller::Caller;
pub use claviger_audit::{ForeignId, Peer, Proof};
pub use local_kms::LocalKms;
pub use operations::{Operations, Status};
pub use readiness::{Part, Readiness};
pub use reload::{Asked, Reload, Reloaded};
