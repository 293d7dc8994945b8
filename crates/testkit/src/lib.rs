//! For tests only: key services, tokens, stores, faults and the conformance suites.

pub mod key_store_conformance;
pub mod kms_conformance;
mod memory_kms;
mod postgres;
#[cfg(feature = "service")]
mod service;
mod soft_hsm;

pub use memory_kms::MemoryKms;
pub use postgres::Postgres;
#[cfg(feature = "service")]
pub use service::Service;
pub use soft_hsm::SoftHsm;
