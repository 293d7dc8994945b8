//! Rotation by schedule: what is due rotates, a few keys a round, parents before their children.
//!
//! Invariants: one service of a store rotates at a time (a lease saves the double work; that no key rotates
//! twice is the key record's affair); when a key is due follows from its record alone, so after downtime
//! it rotates once; after a jump of the clock nothing rotates for an hour; a key that fails waits longer
//! each time and holds up no other.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use claviger_hierarchy::{ChildrenBehind, Hierarchy, RotationPlan};
use claviger_kms::{Action, KeyId, KeyPath, KeyVersion, KmsError, RequestId, Result, Timestamp};
use claviger_policy::{Permit, action};

use crate::{LocalKms, Operations, alerts::Alert};

mod clocks;
mod date;
mod notes;

pub use clocks::Clocks;
use date::Date;
use notes::{Note, back_off, is_ahead};

/// What the schedule knows from round to round.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// This service's name as a holder of the lease.
    holder: String,
    /// Also asked by what cannot be taken back.
    pub(crate) date: Date,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Since boot.
    leads_until: Option<Duration>,
    notes: BTreeMap<KeyId, Note>,
    /// Children left behind by an interrupted rotation: tries so far, and when the next is due since boot.
    behind: BTreeMap<ChildrenBehind, (u32, Duration)>,
}

/// When one key rotates, as seen now.
#[derive(Debug)]
pub(crate) struct Outlook {
    pub(crate) plan: RotationPlan,
    pub(crate) next: Option<Timestamp>,
    pub(crate) due: bool,
    pub(crate) note: Option<Note>,
}

/// A key that is to be rotated now.
#[derive(Debug)]
struct Due {
    key: KeyPath,
    id: KeyId,
    from: KeyVersion,
    next: Timestamp,
    waits: bool,
}

impl Schedule {
    /// # Errors
    /// [`KmsError::Unavailable`] when the operating system gives no random bytes.
    pub(crate) fn new() -> Result<Self, KmsError> {
        let holder = RequestId::make_random()?.to_string();
        Ok(Self { holder, date: Date::new(), known: Mutex::default() })
    }

    /// Whether this service rotates, and for how long nothing does because the clock jumped.
    pub(crate) async fn standing(&self, clocks: Clocks) -> (bool, Option<Duration>) {
        let leads = self.known().leads_until.is_some_and(|until| until >= clocks.since_boot);
        (leads, self.date.pause(clocks).await)
    }

    /// Lets another service of the store rotate, at a stop.
    pub(crate) async fn resign(&self, hierarchy: &Hierarchy) {
        if self.known().leads_until.take().is_some() {
            let given_up = hierarchy.store().lease(LEASE, &self.holder, Duration::ZERO).await;
            if let Err(error) = given_up {
                tracing::debug!(%error, "the lease on rotation runs out by itself");
            }
        }
    }

    /// Takes or keeps the lease. Who gets it anew reads what his predecessor noted.
    async fn leads(&self, hierarchy: &Hierarchy, clocks: Clocks) -> Result<bool> {
        let until = self.known().leads_until.filter(|until| *until > clocks.since_boot);
        if until.is_some_and(|until| until > clocks.since_boot + TERM / 2) {
            return Ok(true);
        }
        let leads = hierarchy.store().lease(LEASE, &self.holder, TERM).await?;
        if leads && until.is_none() {
            let notes = notes::load(hierarchy).await?;
            self.known().notes = notes;
        }
        self.known().leads_until = leads.then(|| clocks.since_boot + TERM);
        Ok(leads)
    }

    /// A version dated in the future is counted from when it was first seen so; else the period would
    /// begin only when that date has come.
    fn counted_from(&self, note: Option<&Note>, promoted: Timestamp, now: Timestamp) -> Timestamp {
        if !is_ahead(promoted, now) {
            return promoted;
        }
        let noted = note.and_then(|note| note.counted_from);
        noted.filter(|noted| !is_ahead(*noted, now)).unwrap_or(now)
    }

    /// When a key rotates.
    pub(crate) fn outlook(
        &self,
        hierarchy: &Hierarchy,
        key: &KeyPath,
        now: Timestamp,
    ) -> Result<Outlook> {
        let plan = hierarchy.rotation_plan(key)?;
        let note = self.known().notes.get(&plan.id).cloned();
        let note = note.filter(|note| plan.primary.is_some_and(|(v, _)| v == note.version));
        let next = plan.primary.and_then(|(_, promoted)| {
            plan.next_after(self.counted_from(note.as_ref(), promoted, now))
        });
        let due = plan.held.is_none() && next.is_some_and(|next| next <= now);
        Ok(Outlook { plan, next, due, note })
    }

    /// Notes this about a key, or nothing any more; in memory even if the store cannot be written.
    async fn note(&self, hierarchy: &Hierarchy, id: KeyId, note: Option<Note>) {
        if note.is_none() && !self.known().notes.contains_key(&id) {
            return;
        }
        if let Err(error) = notes::store(hierarchy, id, note.as_ref()).await {
            tracing::warn!(%id, %error, "a note of the schedule could not be stored");
        }
        match note {
            Some(note) => drop(self.known().notes.insert(id, note)),
            None => drop(self.known().notes.remove(&id)),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LocalKms {
    /// One round of the schedule.
    pub(crate) async fn keep_schedule(&self, clocks: Clocks) {
        let operations = self.operations();
        let (schedule, hierarchy) = (&operations.schedule, &operations.hierarchy);
        if schedule.date.look(hierarchy, clocks).await {
            operations.alerts.raise(Alert {
                what: "the clock jumped by more than an hour; nothing rotates by schedule for an hour, and \
                       nothing is destroyed for a day",
                key: None,
                by: self.caller().principal.clone(),
                request: self.caller().request,
            });
        }
        match schedule.leads(hierarchy, clocks).await {
            Ok(true) => {}
            Ok(false) => return operations.metrics.schedule(false, 0, 0),
            Err(error) => {
                tracing::warn!(%error, "whether this service rotates is not known");
                return operations.metrics.schedule(false, 0, 0);
            }
        }
        self.finish_moves(clocks).await;
        let due = self.due(clocks.wall).await;
        let (mut overdue, mut failing) = (due.len(), due.iter().filter(|due| due.waits).count());
        if schedule.standing(clocks).await.1.is_none() {
            let started = Instant::now();
            for due in due.iter().filter(|due| !due.waits).take(MOST_IN_A_ROUND) {
                if started.elapsed() > LONGEST_ROUND {
                    break;
                }
                match self.rotate_one(due, clocks.wall).await {
                    true => overdue -= 1,
                    false => failing += 1,
                }
            }
        }
        operations.metrics.schedule(true, overdue, failing);
    }

    /// What is due, parents first, then what waits longest.
    async fn due(&self, now: Timestamp) -> Vec<Due> {
        let operations = self.operations();
        let (schedule, hierarchy) = (&operations.schedule, &operations.hierarchy);
        let mut all = Vec::new();
        for key in hierarchy.paths(None, None, usize::MAX) {
            let Ok(Outlook { plan, next, due, note }) = schedule.outlook(hierarchy, &key, now)
            else {
                continue;
            };
            let (Some((from, promoted)), Some(next)) = (plan.primary, next) else { continue };
            let counted = schedule.counted_from(note.as_ref(), promoted, now);
            if counted != promoted && note.as_ref().and_then(|n| n.counted_from) != Some(counted) {
                tracing::warn!(%key, %promoted, "the primary version is dated in the future");
                let mut note = note.clone().unwrap_or(Note::about(from));
                note.counted_from = Some(counted);
                schedule.note(hierarchy, plan.id, Some(note)).await;
            }
            if due {
                let waits = note.is_some_and(|note| note.waits(now));
                all.push(Due { key, id: plan.id, from, next, waits });
            }
        }
        all.sort_by_cached_key(|due| (due.key.depth(), due.next, due.key.clone()));
        all
    }

    /// Rotates one key, to the end though the service stops; whether that succeeded.
    async fn rotate_one(&self, due: &Due, now: Timestamp) -> bool {
        let (key, from) = (due.key.clone(), due.from);
        let made = self.to_the_end_at_once(|kms| async move {
            kms.internal_change(Action::Rotate, &key, None, async || {
                let permit = Permit::<action::Rotate>::of_schedule(key.clone());
                kms.operations().hierarchy.rotate_due(permit, from, now).await
            })
            .await
        });
        let made = made.await;
        let Operations { schedule, hierarchy, .. } = self.operations();
        let Due { key, id, .. } = due;
        match made {
            Ok(metadata) => {
                tracing::info!(%key, primary = ?metadata.primary, "rotated by schedule");
                schedule.note(hierarchy, *id, None).await;
                true
            }
            Err(error) => {
                tracing::warn!(%key, %error, "a rotation by schedule failed; it is tried again");
                let note = schedule.known().notes.get(id).cloned();
                let note = note.filter(|note| note.version == from).unwrap_or(Note::about(from));
                let note = note.failed(now, error.to_string());
                schedule.note(hierarchy, *id, Some(note)).await;
                false
            }
        }
    }

    /// Moves children that an interrupted rotation left behind. One that is under way is given a round.
    async fn finish_moves(&self, clocks: Clocks) {
        let Operations { schedule, hierarchy, .. } = self.operations();
        let left = hierarchy.left_behind();
        schedule.known().behind.retain(|behind, _| left.contains(behind));
        for behind in left {
            let seen = schedule.known().behind.get(&behind).copied();
            let tries = match seen {
                Some((tries, at)) if at <= clocks.since_boot => tries + 1,
                Some(_) => continue,
                None => 0,
            };
            let wait = if tries == 0 { Duration::ZERO } else { back_off(tries) };
            schedule.known().behind.insert(behind.clone(), (tries, clocks.since_boot + wait));
            if tries == 0 {
                continue;
            }
            let of = behind.clone();
            let moved =
                self.to_the_end_at_once(|kms| async move { kms.resume_move(&of).await }).await;
            let parent = behind.parent().map_or("the root", KeyPath::as_str);
            match moved {
                Ok(None) => tracing::info!(parent, "keys left behind by a rotation were moved"),
                Ok(Some(notice)) => tracing::warn!(parent, notice, "keys stay behind"),
                Err(error) => tracing::warn!(parent, %error, "keys stay behind"),
            }
        }
    }
}

/// Name of the lease.
const LEASE: &str = "rotation";
/// How long after a crash another service may have to wait.
const TERM: Duration = Duration::from_secs(30);
/// Keys rotated in a round, of which there is one every five seconds: a thousand that are overdue take some
/// ten minutes.
const MOST_IN_A_ROUND: usize = 8;
/// A round begins no further rotation after this time: other upkeep waits for it.
const LONGEST_ROUND: Duration = Duration::from_secs(3);
