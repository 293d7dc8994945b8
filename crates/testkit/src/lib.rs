//! For tests only: key services, tokens, stores, faults and the conformance suites.

mod memory_kms;

pub use memory_kms::MemoryKms;
