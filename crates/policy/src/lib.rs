#![doc = include_str!("../README.md")]

pub mod action;
mod decision;
mod error;
mod key_glob;
mod permit;
mod policy;
mod principal_glob;
mod rule;
mod rule_name;
mod schedule;
mod text;
mod wildcard;

pub use action::ActionType;
pub use decision::{Decision, Denial, Question};
pub use error::{Place, PolicyError};
pub use permit::{Permit, ServicePermit};
pub use policy::Policy;
pub use rule_name::RuleName;
pub use schedule::Scheduled;
