//! Stop a key in an emergency.
//!
//! Order: the alert is queued, the keys are stopped in the store, then everything else: the record in the
//! log, the new primary versions, the keys below. Only the permit comes before.

use claviger_audit::AuditDecision;
use claviger_hierarchy::QuarantineOrder;
use claviger_kms::{
    Action, CutOff, EncryptionContext, KeyPath, KmsError, QuarantineKey, QuarantineReason,
    QuarantineReport, QuarantinedKey, Result,
};
use claviger_policy::{Permit, action};

use crate::{
    LocalKms,
    alerts::Alert,
    attempt::{Attempt, Attempted, result_of},
};

impl LocalKms {
    pub(crate) async fn quarantine_recorded(
        &self,
        request: QuarantineKey,
    ) -> Result<QuarantineReport> {
        let mut attempt = Attempt::begin(self, Action::Quarantine);
        attempt.entry.key_version = request.version;
        let keys = self.keys_to_stop(&mut attempt, &request);
        let permits = match keys {
            Ok(permits) => permits,
            Err(error) => {
                return Attempted { result: Err(error), attempt }.recorded(self).await;
            }
        };
        let order = QuarantineOrder {
            reason: request.reason,
            drain: request.drain,
            version: request.version,
            request: self.caller().request,
            idempotency_key: request.idempotency_key.clone(),
        };
        if request.dry_run {
            let result = self.foretold(&request, &permits, &order).await;
            return Attempted { result, attempt }.recorded(self).await;
        }
        self.operations().alerts.raise(Alert {
            what: "a key is quarantined",
            key: Some(request.key.clone()),
            by: self.caller().principal.clone(),
            request: self.caller().request,
        });
        let stopped = self.operations().hierarchy.stop(&permits, &order).await;
        let changes = stopped.as_ref().map_or(&[][..], |(_, changes)| changes);
        let owed = self.record_emergency(attempt, result_of(&stopped), changes).await;
        let mut notices: Vec<String> = owed.into_iter().collect();
        let (stopped, _) = stopped?;
        if request.drain && stopped.iter().any(|key| !key.is_empty() && !key.drained) {
            notices.push(
                "an earlier quarantine without drain is in force: callers stay stopped, and only two persons enable \
                 a version again"
                    .to_owned(),
            );
        }
        let mut keys = Vec::with_capacity(permits.len());
        for (permit, stopped) in permits.iter().zip(stopped) {
            let key = permit.key().clone();
            keys.push(QuarantinedKey::new(key, stopped.versions, stopped.abandoned));
        }
        for (permit, told) in permits.iter().zip(&mut keys) {
            self.replace(permit, &order, told).await;
        }
        if renews_below(&request) {
            keys.extend(self.renew_below(&request.key).await);
        }
        for told in &mut keys {
            self.open_campaigns_again(told).await;
        }
        if request.reason == QuarantineReason::MaterialLeaked {
            notices.push(
                "the material leaked: a rewrap does not cure that; run campaigns of mode reencrypt for \
                 every key named here"
                    .to_owned(),
            );
        }
        notices.push("data keys already handed out cannot be called back".to_owned());
        Ok(QuarantineReport { dry_run: false, keys, notices })
    }

    /// What would be stopped, and who would be cut off, as far as that is counted.
    async fn foretold(
        &self,
        request: &QuarantineKey,
        permits: &[Permit<action::Quarantine>],
        order: &QuarantineOrder,
    ) -> Result<QuarantineReport> {
        let operations = self.operations();
        let mut report = operations.hierarchy.would_stop(permits, order)?;
        for told in &mut report.keys {
            let Some(id) = operations.hierarchy.id_of(&told.key) else { continue };
            for &version in &told.stopped {
                match operations.usage.of_version(id, version).await {
                    Ok(usage) => told.cut_off.extend(usage.callers.into_iter().map(|caller| {
                        CutOff { version, last_used: caller.last(), principal: caller.principal }
                    })),
                    Err(error) => {
                        told.notice =
                            Some(format!("who uses it cannot be told: its counters: {error}"));
                    }
                }
            }
        }
        if renews_below(request) {
            report.keys.extend(self.below(&request.key).into_iter().map(|path| {
                let mut below = QuarantinedKey::new(path, Vec::new(), Vec::new());
                below.say("gets a new version");
                below
            }));
        }
        if order.drain {
            let notice = "with drain they may still unwrap; only wrapping is cut off";
            report.notices.push(notice.to_owned());
        }
        Ok(report)
    }

    /// The permits to stop this key, and those below it if asked, from the top down.
    fn keys_to_stop(
        &self,
        attempt: &mut Attempt,
        request: &QuarantineKey,
    ) -> Result<Vec<Permit<action::Quarantine>>> {
        let context = EncryptionContext::new();
        // The key named is decided and noted last, so that the record is about it.
        let mut below = Vec::new();
        if request.recursive {
            if request.version.is_some() {
                return Err(KmsError::invalid(
                    "a quarantine of one version is not recursive: leave out one of the two",
                ));
            }
            for path in self.below(&request.key) {
                below.push(attempt.permit::<action::Quarantine>(self, &path, &context)?);
            }
        }
        let first = attempt.permit::<action::Quarantine>(self, &request.key, &context)?;
        if attempt.entry.key_id.is_none() {
            attempt.entry.decision = AuditDecision::Allowed;
            return Err(KmsError::not_found(format!("the key {}", request.key)));
        }
        Ok(std::iter::once(first).chain(below).collect())
    }

    fn below(&self, key: &KeyPath) -> Vec<KeyPath> {
        let paths = self.operations().hierarchy.paths(Some(key), None, usize::MAX);
        paths.into_iter().filter(|path| path != key).collect()
    }

    /// A new primary version, recorded as a rotation; if it cannot be made now, the service goes on trying. None is
    /// made where one version was stopped and another one is primary.
    async fn replace(
        &self,
        permit: &Permit<action::Quarantine>,
        order: &QuarantineOrder,
        told: &mut QuarantinedKey,
    ) {
        let plan = self.operations().hierarchy.rotation_plan(permit.key()).ok();
        let primary = plan.and_then(|plan| plan.primary).map(|(version, _)| version);
        if order.version.is_some() && primary.is_some() {
            told.primary = primary;
            return;
        }
        let made = self
            .internal_change(Action::Rotate, permit.key(), None, async || {
                self.operations().hierarchy.replace_stopped(permit, order).await
            })
            .await;
        match made {
            Ok(metadata) => told.primary = metadata.primary,
            Err(error) => {
                told.notice = Some(format!(
                    "no new primary version yet ({error}); the service goes on trying, and nothing new \
                     is wrapped under this key until then"
                ));
            }
        }
    }

    /// After a leak: a new version for every key below, whose wrapping the leaked key opens.
    async fn renew_below(&self, key: &KeyPath) -> Vec<QuarantinedKey> {
        let mut told = Vec::new();
        for path in self.below(key) {
            let made = self
                .internal_change(Action::Rotate, &path, None, async || {
                    let permit = Permit::<action::Rotate>::of_schedule(path.clone());
                    self.operations().hierarchy.rotate(permit, None).await
                })
                .await;
            let mut below = QuarantinedKey::new(path, Vec::new(), Vec::new());
            match made {
                Ok(metadata) => below.primary = metadata.primary,
                Err(error) => below.say(&format!("no new version ({error}): rotate it")),
            }
            told.push(below);
        }
        told
    }
}

/// After a leak the keys below get new versions too. A recursive quarantine stops and renews them itself.
fn renews_below(request: &QuarantineKey) -> bool {
    request.reason == QuarantineReason::MaterialLeaked && !request.recursive
}
