//! Encrypt a small value.

use claviger_kms::{Action, Encrypt, Encrypted, Result};
use claviger_policy::action;

use crate::{
    LocalKms,
    attempt::{Attempt, Attempted},
};

impl LocalKms {
    pub(crate) async fn try_encrypt(&self, request: Encrypt) -> Attempted<Encrypted> {
        let mut attempt = Attempt::begin(self, Action::Encrypt);
        let result = self.encrypt_value(&mut attempt, request).await;
        Attempted { result, attempt }
    }

    async fn encrypt_value(&self, attempt: &mut Attempt, request: Encrypt) -> Result<Encrypted> {
        let Encrypt { key, plaintext, binding } = request;
        attempt.note_binding(self, &binding)?;
        let permit = attempt.permit::<action::Encrypt>(self, &key, &binding.context)?;
        let ciphertext = self.operations().hierarchy.encrypt(permit, &plaintext, &binding).await?;
        let version = ciphertext.version();
        let ciphertext = ciphertext.to_bytes();
        attempt.note_version(version);
        attempt.note_sizes(plaintext.len(), ciphertext.len());
        Ok(Encrypted { ciphertext, key, version })
    }
}
