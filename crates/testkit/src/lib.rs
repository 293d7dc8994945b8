//! For tests only: key services, tokens, stores, faults and the conformance suites.

pub mod campaign_register_conformance;
#[cfg(feature = "certificates")]
pub mod certificates;
pub mod key_store_conformance;
pub mod kms_conformance;
mod memory_kms;
mod memory_register;
mod object_store;
mod postgres;
#[cfg(feature = "service")]
mod service;
#[cfg(feature = "service")]
mod service_tls;
mod soft_hsm;
mod tmpfs;

pub use memory_kms::MemoryKms;
pub use memory_register::MemoryRegister;
pub use object_store::ObjectStore;
pub use postgres::Postgres;
#[cfg(feature = "service")]
pub use service::Service;
#[cfg(feature = "service")]
pub use service_tls::{TlsDoors, endpoint};
pub use soft_hsm::SoftHsm;
pub use tmpfs::{fill_up, on_tmpfs};
