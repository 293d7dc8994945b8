//! What was killed, and what was found: without it nobody knows whether the kills met anything.

use std::{collections::BTreeMap, fmt, time::Instant};

use crate::{
    check::Found,
    stage::{Campaign, Rotation, Strike},
    writer::Written,
};

#[derive(Debug)]
pub(crate) struct Tally {
    begun: Instant,
    strikes: BTreeMap<Strike, u64>,
    whens: BTreeMap<When, u64>,
    progress: BTreeMap<&'static str, u64>,
    rotations: BTreeMap<Rotation, u64>,
    campaigns: BTreeMap<Campaign, u64>,
    without_primary: u64,
    stopped: u64,
    cursors: u64,
    written: Vec<Written>,
}

/// In the midst of what, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum When {
    /// A rotation, which did not happen.
    NotInForce,
    /// A rotation that nobody was told of.
    InForceUnanswered,
    /// A rotation whose answer came all the same.
    Answered,
    /// The start of a service that would rotate, and did not.
    ScheduleNotInForce,
    /// The same, and it had.
    ScheduleInForce,
    /// A campaign.
    Campaign,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            begun: Instant::now(),
            strikes: BTreeMap::new(),
            whens: BTreeMap::new(),
            progress: BTreeMap::new(),
            rotations: BTreeMap::new(),
            campaigns: BTreeMap::new(),
            without_primary: 0,
            stopped: 0,
            cursors: 0,
            written: Vec::new(),
        }
    }

    /// A kill in the midst of work.
    pub(crate) fn point(&mut self, strike: Strike, when: When, found: Found) {
        *self.strikes.entry(strike).or_default() += 1;
        *self.whens.entry(when).or_default() += 1;
        if when == When::Campaign {
            *self.progress.entry(found.progress()).or_default() += 1;
        }
        self.without_primary += u64::from(found.without_primary);
        self.stopped += u64::from(found.stopped > 0);
        self.cursors += u64::from(found.cursor);
    }

    pub(crate) fn settled(&mut self, rotation: Rotation, campaign: Campaign) {
        *self.rotations.entry(rotation).or_default() += 1;
        *self.campaigns.entry(campaign).or_default() += 1;
    }

    pub(crate) fn written(&mut self, written: Written) {
        self.written.push(written);
    }

    pub(crate) fn points(&self) -> u64 {
        self.strikes.values().sum()
    }

    /// Fails unless the kills met rotations and campaigns in the midst, and a writer who wrote. Few kills say nothing.
    pub(crate) fn assert_amid(&self) {
        let points = self.points();
        if points < 50 {
            return;
        }
        let of = |when| self.whens.get(&when).copied().unwrap_or_default();
        let cut = of(When::NotInForce) + of(When::InForceUnanswered);
        assert!(cut * 10 >= points, "hardly a rotation was cut");
        let (before, after) = (of(When::ScheduleNotInForce), of(When::ScheduleInForce));
        assert!(before > 0 && after > 0, "no rotation by schedule was cut");
        let some = self.progress.get("some rows behind").copied().unwrap_or_default();
        assert!(some * 10 >= points, "hardly a campaign was cut in its midst");
        let written: u64 = self.written.iter().map(Written::acknowledged).sum();
        assert!(written >= points * 5, "the application hardly wrote");
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.begun.elapsed().as_secs();
        writeln!(f, "{} kills in the midst of work, in {seconds} seconds", self.points())?;
        writeln!(f, "  killed: {:?}", self.strikes)?;
        writeln!(f, "  in the midst of: {:?}", self.whens)?;
        writeln!(f, "  after a kill amid a campaign: {:?}", self.progress)?;
        writeln!(
            f,
            "  found: a key without primary version {}, rows that only a campaign may open {}, \
             an open campaign with a cursor {}",
            self.without_primary, self.stopped, self.cursors
        )?;
        writeln!(f, "  rotations done: {:?}; campaigns: {:?}", self.rotations, self.campaigns)?;
        for written in &self.written {
            writeln!(f, "  the application: {written:?}")?;
        }
        Ok(())
    }
}
