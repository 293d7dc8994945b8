//! Which campaigns there are, and how their records are kept.
//!
//! A record is the document `campaign/ID` of the key store, written only where the revision is the one
//! seen. What a rewrap and the policy need of it stands in memory too: this process alone has the store.
//!
//! Invariant: a rewrap is let in as a campaign's only while the campaign is open on the ciphertext's own
//! key; once its end is answered, no more. A key has at most one open campaign of a name.
//!
//! Known limit: records have a MAC but are not under the store's head. Whoever writes the store's file can
//! put back a record from when its campaign was open, or remove one; he cannot make one. An open campaign
//! alone moves nothing: every rewrap needs the policy's permit too.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use claviger_hierarchy::{Hierarchy, RewrapUse};
use claviger_kms::{
    Campaign, CampaignId, CampaignMode, CampaignName, CampaignState, KeyId, KeyPath, KeyVersion,
    KmsError, OpenCampaign, Principal, Result, Timestamp,
};
use serde::{Deserialize, Serialize};

/// All campaigns.
#[derive(Debug)]
pub(crate) struct Campaigns {
    known: Mutex<HashMap<CampaignId, Known>>,
    /// Held while one is opened, so that limits and names are judged one after the other.
    pub(crate) opening: tokio::sync::Mutex<()>,
}

/// What is kept of a record in memory.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) id: CampaignId,
    pub(crate) key: KeyPath,
    key_id: KeyId,
    name: CampaignName,
    mode: CampaignMode,
    state: CampaignState,
    opened_at: Timestamp,
    revision: u64,
    /// Names of the sources it has reported.
    sources: BTreeSet<String>,
}

/// The body of a document.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    campaign: Campaign,
}

impl Campaigns {
    /// Reads every record. One that is altered or damaged is passed over, which the log says.
    pub(crate) async fn load(hierarchy: &Hierarchy) -> Result<Self> {
        let mut known = HashMap::new();
        let mut after: Option<String> = None;
        loop {
            let names = hierarchy.document_names(PREFIX, after.as_deref(), PAGE).await?;
            let Some(last) = names.last() else { break };
            after = Some(last.clone());
            for name in &names {
                if let Ok(Some(campaign)) = read(hierarchy, name).await {
                    known.insert(campaign.id, Known::of(&campaign));
                }
            }
        }
        Ok(Self { known: Mutex::new(known), opening: tokio::sync::Mutex::new(()) })
    }

    /// What a rewrap that names a campaign may do. A campaign of another key looks like none.
    pub(crate) fn admit(&self, id: CampaignId, key: &KeyPath, key_id: KeyId) -> Result<RewrapUse> {
        match self.known().get(&id) {
            Some(known) if known.key_id != key_id => Err(no_campaign(id, key)),
            Some(known) if known.state == CampaignState::Open => Ok(match known.mode {
                CampaignMode::Reencrypt => RewrapUse::Reencryption,
                _ => RewrapUse::Campaign,
            }),
            Some(known) => Err(KmsError::conflict(format!(
                "the campaign {id} of the key {key} is {}; open another",
                known.state
            ))),
            None => Err(no_campaign(id, key)),
        }
    }

    pub(crate) fn find(&self, id: CampaignId) -> Option<Known> {
        self.known().get(&id).cloned()
    }

    /// All campaigns, or those of a key, newest first.
    pub(crate) fn newest_first(&self, key: Option<&KeyPath>) -> Vec<Known> {
        let known = self.known();
        let wanted = known.values().filter(|known| key.is_none_or(|key| known.key == *key));
        let mut wanted: Vec<Known> = wanted.cloned().collect();
        wanted.sort_by_key(|known| Reverse((known.opened_at, known.id)));
        wanted
    }

    /// The names that campaigns of a key have had, in order, each with the mode of its newest.
    pub(crate) fn names_of(&self, key: &KeyPath) -> BTreeMap<CampaignName, CampaignMode> {
        let mut names = BTreeMap::new();
        for known in self.newest_first(Some(key)) {
            names.entry(known.name).or_insert(known.mode);
        }
        names
    }

    /// The names of all sources that campaigns of a key have reported, as far as their records are kept.
    pub(crate) fn sources_of(&self, key: &KeyPath) -> BTreeSet<String> {
        self.newest_first(Some(key)).into_iter().flat_map(|known| known.sources).collect()
    }

    /// The open campaign of this name, if there is one, in the same mode; else checks that there is
    /// room for another.
    pub(crate) fn to_resume(
        &self,
        key: &KeyPath,
        name: &CampaignName,
        mode: CampaignMode,
    ) -> Result<Option<CampaignId>> {
        let known = self.known();
        let open = || known.values().filter(|known| known.state == CampaignState::Open);
        if let Some(same) = open().find(|known| known.key == *key && known.name == *name) {
            if same.mode == mode {
                return Ok(Some(same.id));
            }
            return Err(KmsError::conflict(format!(
                "the campaign {name} is open on the key {key} in mode {}; set that mode in the file, or end the campaign",
                same.mode
            )));
        }
        if open().filter(|known| known.key == *key).count() >= MOST_OPEN_OF_KEY {
            return Err(KmsError::conflict(format!(
                "the key {key} has {MOST_OPEN_OF_KEY} open campaigns, the most allowed; end one"
            )));
        }
        if open().count() >= MOST_OPEN {
            return Err(KmsError::conflict(format!(
                "{MOST_OPEN} campaigns are open, the most allowed; end one"
            )));
        }
        Ok(None)
    }

    /// The record, as the store has it.
    pub(crate) async fn read(&self, hierarchy: &Hierarchy, id: CampaignId) -> Result<Campaign> {
        let campaign = read(hierarchy, &name_of(id)).await?.ok_or_else(|| not_found(id))?;
        self.note(&campaign);
        Ok(campaign)
    }

    /// Writes a record of the revision after the one the store has.
    pub(crate) async fn write(&self, hierarchy: &Hierarchy, campaign: &Campaign) -> Result<()> {
        let value = Stored { format: FORMAT, campaign: campaign.clone() };
        let length = serde_json::to_vec(&value).map_or(usize::MAX, |text| text.len());
        if length > MAX_RECORD {
            return Err(KmsError::invalid(format!(
                "the campaign's record would have {length} bytes; at most {MAX_RECORD} are allowed: \
                 open several campaigns with fewer sources each"
            )));
        }
        let name = name_of(campaign.id);
        let expected = campaign.revision.checked_sub(1).filter(|revision| *revision > 0);
        if let Err(error) = hierarchy.put_document(&name, expected, &value).await {
            // It may have been written all the same.
            let _ = self.read(hierarchy, campaign.id).await;
            return Err(error);
        }
        self.note(campaign);
        Ok(())
    }

    /// Takes a record in, unless a newer one is known: an end stays an end.
    fn note(&self, campaign: &Campaign) {
        let mut known = self.known();
        if known.get(&campaign.id).is_none_or(|known| known.revision <= campaign.revision) {
            known.insert(campaign.id, Known::of(campaign));
        }
    }

    /// Removes the oldest ended campaigns beyond those that are kept: of every key the newest by its last names, which
    /// a quarantine opens again whatever other keys' campaigns do, and the newest of all. What cannot be removed now
    /// is later.
    pub(crate) async fn prune(&self, hierarchy: &Hierarchy) {
        let mut ended = self.newest_first(None);
        let mut names: HashMap<KeyPath, BTreeSet<CampaignName>> = HashMap::new();
        ended.retain(|known| {
            let of_key = names.entry(known.key.clone()).or_default();
            let kept = of_key.len() < KEPT_NAMES && of_key.insert(known.name.clone());
            known.state != CampaignState::Open && !kept
        });
        for known in ended.into_iter().skip(KEPT_ENDED) {
            let name = name_of(known.id);
            let removed = match hierarchy.document_revision(&name).await {
                Ok(Some(revision)) => hierarchy.remove_document(&name, revision).await,
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = removed {
                tracing::warn!(%error, campaign = %known.id, "an old campaign stays for now");
                return;
            }
            self.known().remove(&known.id);
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<CampaignId, Known>> {
        // Changed by single steps that do not panic.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn of(campaign: &Campaign) -> Self {
        Self {
            id: campaign.id,
            key: campaign.key.clone(),
            key_id: campaign.key_id,
            name: campaign.name.clone(),
            mode: campaign.mode,
            state: campaign.state,
            opened_at: campaign.opened_at,
            revision: campaign.revision,
            sources: campaign.sources.keys().map(ToString::to_string).collect(),
        }
    }
}

/// The record of a campaign that is opened now, to move to version `target` of its key.
pub(crate) fn new_record(
    id: CampaignId,
    request: OpenCampaign,
    key_id: KeyId,
    target: KeyVersion,
    opened_by: Principal,
) -> Campaign {
    let OpenCampaign { key, name, mode } = request;
    let now = Timestamp::now();
    Campaign {
        id,
        name,
        key,
        key_id,
        mode,
        state: CampaignState::Open,
        target,
        opened_by,
        opened_at: now,
        changed_at: now,
        revision: 1,
        sources: BTreeMap::new(),
    }
}

pub(crate) fn not_found(id: CampaignId) -> KmsError {
    KmsError::not_found(format!("the campaign {id}"))
}

fn no_campaign(id: CampaignId, key: &KeyPath) -> KmsError {
    KmsError::conflict(format!("the key {key} has no campaign {id}"))
}

async fn read(hierarchy: &Hierarchy, name: &str) -> Result<Option<Campaign>> {
    let Some(found) = hierarchy.document::<Stored>(name).await? else { return Ok(None) };
    let Stored { format, campaign } = found.value;
    let (revision, itself) = (campaign.revision, name_of(campaign.id));
    if format != FORMAT || itself != name || revision != found.revision {
        tracing::error!(name, format, "a campaign's record is not one this release reads");
        return Err(KmsError::unavailable("the campaign's record is not one this release reads"));
    }
    Ok(Some(campaign))
}

fn name_of(id: CampaignId) -> String {
    format!("{PREFIX}{id}")
}

const PREFIX: &str = "campaign/";
const FORMAT: u32 = 1;
const PAGE: usize = 100;

/// Most bytes of a record: 64 sources with cursors of 500 bytes and more.
const MAX_RECORD: usize = 64 * 1024;
const MOST_OPEN_OF_KEY: usize = 16;
const MOST_OPEN: usize = 1000;
/// Ended campaigns that are kept, the newest.
const KEPT_ENDED: usize = 1000;
/// Names of each key whose newest campaign is kept in any case.
const KEPT_NAMES: usize = 32;
