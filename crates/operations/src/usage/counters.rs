//! Counters of one key version: numbers in memory, and the marks that are durable.
//!
//! Invariant: a mark is raised in memory only after it is durable in the store.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{
            AtomicBool, AtomicI64, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
};

use claviger_hierarchy::NewDocument;
use claviger_kms::{CallerUsage, KeyId, KeyVersion, Principal, Timestamp, Uses, VersionUsage};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// What a use did with the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UseKind {
    Wrap,
    Unwrap,
    Rewrap,
    Refused,
}

/// All callers of one version.
#[derive(Debug)]
pub(super) struct VersionCounters {
    pub(super) key_id: KeyId,
    pub(super) version: KeyVersion,
    since: Timestamp,
    named: RwLock<HashMap<Principal, Arc<Caller>>>,
    others: Arc<Caller>,
    /// The document's revision; 0 where there is none.
    revision: AtomicU64,
    /// Waits for the writer already.
    asked: AtomicBool,
    /// Told whenever the document was written.
    pub(super) saved: Notify,
}

/// One caller's counters.
#[derive(Debug)]
pub(super) struct Caller {
    first: AtomicI64,
    wraps: Counter,
    unwraps: Counter,
    rewraps: Counter,
    refused: Counter,
}

/// Uses of one kind; times in milliseconds since 1970.
#[derive(Debug)]
pub(super) struct Counter {
    count: AtomicU64,
    /// Last use since the start. Marks are counted from it, so that they do not creep from crash to crash.
    used: AtomicI64,
    /// What the document said at the start: the last use before was not later.
    floor: i64,
    durable_count: AtomicU64,
    durable_last: AtomicI64,
}

/// How near a counter is to its marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reserve {
    /// Far below.
    Ample,
    /// More than half is used up.
    Low,
    /// The use is beyond it.
    Spent,
}

/// The body of a document.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredUsage {
    format: u32,
    usage: VersionUsage,
}

/// How far beyond what was used a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ahead {
    /// A block and an hour.
    Block,
    /// Not at all: nothing is counted any more.
    Nothing,
}

impl StoredUsage {
    /// The usage of this version; `None` if this release does not read it.
    pub(super) fn of(self, version: KeyVersion) -> Option<VersionUsage> {
        (self.format == FORMAT && self.usage.version == version).then_some(self.usage)
    }
}

impl VersionCounters {
    pub(super) fn new(
        key_id: KeyId,
        version: KeyVersion,
        revision: Option<u64>,
        stored: Option<VersionUsage>,
        now: Timestamp,
    ) -> Self {
        let stored = stored.unwrap_or(VersionUsage::none(version));
        let mut named = HashMap::new();
        let mut others = Caller::unused();
        for usage in stored.callers {
            let caller = Caller::of(&usage);
            match usage.principal {
                Some(principal) => drop(named.insert(principal, Arc::new(caller))),
                None => others = caller,
            }
        }
        Self {
            key_id,
            version,
            since: stored.counted_since.unwrap_or(now),
            named: RwLock::new(named),
            others: Arc::new(others),
            revision: AtomicU64::new(revision.unwrap_or(0)),
            asked: AtomicBool::new(false),
            saved: Notify::new(),
        }
    }

    /// The counters of a caller.
    pub(super) fn caller(&self, principal: &Principal) -> Arc<Caller> {
        if let Some(caller) = self.read_named().get(principal) {
            return Arc::clone(caller);
        }
        let mut named = self.named.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(caller) = named.get(principal) {
            return Arc::clone(caller);
        }
        if named.len() >= VersionUsage::MAX_CALLERS {
            return Arc::clone(&self.others);
        }
        let caller = Arc::new(Caller::unused());
        named.insert(principal.clone(), Arc::clone(&caller));
        caller
    }

    /// Whether the writer has to be told; from then on it will see all that was counted before.
    pub(super) fn ask(&self) -> bool {
        !self.asked.swap(true, AcqRel)
    }

    /// The uses as they are now.
    pub(super) fn now(&self) -> VersionUsage {
        self.usage(Caller::now)
    }

    /// The document to write.
    pub(super) fn to_write(&self, ahead: Ahead) -> NewDocument<StoredUsage> {
        self.asked.swap(false, AcqRel);
        let usage = self.usage(|caller| caller.marks(ahead));
        let expected_revision = Some(self.revision.load(Acquire)).filter(|revision| *revision > 0);
        let name = name_of(self.key_id, self.version);
        NewDocument { name, expected_revision, value: StoredUsage { format: FORMAT, usage } }
    }

    /// These marks are durable, in a document of this revision.
    pub(super) fn written(&self, revision: u64, stored: &StoredUsage, ahead: Ahead) {
        self.revision.store(revision, Release);
        for marks in &stored.usage.callers {
            let caller = match &marks.principal {
                None => Arc::clone(&self.others),
                Some(principal) => self.caller(principal),
            };
            for (counter, marks) in caller.counters().into_iter().zip(kinds(marks)) {
                counter.set_marks(marks, ahead);
            }
        }
        self.saved.notify_waiters();
    }

    /// The document has this revision, 0 for none: the next one follows it.
    pub(super) fn set_revision(&self, revision: u64) {
        self.revision.store(revision, Release);
    }

    /// Whether a stop has something to write.
    pub(super) fn is_inexact(&self) -> bool {
        let callers = self.callers();
        callers.iter().any(|(_, caller)| caller.counters().into_iter().any(Counter::is_inexact))
    }

    fn usage(&self, marks: impl Fn(&Caller) -> Option<CallerUsage>) -> VersionUsage {
        let of = |(principal, caller): (Option<Principal>, Arc<Caller>)| {
            marks(&caller).map(|usage| CallerUsage { principal, ..usage })
        };
        let callers = self.callers().into_iter().filter_map(of).collect();
        VersionUsage { version: self.version, counted_since: Some(self.since), callers }
    }

    /// By name, the others last.
    fn callers(&self) -> Vec<(Option<Principal>, Arc<Caller>)> {
        let named = self.read_named();
        let mut callers: Vec<_> = named
            .iter()
            .map(|(principal, caller)| (Some(principal.clone()), Arc::clone(caller)))
            .collect();
        drop(named);
        callers.sort_by(|a, b| a.0.cmp(&b.0));
        callers.push((None, Arc::clone(&self.others)));
        callers
    }

    fn read_named(&self) -> std::sync::RwLockReadGuard<'_, HashMap<Principal, Arc<Caller>>> {
        self.named.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Caller {
    fn unused() -> Self {
        let unused = || Counter::of(Uses::default());
        Self {
            first: AtomicI64::new(i64::MAX),
            wraps: unused(),
            unwraps: unused(),
            rewraps: unused(),
            refused: unused(),
        }
    }

    fn of(usage: &CallerUsage) -> Self {
        Self {
            first: AtomicI64::new(usage.first_used.as_millisecond()),
            wraps: Counter::of(usage.wraps),
            unwraps: Counter::of(usage.unwraps),
            rewraps: Counter::of(usage.rewraps),
            refused: Counter::of(usage.refused),
        }
    }

    /// Counts a use; its number and how the reserve stands.
    pub(super) fn count(&self, kind: UseKind, at: i64) -> (u64, Reserve) {
        if self.first.load(Relaxed) == i64::MAX {
            self.first.fetch_min(at, Relaxed);
        }
        self.counter(kind).count(at)
    }

    pub(super) fn counter(&self, kind: UseKind) -> &Counter {
        match kind {
            UseKind::Wrap => &self.wraps,
            UseKind::Unwrap => &self.unwraps,
            UseKind::Rewrap => &self.rewraps,
            UseKind::Refused => &self.refused,
        }
    }

    fn counters(&self) -> [&Counter; 4] {
        [&self.wraps, &self.unwraps, &self.rewraps, &self.refused]
    }

    fn now(&self) -> Option<CallerUsage> {
        self.with(Counter::now)
    }

    fn marks(&self, ahead: Ahead) -> Option<CallerUsage> {
        self.with(|counter| counter.marks(ahead))
    }

    /// `None` for who has not used the version.
    fn with(&self, uses: impl Fn(&Counter) -> Uses) -> Option<CallerUsage> {
        let first = self.first.load(Relaxed);
        (first != i64::MAX).then(|| CallerUsage {
            principal: None,
            first_used: time(first),
            wraps: uses(&self.wraps),
            unwraps: uses(&self.unwraps),
            rewraps: uses(&self.rewraps),
            refused: uses(&self.refused),
        })
    }
}

impl Counter {
    fn of(marks: Uses) -> Self {
        let last = marks.last.map_or(NEVER, Timestamp::as_millisecond);
        Self {
            count: AtomicU64::new(marks.count),
            used: AtomicI64::new(NEVER),
            floor: last,
            durable_count: AtomicU64::new(marks.count),
            durable_last: AtomicI64::new(last),
        }
    }

    fn count(&self, at: i64) -> (u64, Reserve) {
        let number = self.count.fetch_add(1, Relaxed).saturating_add(1);
        self.used.fetch_max(at, Relaxed);
        let (count, last) = (self.durable_count.load(Acquire), self.durable_last.load(Acquire));
        let reserve = if number > count || at > last {
            Reserve::Spent
        } else if number.saturating_add(Uses::BLOCK / 2) > count || at + TERM / 2 > last {
            Reserve::Low
        } else {
            Reserve::Ample
        };
        (number, reserve)
    }

    /// Whether this use is covered by what is durable.
    pub(super) fn covers(&self, number: u64, at: i64) -> bool {
        self.durable_count.load(Acquire) >= number && self.durable_last.load(Acquire) >= at
    }

    fn now(&self) -> Uses {
        let last = Some(self.last()).filter(|last| *last != NEVER);
        Uses { count: self.count.load(Relaxed), last: last.map(time) }
    }

    /// Also where the clock was set back: the later of both.
    fn last(&self) -> i64 {
        self.used.load(Relaxed).max(self.floor)
    }

    /// What to make durable.
    fn marks(&self, ahead: Ahead) -> Uses {
        let (count, used) = (self.count.load(Relaxed), self.used.load(Relaxed));
        if ahead == Ahead::Nothing || count == 0 {
            return self.now();
        }
        // Raised only where the reserve is low, so that an idle caller's numbers stay exact to a block.
        let (durable, durable_last) =
            (self.durable_count.load(Acquire), self.durable_last.load(Acquire));
        let low = count.saturating_add(Uses::BLOCK / 2) > durable;
        let old = used.saturating_add(TERM / 2) > durable_last;
        Uses {
            count: if low { count.saturating_add(Uses::BLOCK) } else { durable },
            last: Some(time(if old { used.saturating_add(TERM) } else { durable_last })),
        }
    }

    fn set_marks(&self, marks: Uses, ahead: Ahead) {
        let last = marks.last.map_or(NEVER, Timestamp::as_millisecond);
        match ahead {
            Ahead::Block => {
                self.durable_count.fetch_max(marks.count, AcqRel);
                self.durable_last.fetch_max(last, AcqRel);
            }
            // What is used from here on is not covered.
            Ahead::Nothing => {
                self.durable_count.store(marks.count, Release);
                self.durable_last.store(last, Release);
            }
        }
    }

    fn is_inexact(&self) -> bool {
        self.count.load(Relaxed) != self.durable_count.load(Acquire)
            || self.last() != self.durable_last.load(Acquire)
    }
}

pub(super) fn name_of(key_id: KeyId, version: KeyVersion) -> String {
    format!("usage/{key_id}/{version}")
}

fn kinds(usage: &CallerUsage) -> [Uses; 4] {
    [usage.wraps, usage.unwraps, usage.rewraps, usage.refused]
}

fn time(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::MAX)
}

const FORMAT: u32 = 1;
const NEVER: i64 = i64::MIN;

/// How far ahead a last use is made durable, in milliseconds.
pub(super) const TERM: i64 = 3600 * 1000;
