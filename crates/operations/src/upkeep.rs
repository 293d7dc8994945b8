//! What the service does by itself, every few seconds: wipe expired keys, pay the log what it is owed,
//! replace what a quarantine stopped, rotate and destroy what is due.

use std::sync::Arc;

use claviger_kms::{Action, KeyPath, KmsError, QuarantinedKey, Result, Timestamp};
use claviger_policy::{Permit, action};

use crate::{Caller, Clocks, LocalKms, Operations};

impl Operations {
    /// One round; to be called every few seconds. Whatever fails is logged and tried again in the next.
    ///
    /// # Errors
    /// [`KmsError::Unavailable`] when the operating system gives no random bytes.
    pub async fn keep_up(self: &Arc<Self>) -> Result<(), KmsError> {
        self.keep_up_at(Clocks::now()).await
    }

    /// The same, for a schedule that reads these clocks.
    ///
    /// # Errors
    /// As [`keep_up`](Self::keep_up).
    pub async fn keep_up_at(self: &Arc<Self>, clocks: Clocks) -> Result<(), KmsError> {
        self.hierarchy.sweep();
        let service = self.local_kms(Caller::of_schedule()?);
        if let Err(error) = self.pay_the_log().await {
            tracing::warn!(%error, "changes made in an emergency are still not in the audit log");
        }
        service.replace_all_stopped().await;
        service.renew_below_leaks(clocks.wall).await;
        service.keep_schedule(clocks).await;
        service.destroy_due(clocks).await;
        Ok(())
    }
}

impl LocalKms {
    /// New primary versions for keys that a quarantine left without one, as when the token was away.
    async fn replace_all_stopped(&self) {
        for key in self.operations().hierarchy.without_primary() {
            self.replace_later(key, "a quarantined key").await;
        }
    }

    /// New primary versions for keys below one whose material leaked, which got none when it was quarantined, as
    /// when the token was away.
    async fn renew_below_leaks(&self, now: Timestamp) {
        for key in self.operations().hierarchy.behind_a_leak(now) {
            self.replace_later(key, "a key below one that leaked").await;
        }
    }

    /// Makes the primary version, and opens the campaigns, that the quarantine would have made and opened.
    async fn replace_later(&self, key: KeyPath, what: &str) {
        let made = self
            .internal_change(Action::Rotate, &key, None, async || {
                let permit = Permit::<action::Rotate>::of_schedule(key.clone());
                self.operations().hierarchy.rotate(permit, None).await
            })
            .await;
        let metadata = match made {
            Ok(metadata) => metadata,
            Err(error) => {
                tracing::warn!(%key, %error, "{what} has no new primary version yet");
                return;
            }
        };
        tracing::info!(%key, "{what} has a new primary version");
        let mut told = QuarantinedKey::new(key, Vec::new(), Vec::new());
        told.primary = metadata.primary;
        self.open_campaigns_again(&mut told).await;
        if let Some(notice) = told.notice {
            tracing::warn!(key = %told.key, notice, "after a quarantine");
        }
    }
}
