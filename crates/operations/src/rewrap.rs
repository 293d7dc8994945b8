//! Move a ciphertext to the primary version.

use claviger_hierarchy::RewrapUse;
use claviger_kms::{Action, Ciphertext, Result, Rewrap, Rewrapped};
use claviger_policy::action;

use crate::{
    LocalKms,
    attempt::{Attempt, Attempted},
};

impl LocalKms {
    pub(crate) async fn try_rewrap(&self, request: Rewrap) -> Attempted<Rewrapped> {
        let mut attempt = Attempt::begin(self, Action::Rewrap);
        let result = self.rewrap_ciphertext(&mut attempt, request).await;
        Attempted { result, attempt }
    }

    async fn rewrap_ciphertext(&self, attempt: &mut Attempt, request: Rewrap) -> Result<Rewrapped> {
        let Rewrap { ciphertext: bytes, binding, campaign } = request;
        attempt.entry.campaign = campaign;
        attempt.note_binding(self, &binding)?;
        let ciphertext = Ciphertext::parse(&bytes)?;
        let from = ciphertext.version();
        attempt.note_version(from);
        let key = attempt.path_of(self, ciphertext.key_id())?;
        let permit = attempt.permit::<action::Rewrap>(self, &key, &binding.context)?;
        let usage = match campaign {
            None => RewrapUse::Plain,
            Some(id) => self.operations().campaigns.admit(id, &key, ciphertext.key_id())?,
        };
        let moved = self.operations().hierarchy.rewrap(permit, ciphertext, &binding, usage).await?;
        let to = moved.version();
        attempt.moved_from = Some(from);
        let ciphertext = moved.to_bytes();
        attempt.note_version(to);
        attempt.note_sizes(bytes.len(), ciphertext.len());
        Ok(Rewrapped { ciphertext, key, from, to })
    }
}
