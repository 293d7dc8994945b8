#![doc = include_str!("../README.md")]

mod attempt;
mod batch;
mod caller;
mod campaign_register;
mod campaigns;
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
mod open_campaign;
mod operations;
mod readiness;
mod report_campaign;
mod rewrap;
mod rotate;
mod see_campaigns;
mod set_primary;
mod usage;
mod usage_of_key;

pub use caller::Caller;
pub use claviger_audit::{ForeignId, Peer, Proof};
pub use local_kms::LocalKms;
pub use operations::{Operations, Status};
pub use readiness::{Part, Readiness};
