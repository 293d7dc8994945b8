//! Why a text is not a policy, with the place in it.

use std::fmt;

/// Why a text is not a policy. Nothing of the text is in force when there is one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The text, or the number of its rules, is over a limit.
    #[error("the policy {reason}")]
    TooLarge {
        /// What was found, and the limit.
        reason: String,
    },
    /// The text is not TOML, or has a key, a type or a value that no policy has.
    #[error("policy, {place}: {reason}")]
    Malformed {
        /// Where.
        place: Place,
        /// What is wrong, naming the key.
        reason: String,
    },
    /// A rule means nothing, or not what it seems to mean.
    #[error("policy, {place}, rule {rule:?}, {key}: {reason}")]
    BadRule {
        /// Where.
        place: Place,
        /// The rule's name as written.
        rule: String,
        /// The key inside the rule: `name`, `principals`, `actions` or `keys`.
        key: &'static str,
        /// What is wrong, and the remedy.
        reason: String,
    },
}

/// A place in a text. Lines and columns begin at 1; a column is one character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Place {
    /// The place of a byte offset; the end of the text for offsets beyond it.
    pub(crate) fn of_offset(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let (lines, last) = before
            .rsplit_once('\n')
            .map_or((0, before), |(above, last)| (above.matches('\n').count() + 1, last));
        Self { line: lines + 1, column: last.chars().count() + 1 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_begin_at_line_1_column_1_and_count_characters() {
        let text = "ab\nä b\n";
        let of = |offset| {
            let place = Place::of_offset(text, offset);
            (place.line, place.column)
        };
        assert_eq!(of(0), (1, 1));
        assert_eq!(of(2), (1, 3));
        assert_eq!(of(3), (2, 1));
        assert_eq!(of(6), (2, 3));
        assert_eq!(of(text.len()), (3, 1));
        assert_eq!(of(999), (3, 1));
    }
}
