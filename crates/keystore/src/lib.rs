#![doc = include_str!("../README.md")]

mod error;
mod record;
mod rules;
mod sqlite;
mod store;

pub use error::StoreError;
pub use record::{Emergency, KeyRecord, Material, VersionRecord};
pub use sqlite::SqliteStore;
pub use store::{
    Commit, Document, KeyStore, NamedDocument, PutDocument, PutRecord, StoredHead, StoredRecord,
};
