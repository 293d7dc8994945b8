//! Describe a key.

use claviger_kms::{Action, EncryptionContext, KeyMetadata, KeyPath, Result};
use claviger_policy::action;

use crate::{
    LocalKms,
    attempt::{Attempt, Attempted},
};

impl LocalKms {
    pub(crate) fn try_describe(&self, key: &KeyPath) -> Attempted<KeyMetadata> {
        let mut attempt = Attempt::begin(self, Action::ReadMetadata);
        let result = self.describe(&mut attempt, key);
        Attempted { result, attempt }
    }

    fn describe(&self, attempt: &mut Attempt, key: &KeyPath) -> Result<KeyMetadata> {
        let permit =
            attempt.permit::<action::ReadMetadata>(self, key, &EncryptionContext::new())?;
        self.operations().hierarchy.describe(permit)
    }
}
