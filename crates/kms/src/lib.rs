#![doc = include_str!("../README.md")]

mod action;
mod campaign_messages;
mod canonical;
mod ciphertext;
mod context;
mod data_messages;
mod derivation;
mod error;
mod evidence_messages;
mod explanation;
mod ids;
mod key_messages;
mod key_path;
mod lifecycle_messages;
#[cfg(feature = "openapi")]
mod openapi;
mod principal;
mod purpose;
mod rotation_messages;
mod rotation_period;
mod secret;
mod service;
mod state;
mod usage_messages;
mod wiped_buffer;
pub mod wire;

pub use action::Action;
pub use campaign_messages::{
    Campaign, CampaignCounts, CampaignMode, CampaignName, CampaignPage, CampaignRegister,
    CampaignState, Cursor, OpenCampaign, ReportCampaign, SourceProgress,
};
pub use canonical::Canonical;
pub use ciphertext::{Ciphertext, CiphertextKind};
pub use context::EncryptionContext;
pub use data_messages::{
    Binding, DataKey, Decrypt, Decrypted, Encrypt, Encrypted, GenerateDataKey, Rewrap, Rewrapped,
};
pub use derivation::{Derivation, Role, Salt};
pub use error::{ErrorCode, KmsError, Result};
pub use evidence_messages::{
    Attestation, Evidence, GateFacts, ScanFacts, SourceFacts, SubmitEvidence,
};
pub use explanation::Explanation;
pub use ids::{
    ApprovalId, CampaignId, EnvelopeId, EvidenceId, IdempotencyKey, KeyId, KeyVersion, RequestId,
    StoreId,
};
pub use jiff::Timestamp;
pub use key_messages::{
    CreateKey, CreateVersion, KeyDetails, KeyMetadata, KeyPage, ListKeys, VersionMetadata,
    VersionRequest,
};
pub use key_path::KeyPath;
pub use lifecycle_messages::{
    Approval, Approve, CutOff, KeyLifecycle, KeyRequest, QuarantineFacts, QuarantineKey,
    QuarantineReason, QuarantineReport, QuarantinedKey, ScheduleDestroy,
};
pub use principal::Principal;
pub use purpose::{Protection, Purpose};
pub use rotation_messages::{
    KeyRotation, ListRotations, RotationFailure, RotationPage, ScheduledRotation, SetRotation,
};
pub use rotation_period::RotationPeriod;
pub use secret::{SecretBytes, SecretKey, fill_random};
pub use service::{Capabilities, KeyManagementService, MAX_BATCH};
pub use state::{KeyState, Requirement, TRANSITIONS, Transition, VersionState, VersionUse};
pub use usage_messages::{CallerUsage, KeyUsage, Uses, VersionUsage};
pub use wiped_buffer::WipedBuffer;
