//! Decrypt a value or a data key.
//!
//! The ciphertext names a key id. An id that no key has is judged against a path that is nobody's, so
//! that who may decrypt everything sees "rejected" and everybody else "denied", as for a real key.

use claviger_kms::{Action, Ciphertext, Decrypt, Decrypted, KeyId, KeyPath, Result};
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
        let key = self.path_or_nobodys(ciphertext.key_id())?;
        let version = ciphertext.version();
        attempt.note_version(version);
        let permit = attempt.permit::<action::Decrypt>(self, &key, &binding.context)?;
        let plaintext = self.operations().hierarchy.decrypt(permit, &ciphertext, &binding).await?;
        attempt.note_sizes(bytes.len(), plaintext.len());
        Ok(Decrypted { plaintext, key, version })
    }

    /// The path of a key id, or a path that no key has.
    pub(crate) fn path_or_nobodys(&self, id: KeyId) -> Result<KeyPath> {
        match self.operations().hierarchy.path_of(id) {
            Some(path) => Ok(path),
            None => NOBODYS.parse(),
        }
    }
}

/// Deeper than keys can be made by accident and granted by no sensible rule except `**`.
const NOBODYS: &str = "unknown/unknown/unknown/unknown/unknown/unknown/unknown/unknown";
