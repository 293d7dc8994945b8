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
mod error;
mod facts;
mod head;
mod hierarchy;
mod kek;
mod make;
mod record_mac;
mod root;
mod tree;
mod versions;

pub use arena::MemoryProtection;
pub use ceremony::{accept_restore, init_root};
pub use children::Moved;
pub use commit::{Change, ChildrenBehind, Written};
pub use data::RewrapUse;
pub use documents::CheckedDocument;
pub use error::OpenError;
pub use hierarchy::{Hierarchy, HierarchyConfig, HierarchyHealth};
pub use root::{RootSummary, verify_root};
