//! Emergency changes, made before they are recorded: their intent stands in the key record itself.
//!
//! Invariant: an emergency is in the record until the next change of it that is none, which waits until the log has
//! it; with the generation it made. At the next start those the audit log has not seen are handed over to be
//! recorded. Known limit: a key keeps the last 32 of them.

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
    /// The key.
    pub key: KeyPath,
    /// The key's identity.
    pub key_id: KeyId,
    /// The record it wrote, if no later emergency wrote over it.
    pub change: Option<Change>,
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
            let last = record.emergencies.last().map(|last| last.generation);
            for emergency in record.emergencies.iter().filter(|e| e.generation > logged).cloned() {
                let change = if Some(emergency.generation) == last {
                    Some(self.change_of(record.id, &path, emergency.generation).await?)
                } else {
                    None
                };
                let (key, key_id) = (path.clone(), record.id);
                found.push(UnloggedEmergency { emergency, key, key_id, change });
            }
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

/// Adds an emergency to a record about to be committed.
pub(crate) fn add<A: ActionType>(
    record: &mut KeyRecord,
    permit: &Permit<A>,
    request: RequestId,
    at: Timestamp,
) {
    let by = permit.principal().clone();
    let all = &mut record.emergencies;
    all.push(Emergency { request, action: A::ACTION, by, at, generation: UNPLACED });
    let beyond = all.len().saturating_sub(MOST);
    all.drain(..beyond);
}

/// Notes the generation in a record that was just given an emergency; any other change ends what was kept.
pub(crate) fn place(record: &mut KeyRecord, generation: u64) {
    match record.emergencies.last_mut() {
        Some(newest) if newest.generation == UNPLACED => newest.generation = generation,
        _ => record.emergencies.clear(),
    }
}

const UNPLACED: u64 = 0;
const MOST: usize = 32;
