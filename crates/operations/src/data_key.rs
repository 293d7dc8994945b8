//! Make a data key, plain and wrapped, or wrapped only.

use claviger_kms::{
    Action, Ciphertext, DataKey, Encrypted, GenerateDataKey, KeyPath, Result, SecretKey,
};
use claviger_policy::action;

use crate::{
    LocalKms,
    attempt::{Attempt, Attempted},
};

impl LocalKms {
    pub(crate) async fn try_data_key(&self, request: GenerateDataKey) -> Attempted<DataKey> {
        let mut attempt = Attempt::begin(self, Action::DataKey);
        let result = self.data_key(&mut attempt, request).await;
        Attempted { result, attempt }
    }

    pub(crate) async fn try_wrapped_data_key(
        &self,
        request: GenerateDataKey,
    ) -> Attempted<Encrypted> {
        let mut attempt = Attempt::begin(self, Action::DataKeyWrapped);
        let result = self.wrapped_data_key(&mut attempt, request).await;
        Attempted { result, attempt }
    }

    async fn data_key(&self, attempt: &mut Attempt, request: GenerateDataKey) -> Result<DataKey> {
        let GenerateDataKey { key, binding } = request;
        attempt.note_binding(self, &binding)?;
        let permit = attempt.permit::<action::DataKey>(self, &key, &binding.context)?;
        let (plaintext, ciphertext) =
            self.operations().hierarchy.generate_data_key(permit, &binding).await?;
        Ok(DataKey { plaintext, wrapped: wrapped(attempt, key, &ciphertext) })
    }

    async fn wrapped_data_key(
        &self,
        attempt: &mut Attempt,
        request: GenerateDataKey,
    ) -> Result<Encrypted> {
        let GenerateDataKey { key, binding } = request;
        attempt.note_binding(self, &binding)?;
        let permit = attempt.permit::<action::DataKeyWrapped>(self, &key, &binding.context)?;
        let ciphertext =
            self.operations().hierarchy.generate_wrapped_data_key(permit, &binding).await?;
        Ok(wrapped(attempt, key, &ciphertext))
    }
}

fn wrapped(attempt: &mut Attempt, key: KeyPath, ciphertext: &Ciphertext) -> Encrypted {
    let version = ciphertext.version();
    attempt.note_version(version);
    attempt.note_sizes(0, SecretKey::LENGTH);
    Encrypted { ciphertext: ciphertext.to_bytes(), key, version }
}
