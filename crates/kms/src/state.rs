//! The life of a key version: one enum, one transition table.
//!
//! The table below is what the service does, what the command line's help prints and what the tests
//! walk. Versions only go forward: none is promoted twice; undoing a rotation is a new version.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::KmsError;

/// The state of a whole key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum KeyState {
    /// In use.
    Active,
    /// All uses refused until enabled again.
    Disabled,
    /// Makes nothing new; its versions can be disabled and destroyed.
    Retired,
}

/// The state of one key version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum VersionState {
    /// Made, not yet promoted.
    Pending,
    /// The one version that wraps.
    Primary,
    /// Unwraps, no longer wraps.
    Enabled,
    /// Stopped in an emergency: unwraps only inside a rewrap (or for callers, if told to drain).
    Quarantined,
    /// Unwraps nothing.
    Disabled,
    /// Will be destroyed at its time unless cancelled.
    DestroyScheduled,
    /// Its key material is gone; a tombstone stays.
    Destroyed,
}

/// What a version is about to be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum VersionUse {
    /// Wrapping a key.
    Wrap,
    /// Unwrapping a key for a caller.
    UnwrapForCaller,
    /// Unwrapping inside a rewrap, or to load a child KEK: the key does not leave the service.
    UnwrapInternally,
    /// The self-test before promotion.
    SelfTest,
}

/// What a transition needs beside its action's permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Requirement {
    /// Nothing more.
    Nothing,
    /// Two persons.
    TwoPersons,
    /// Two persons if the version was ever quarantined.
    TwoPersonsIfEverQuarantined,
    /// Evidence that nothing needs the version, or two persons.
    EvidenceOrTwoPersons,
    /// Only while the key is retired.
    KeyRetired,
}

/// One allowed step in the life of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// From this state
    pub from: VersionState,
    /// to this one,
    pub to: VersionState,
    /// by this act,
    pub by: &'static str,
    /// given this.
    pub needs: Requirement,
}

/// Every allowed transition; what is not here is refused.
pub const TRANSITIONS: &[Transition] = {
    use Requirement as R;
    use VersionState as S;
    const fn row(from: S, to: S, by: &'static str, needs: R) -> Transition {
        Transition { from, to, by, needs }
    }
    &[
        row(S::Pending, S::Primary, "promotion", R::Nothing),
        row(S::Pending, S::Destroyed, "abandoned rotation", R::Nothing),
        row(S::Primary, S::Enabled, "promotion of a newer version", R::Nothing),
        row(S::Primary, S::Quarantined, "quarantine", R::Nothing),
        row(S::Primary, S::Disabled, "disable", R::KeyRetired),
        row(S::Enabled, S::Quarantined, "quarantine", R::Nothing),
        row(S::Enabled, S::Disabled, "disable", R::Nothing),
        row(S::Quarantined, S::Disabled, "disable", R::Nothing),
        row(S::Quarantined, S::Enabled, "enable", R::TwoPersons),
        row(S::Disabled, S::Enabled, "enable", R::TwoPersonsIfEverQuarantined),
        row(S::Disabled, S::Quarantined, "quarantine for stragglers", R::Nothing),
        row(S::Disabled, S::DestroyScheduled, "schedule destruction", R::EvidenceOrTwoPersons),
        row(S::DestroyScheduled, S::Disabled, "cancel destruction", R::Nothing),
        row(S::DestroyScheduled, S::Destroyed, "destruction at its time", R::Nothing),
    ]
};

impl VersionState {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Primary,
        Self::Enabled,
        Self::Quarantined,
        Self::Disabled,
        Self::DestroyScheduled,
        Self::Destroyed,
    ];

    /// The transition from here to `to`.
    ///
    /// # Errors
    /// [`KmsError::KeyUnusable`] naming both states when the table has no such row.
    pub fn transition_to(self, to: Self) -> Result<&'static Transition, KmsError> {
        TRANSITIONS.iter().find(|row| row.from == self && row.to == to).ok_or_else(|| {
            KmsError::key_unusable(format!("a version that is {self} cannot become {to}"))
        })
    }

    /// Whether a version in this state may be used so. `drain` is the operator's word, given with a
    /// quarantine, that callers may still unwrap.
    #[must_use]
    pub fn allows(self, wanted: VersionUse, drain: bool) -> bool {
        match self {
            Self::Pending => wanted == VersionUse::SelfTest,
            Self::Primary => wanted != VersionUse::SelfTest,
            Self::Enabled => {
                matches!(wanted, VersionUse::UnwrapForCaller | VersionUse::UnwrapInternally)
            }
            Self::Quarantined => {
                wanted == VersionUse::UnwrapInternally
                    || (drain && wanted == VersionUse::UnwrapForCaller)
            }
            Self::Disabled | Self::DestroyScheduled | Self::Destroyed => false,
        }
    }

    /// The state's word, as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Primary => "primary",
            Self::Enabled => "enabled",
            Self::Quarantined => "quarantined",
            Self::Disabled => "disabled",
            Self::DestroyScheduled => "destroy-scheduled",
            Self::Destroyed => "destroyed",
        }
    }
}

impl fmt::Display for VersionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl KeyState {
    /// The state's word, as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Retired => "retired",
        }
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use VersionState as S;

    /// The table of the design, row by row, written a second time.
    #[test]
    fn the_table_is_the_design() {
        let goes_to = |from: S| -> Vec<S> {
            S::ALL.into_iter().filter(|&to| from.transition_to(to).is_ok()).collect()
        };
        assert_eq!(goes_to(S::Pending), [S::Primary, S::Destroyed]);
        assert_eq!(goes_to(S::Primary), [S::Enabled, S::Quarantined, S::Disabled]);
        assert_eq!(goes_to(S::Enabled), [S::Quarantined, S::Disabled]);
        assert_eq!(goes_to(S::Quarantined), [S::Enabled, S::Disabled]);
        assert_eq!(goes_to(S::Disabled), [S::Enabled, S::Quarantined, S::DestroyScheduled]);
        assert_eq!(goes_to(S::DestroyScheduled), [S::Disabled, S::Destroyed]);
        assert_eq!(goes_to(S::Destroyed), []);
    }

    #[test]
    fn none_is_promoted_twice() {
        for from in S::ALL {
            assert_eq!(from.transition_to(S::Primary).is_ok(), from == S::Pending);
        }
    }

    #[test]
    fn only_the_primary_wraps() {
        for state in S::ALL {
            assert_eq!(state.allows(VersionUse::Wrap, true), state == S::Primary);
        }
    }

    #[test]
    fn a_quarantined_version_opens_only_for_rewrap_unless_drained() {
        assert!(!S::Quarantined.allows(VersionUse::UnwrapForCaller, false));
        assert!(S::Quarantined.allows(VersionUse::UnwrapForCaller, true));
        assert!(S::Quarantined.allows(VersionUse::UnwrapInternally, false));
    }

    #[test]
    fn a_disabled_or_destroyed_version_does_nothing() {
        for state in [S::Disabled, S::DestroyScheduled, S::Destroyed] {
            for wanted in [
                VersionUse::Wrap,
                VersionUse::UnwrapForCaller,
                VersionUse::UnwrapInternally,
                VersionUse::SelfTest,
            ] {
                assert!(!state.allows(wanted, true));
            }
        }
    }
}
