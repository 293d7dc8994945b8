//! The value that proves a second person.

use claviger_kms::{KeyPath, KmsError, Result};
use claviger_policy::{ActionType, Permit, action};

/// Proof that of two different principals one may do a thing to a key and the other may approve it.
#[must_use = "it stands for one step"]
#[derive(Debug)]
pub struct TwoPersons {
    key: KeyPath,
}

impl TwoPersons {
    /// From the permit of who asks and the permit of who approves.
    ///
    /// # Errors
    /// [`KmsError::Invalid`] when both are the same principal, or the permits are for different keys.
    pub fn of<A: ActionType>(asks: &Permit<A>, approves: &Permit<action::Approve>) -> Result<Self> {
        if asks.principal() == approves.principal() {
            return Err(KmsError::invalid("nobody approves his own request"));
        }
        if asks.key() != approves.key() {
            return Err(KmsError::invalid("the approval is for another key"));
        }
        Ok(Self { key: asks.key().clone() })
    }

    pub(crate) fn is_for(&self, key: &KeyPath) -> bool {
        self.key == *key
    }
}
