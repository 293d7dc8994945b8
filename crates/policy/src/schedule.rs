//! What the service does by itself: rotation by schedule and destruction at its time.
//!
//! Invariant: only these actions can be permitted without a rule; each stands on a decision that was made
//! and recorded before (a rotation period, a scheduled destruction, a quarantine).

use claviger_kms::{KeyPath, Principal};

use crate::{ActionType, Permit, RuleName, action};

/// An action the service carries out by itself.
pub trait Scheduled: ActionType {}

impl Scheduled for action::Rotate {}
impl Scheduled for action::Destroy {}

impl<A: Scheduled> Permit<A> {
    /// The permit of the service itself, principal `local:schedule`, rule `schedule`.
    pub fn of_schedule(key: KeyPath) -> Self {
        Self::new(Principal::of_schedule(), key, RuleName::of_schedule())
    }
}
