#![doc = include_str!("../README.md")]

mod arena;
mod binding;
mod cache;
mod ceremony;
mod children;
mod clock;
mod commit;
mod data;
mod documents;
mod emergency;
mod error;
mod facts;
mod head;
mod hierarchy;
mod kek;
mod lifecycle;
mod make;
mod quarantine;
mod record_mac;
mod root;
pub mod steps;
mod tree;
mod two_persons;
mod versions;

pub use arena::MemoryProtection;
pub use ceremony::{accept_restore, init_root};
pub use children::Moved;
pub use commit::{Change, ChildrenBehind, Written};
pub use documents::StoredDocument;
pub use emergency::UnloggedEmergency;
pub use error::OpenError;
pub use hierarchy::{Hierarchy, HierarchyConfig, HierarchyHealth};
pub use lifecycle::Pace;
pub use quarantine::QuarantineOrder;
pub use root::{RootSummary, verify_root};
pub use two_persons::TwoPersons;
