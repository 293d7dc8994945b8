#![doc = include_str!("../README.md")]

mod action;
mod canonical;
mod ciphertext;
mod context;
mod data_messages;
mod derivation;
mod error;
mod explanation;
mod ids;
mod key_messages;
mod key_path;
#[cfg(feature = "openapi")]
mod openapi;
mod principal;
mod purpose;
mod secret;
mod service;
mod state;
mod wiped_buffer;
pub mod wire;

pub use action::Action;
pub use canonical::Canonical;
pub use ciphertext::{Ciphertext, CiphertextKind};
pub use context::EncryptionContext;
pub use data_messages::{
    Binding, DataKey, Decrypt, Decrypted, Encrypt, Encrypted, GenerateDataKey, Rewrap, Rewrapped,
};
pub use derivation::{Derivation, Role, Salt};
pub use error::{ErrorCode, KmsError, Result};
pub use explanation::Explanation;
pub use ids::{EnvelopeId, IdempotencyKey, KeyId, KeyVersion, RequestId, StoreId};
pub use jiff::Timestamp;
pub use key_messages::{
    CreateKey, CreateVersion, KeyDetails, KeyMetadata, KeyPage, ListKeys, VersionMetadata,
    VersionRequest,
};
pub use key_path::KeyPath;
pub use principal::Principal;
pub use purpose::{Protection, Purpose};
pub use secret::{SecretBytes, SecretKey, fill_random};
pub use service::{Capabilities, KeyManagementService, MAX_BATCH};
pub use state::{KeyState, Requirement, TRANSITIONS, Transition, VersionState, VersionUse};
pub use wiped_buffer::WipedBuffer;
