//! Decrypt a value or a data key.
//!
//! The ciphertext names a key id; [`Attempt::path_of`] says what becomes of an id that no key has.

use claviger_kms::{Action, Ciphertext, Decrypt, Decrypted, Result};
use claviger_policy::action;

use crate::{
    LocalKms,
    attempt::{Attempt, Attempted},
};

impl LocalKms {
    pub(crate) async fn try_decrypt(&self, request: Decrypt) -> Attempted<Decrypted> {
        let mut attempt = Attempt::begin(self, Action::Decrypt);
        let result = self.decrypt_ciphertext(&mut attempt, request).await;
        Attempted { result, attempt }
    }

    async fn decrypt_ciphertext(
        &self,
        attempt: &mut Attempt,
        request: Decrypt,
    ) -> Result<Decrypted> {
        let Decrypt { ciphertext: bytes, binding } = request;
        attempt.note_binding(self, &binding)?;
        let ciphertext = Ciphertext::parse(&bytes)?;
        let version = ciphertext.version();
        attempt.note_version(version);
        let key = attempt.path_of(self, ciphertext.key_id())?;
        let permit = attempt.permit::<action::Decrypt>(self, &key, &binding.context)?;
        let plaintext = self.operations().hierarchy.decrypt(permit, &ciphertext, &binding).await?;
        attempt.note_sizes(bytes.len(), plaintext.len());
        Ok(Decrypted { plaintext, key, version })
    }
}
