//! The exit codes: a promise to scripts, kept for ever.
//!
//! Invariant: one code, one meaning; the table here is what `--help` prints and what the test of
//! `docs/cli.md` reads. A new kind of failure gets a new code, an old code never a new meaning.

use std::process::ExitCode;

/// How a run of `claviger` ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Exit {
    /// Done.
    Success,
    /// Something nobody foresaw.
    Unexpected,
    /// The command line was wrong; nothing was done.
    Usage,
    /// Not allowed, or no such key.
    Denied,
    /// An input is not what it has to be.
    InvalidInput,
    /// A ciphertext or envelope was rejected.
    Rejected,
    /// The thing does not exist.
    NotFound,
    /// It exists already, or changed meanwhile.
    Conflict,
    /// The key or version is in a state that does not allow this.
    KeyUnusable,
    /// The service is out of reach; the only code worth repeating for.
    Unavailable,
    /// The user's own files gave an error.
    File,
    /// This service or this release cannot do it.
    Unsupported,
    /// Of many files some were done, some not.
    Partial,
    /// A campaign ended, and something was left.
    CampaignPartial,
    /// The terminal was closed (SIGHUP).
    HungUp,
    /// Ctrl-C (SIGINT).
    Interrupted,
    /// Whoever read the output went away.
    OutputClosed,
    /// Asked to end (SIGTERM).
    Terminated,
}

impl Exit {
    /// Every way to end, by number.
    pub const ALL: [Self; 18] = [
        Self::Success,
        Self::Unexpected,
        Self::Usage,
        Self::Denied,
        Self::InvalidInput,
        Self::Rejected,
        Self::NotFound,
        Self::Conflict,
        Self::KeyUnusable,
        Self::Unavailable,
        Self::File,
        Self::Unsupported,
        Self::Partial,
        Self::CampaignPartial,
        Self::HungUp,
        Self::Interrupted,
        Self::OutputClosed,
        Self::Terminated,
    ];

    /// The number the shell sees. Those of signals are 128 and the signal's number, as shells count.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Unexpected => 1,
            Self::Usage => 2,
            Self::Denied => 3,
            Self::InvalidInput => 4,
            Self::Rejected => 5,
            Self::NotFound => 6,
            Self::Conflict => 7,
            Self::KeyUnusable => 8,
            Self::Unavailable => 9,
            Self::File => 10,
            Self::Unsupported => 11,
            Self::Partial => 12,
            Self::CampaignPartial => 13,
            Self::HungUp => 129,
            Self::Interrupted => 130,
            Self::OutputClosed => 141,
            Self::Terminated => 143,
        }
    }

    /// What the number means, in one line.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Success => "done",
            Self::Unexpected => "unexpected: a defect, please report it",
            Self::Usage => "usage: the command line was wrong, nothing was done",
            Self::Denied => "denied: not allowed, or no such key",
            Self::InvalidInput => "invalid input",
            Self::Rejected => "rejected: altered, cut, another context, or another key service",
            Self::NotFound => "not found",
            Self::Conflict => "conflict: it exists already (the output too), or changed meanwhile",
            Self::KeyUnusable => "key unusable: the state of the key or version does not allow it",
            Self::Unavailable => "unavailable: worth repeating later, unchanged",
            Self::File => "an input or output file gave an error",
            Self::Unsupported => "unsupported by this service or release",
            Self::Partial => "partial: of many files some were done, the others are named",
            Self::CampaignPartial => {
                "a campaign is partial: something was left, its report says what"
            }
            Self::HungUp => "the terminal was closed; temporary files were removed",
            Self::Interrupted => "Ctrl-C; temporary files were removed",
            Self::OutputClosed => "the reader of the output went away (says nothing)",
            Self::Terminated => "asked to end by SIGTERM; temporary files were removed",
        }
    }

    /// The whole table as text for `--help`.
    pub(crate) fn table() -> String {
        let rows = Self::ALL.map(|exit| format!("  {:>3}  {}", exit.number(), exit.meaning()));
        format!("Exit codes:\n{}", rows.join("\n"))
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_so_none_is_used_twice() {
        let numbers = Exit::ALL.map(Exit::number);
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    }

    #[test]
    fn the_documented_table_is_this_one() {
        let page = include_str!("../../../docs/cli.md");
        let documented: Vec<&str> = page
            .lines()
            .skip_while(|line| *line != "## Exit codes")
            .skip(1)
            .take_while(|line| !line.starts_with("## "))
            .filter(|line| line.starts_with("| ") && !line.starts_with("| code"))
            .collect();
        let rows = Exit::ALL.map(|exit| format!("| {} | {} |", exit.number(), exit.meaning()));
        assert_eq!(documented, rows);
    }
}
