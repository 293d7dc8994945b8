//! What a campaign decides, as pure functions: which envelopes move, what a replacement's outcome means, when
//! a pass is the last one.
//!
//! Invariants: an envelope never goes back to an older version; only what was replaced counts as moved; a source
//! is done only after a whole pass that moved nothing and met no conflict. Nothing here reads a clock, a
//! source or a service, so a model can drive the same functions as the runner.

use claviger_kms::{CampaignCounts, CampaignState, KeyId, KeyVersion};

use crate::Replaced;

/// What a place holds, as far as it can be read without a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// NULL, or no bytes.
    Empty,
    /// Bytes that are no envelope, or one of a format that is not read here.
    Malformed,
    /// An envelope under these keys and versions; of a file with two headers, those of both.
    Envelope(Vec<(KeyId, KeyVersion)>),
}

/// Where envelopes of one key are to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// To this version of the same key, or a newer one.
    Version {
        /// The key.
        key: KeyId,
        /// The primary version.
        primary: KeyVersion,
        /// The newest version there is; a claim of a newer one is not believed.
        newest: KeyVersion,
    },
    /// From the one key to the other, of another service.
    Key {
        /// Under this now.
        from: KeyId,
        /// Under this then; none where the other service's wraps do not show their key.
        to: Option<KeyId>,
    },
}

/// What to do with what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing: there is no envelope.
    Empty,
    /// Nothing: leave the bytes alone.
    Malformed,
    /// Nothing: another key's.
    Foreign,
    /// Nothing: it is where it should be.
    Current,
    /// Nothing: it claims a version that the key does not have.
    UnknownVersion,
    /// Move it.
    Move,
}

/// Which envelopes move. Of several wraps or headers under the key the oldest decides.
#[must_use]
pub fn step(found: &Found, goal: &Goal) -> Step {
    let keys = match found {
        Found::Empty => return Step::Empty,
        Found::Malformed => return Step::Malformed,
        Found::Envelope(keys) => keys,
    };
    match *goal {
        Goal::Version { key, primary, newest } => {
            let versions = || keys.iter().filter(|(id, _)| *id == key).map(|(_, version)| *version);
            match (versions().min(), versions().max()) {
                (Some(_), Some(latest)) if latest > newest => Step::UnknownVersion,
                (Some(oldest), _) if oldest < primary => Step::Move,
                (Some(_), _) => Step::Current,
                (None, _) => Step::Foreign,
            }
        }
        Goal::Key { from, to } => {
            let has = |wanted| keys.iter().any(|(id, _)| *id == wanted);
            match to {
                _ if has(from) => Step::Move,
                Some(to) if has(to) => Step::Current,
                _ => Step::Foreign,
            }
        }
    }
}

/// Whether replacing `old` by `new` would bring an older version of a key back.
#[must_use]
pub fn goes_back(old: &[(KeyId, KeyVersion)], new: &[(KeyId, KeyVersion)]) -> bool {
    old.iter().any(|(key, old)| new.iter().any(|(same, new)| same == key && new < old))
}

/// Counts one envelope that was to be replaced. Only replaced is moved; a conflict is looked at again in the
/// next pass, for the application may have written an old version.
pub fn count_replaced(counts: &mut CampaignCounts, outcome: Replaced) {
    counts.scanned = counts.scanned.saturating_add(1);
    let field = match outcome {
        Replaced::Replaced => &mut counts.moved,
        Replaced::Conflict => &mut counts.conflicts,
        Replaced::Gone => &mut counts.gone,
        Replaced::Refused => &mut counts.refused,
    };
    *field = field.saturating_add(1);
}

/// Counts one envelope that is left alone; `Step::Move` here means that the service refused it.
pub fn count_left(counts: &mut CampaignCounts, step: Step) {
    counts.scanned = counts.scanned.saturating_add(1);
    let field = match step {
        Step::Empty => &mut counts.empty,
        Step::Malformed => &mut counts.malformed,
        Step::Foreign => &mut counts.foreign,
        Step::Current => &mut counts.current,
        Step::UnknownVersion | Step::Move => &mut counts.refused,
    };
    *field = field.saturating_add(1);
}

/// What comes after a whole pass over a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Look again from the beginning.
    Again,
    /// Nothing is left to move.
    Complete,
    /// Something is left, and looking again would not help or was tried often enough.
    Partial,
}

/// What comes after the pass with these counts, the `passes`th. A pass is `whole` if this run began it at the
/// beginning and the goal is still the same at its end: one that was resumed saw places before a rotation,
/// perhaps, and one that was overtaken by a rotation left envelopes that are old by now. Envelopes of other keys
/// are other campaigns' work and do not stand in the way; what could not be read or moved does.
#[must_use]
pub fn after_pass(counts: &CampaignCounts, whole: bool, passes: u32, most: u32) -> Next {
    let settled = whole && counts.moved == 0 && counts.conflicts == 0;
    match (settled, counts.malformed == 0 && counts.refused == 0) {
        (true, true) => Next::Complete,
        (true, false) => Next::Partial,
        (false, _) if passes >= most => Next::Partial,
        (false, _) => Next::Again,
    }
}

/// How a campaign ends whose sources ended so; `None` while one is not done.
#[must_use]
pub fn campaign_state(sources: &[Next]) -> Option<CampaignState> {
    if sources.contains(&Next::Again) {
        return None;
    }
    let all = sources.iter().all(|next| *next == Next::Complete);
    Some(if all { CampaignState::Complete } else { CampaignState::Partial })
}

/// What a watcher knows of its last run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastRun {
    /// The primary version when it ended.
    pub primary: KeyVersion,
    /// Whether running again may help: a source was out of reach, or rows kept changing.
    pub again: bool,
}

/// Whether to run now: older versions may be in use, and no run has dealt with that.
#[must_use]
pub fn should_run(versions: usize, primary: Option<KeyVersion>, last: Option<LastRun>) -> bool {
    match (primary, last) {
        (None, _) => false,
        (Some(_), None) => versions > 1,
        (Some(primary), Some(last)) => primary > last.primary || last.again,
    }
}

#[cfg(test)]
mod tests;
