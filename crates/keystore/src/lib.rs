#![doc = include_str!("../README.md")]

mod error;
mod record;
mod store;

pub use error::StoreError;
pub use record::{KeyRecord, Material, Quarantine, QuarantineReason, VersionRecord};
pub use store::{Commit, Document, KeyStore, PutDocument, PutRecord, StoredHead, StoredRecord};
