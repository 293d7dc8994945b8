//! Emergency changes, made before they are recorded: their intent stands in the key record itself.
//!
//! Invariant: an emergency is in the record until the next change of it, with the generation it made; at
//! the next start those the audit log has not seen are handed over to be recorded.

use claviger_keystore::{Emergency, KeyRecord};
use claviger_kms::{KeyId, KeyPath, RequestId, Timestamp};
use claviger_policy::{ActionType, Permit};

use crate::{Change, hierarchy::Hierarchy, record_mac::record_hash};

/// An emergency change that the audit log may lack.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnloggedEmergency {
    /// What was done, by whom, when, at which generation.
    pub emergency: Emergency,
    /// The record it wrote.
    pub change: Change,
}

impl Hierarchy {
    /// The emergencies of a generation after `logged`, the highest that the audit log names.
    ///
    /// # Errors
    /// [`KmsError::Unavailable`](claviger_kms::KmsError::Unavailable) when the store cannot be read.
    pub async fn emergencies_after(
        &self,
        logged: u64,
    ) -> claviger_kms::Result<Vec<UnloggedEmergency>> {
        let mut found = Vec::new();
        for path in self.paths(None, None, usize::MAX) {
            let Some(record) = self.tree().at(&path) else { continue };
            let Some(emergency) = record.emergency.clone().filter(|e| e.generation > logged) else {
                continue;
            };
            let change = self.change_of(record.id, &path, emergency.generation).await?;
            found.push(UnloggedEmergency { emergency, change });
        }
        found.sort_by_key(|unlogged| unlogged.emergency.generation);
        Ok(found)
    }

    async fn change_of(
        &self,
        id: KeyId,
        path: &KeyPath,
        generation: u64,
    ) -> claviger_kms::Result<Change> {
        let stored = self.store.record(id).await?;
        let stored = stored.ok_or_else(|| {
            claviger_kms::KmsError::unavailable(format!("the record of {path} left the key store"))
        })?;
        Ok(Change {
            key: path.clone(),
            key_id: id,
            epoch: stored.epoch,
            record_hash: record_hash(&stored),
            generation,
        })
    }
}

/// The emergency's place in a record about to be committed.
pub(crate) fn of<A: ActionType>(
    permit: &Permit<A>,
    request: RequestId,
    at: Timestamp,
) -> Emergency {
    Emergency {
        request,
        action: A::ACTION,
        by: permit.principal().clone(),
        at,
        generation: UNPLACED,
    }
}

/// Notes the generation in a record that was just given an emergency, and clears an older one.
pub(crate) fn place(record: &mut KeyRecord, generation: u64) {
    match &mut record.emergency {
        Some(emergency) if emergency.generation == UNPLACED => emergency.generation = generation,
        older => *older = None,
    }
}

const UNPLACED: u64 = 0;
