//! At the time of a destruction: whether what it rests on still holds, and calling it off if not.

use claviger_kms::{Action, KeyMetadata, KeyPath, KeyVersion, Result};
use claviger_policy::{Permit, action};

use super::{name_of, standing::used_since};
use crate::{LocalKms, alerts::Alert};

impl LocalKms {
    /// Why the evidence that a destruction rests on no longer holds; `None` if it does.
    ///
    /// # Errors
    /// When that cannot be said now.
    pub(crate) async fn evidence_fails(
        &self,
        key: &KeyPath,
        version: KeyVersion,
        id: &str,
    ) -> Result<Option<String>> {
        let operations = self.operations();
        let Some(key_id) = operations.hierarchy.id_of(key) else { return Ok(None) };
        let evidence = match operations.evidence(key_id, version).await {
            Ok(Some(found)) if found.value.id.to_string() == id => found.value,
            Ok(Some(_)) => return Ok(Some("other evidence was submitted since".to_owned())),
            Ok(None) => return Ok(Some("the evidence was withdrawn".to_owned())),
            Err(error) => {
                // Fails again if it is the store that is out of reach.
                operations.hierarchy.document_revision(&name_of(key_id, version)).await?;
                return Ok(Some(format!("the evidence cannot be read: {error}")));
            }
        };
        let usage = match operations.usage.of_version(key_id, version).await {
            Ok(usage) => usage,
            Err(error) => {
                operations.hierarchy.document_revision(&name_of(key_id, version)).await?;
                return Ok(Some(format!("the counters of its uses cannot be read: {error}")));
            }
        };
        Ok(used_since(&evidence, &usage))
    }

    /// Makes a version whose destruction is due disabled again, with an alert and a record.
    pub(crate) async fn call_off(
        &self,
        key: &KeyPath,
        version: KeyVersion,
        why: &str,
    ) -> Result<KeyMetadata> {
        tracing::error!(%key, %version, why, "a destruction is called off");
        self.operations().alerts.raise(Alert {
            what: "a destruction is called off: what it rested on no longer holds",
            key: Some(key.clone()),
            by: self.caller().principal.clone(),
            request: self.caller().request,
        });
        self.internal_change(Action::Evidence, key, Some(version), async || {
            let permit = Permit::<action::Destroy>::of_schedule(key.clone());
            self.operations().hierarchy.cancel_destroy(permit, version).await
        })
        .await
    }
}
