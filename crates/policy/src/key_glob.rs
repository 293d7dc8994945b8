//! Globs over key paths, by segment: `us-east-1/payments/**`.
//!
//! A segment of a glob is literal, or has `*` in it (any run of characters inside that segment), or is
//! `**` (any number of segments, none too). Invariant: every glob that is read can match some path.

use claviger_kms::KeyPath;

use crate::wildcard::Wildcard;

#[derive(Debug)]
pub(crate) struct KeyGlob {
    /// The segments before the first `**`.
    head: Vec<Wildcard>,
    /// The runs of segments after each `**`; empty when there is none.
    runs: Vec<Vec<Wildcard>>,
}

impl KeyGlob {
    /// Reads a glob; the error is a sentence for people.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_LENGTH {
            return Err(format!("a key glob has at most {MAX_LENGTH} characters"));
        }
        let mut head = Vec::new();
        let mut runs: Vec<Vec<Wildcard>> = Vec::new();
        let mut after_double_star = false;
        for segment in text.split('/') {
            if segment != "**" {
                let segment = parse_segment(segment).map_err(|why| format!("{text:?}: {why}"))?;
                runs.last_mut().unwrap_or(&mut head).push(segment);
            } else if after_double_star {
                return Err(format!("{text:?} has two `**` in a row; one means the same"));
            } else {
                runs.push(Vec::new());
            }
            after_double_star = segment == "**";
        }
        let segments = head.len() + runs.iter().map(Vec::len).sum::<usize>();
        if segments > KeyPath::MAX_DEPTH {
            return Err(format!(
                "{text:?} asks for {segments} segments; a key path has at most {}",
                KeyPath::MAX_DEPTH
            ));
        }
        Ok(Self { head, runs })
    }

    /// Whether the glob is `**`, which every path matches.
    pub(crate) fn matches_everything(&self) -> bool {
        self.head.is_empty() && self.runs.iter().map(Vec::len).eq([0])
    }

    /// Whether a path with these segments matches.
    pub(crate) fn matches(&self, path: &[&str]) -> bool {
        path.split_at_checked(self.head.len()).is_some_and(|(head, below)| {
            run_matches(&self.head, head) && runs_match(&self.runs, below)
        })
    }
}

/// Each run is taken where it first fits, the last one at the end: taking one later never helps.
fn runs_match(runs: &[Vec<Wildcard>], mut path: &[&str]) -> bool {
    let Some((last, runs)) = runs.split_last() else { return path.is_empty() };
    for run in runs {
        let fits = |from: &usize| {
            path.get(*from..*from + run.len()).is_some_and(|segments| run_matches(run, segments))
        };
        let Some(from) = (0..=path.len()).find(fits) else { return false };
        path = path.get(from + run.len()..).unwrap_or_default();
    }
    path.len()
        .checked_sub(last.len())
        .and_then(|from| path.get(from..))
        .is_some_and(|end| run_matches(last, end))
}

fn run_matches(run: &[Wildcard], segments: &[&str]) -> bool {
    run.len() == segments.len() && run.iter().zip(segments).all(|(glob, text)| glob.matches(text))
}

fn parse_segment(text: &str) -> Result<Wildcard, String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    match text.chars().next() {
        None => return Err("a segment is empty".to_owned()),
        Some(first) if !plain(first) && first != '*' => {
            return Err(format!("a segment begins with {first:?}; {ALPHABET}"));
        }
        Some(_) => {}
    }
    if let Some(bad) = text.chars().find(|&c| !plain(c) && !matches!(c, '.' | '_' | '-' | '*')) {
        return Err(format!("a segment contains {bad:?}; {ALPHABET}"));
    }
    if text.contains("**") {
        return Err(format!("`**` stands alone in its segment, unlike in {text:?}"));
    }
    if text.chars().filter(|&c| c != '*').count() > KeyPath::MAX_SEGMENT {
        return Err(format!("a segment is longer than {} characters", KeyPath::MAX_SEGMENT));
    }
    Wildcard::parse(text).ok_or_else(|| format!("{text:?} is not a segment of a glob"))
}

/// Longest glob, in bytes: the deepest path with a `*` beside every character.
const MAX_LENGTH: usize = 2 * KeyPath::MAX_DEPTH * (KeyPath::MAX_SEGMENT + 1) + 32;
const ALPHABET: &str = "segments have a-z 0-9 . _ - * and begin with a letter, digit or `*`";

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(glob: &str, path: &str) -> bool {
        let path: KeyPath = path.parse().unwrap_or_else(|_| panic!("{path:?} is not a path"));
        KeyGlob::parse(glob).unwrap().matches(&path.segments().collect::<Vec<_>>())
    }

    #[test]
    fn refuses_what_can_match_no_path() {
        let deep = ["a"; 9].join("/");
        let deep_between_stars = format!("{}/**", ["*"; 9].join("/**/"));
        let wide = "a".repeat(64);
        let wide_with_star = format!("{}*{}", "a".repeat(32), "a".repeat(32));
        let long = format!("a{}", "*a".repeat(2000));
        for bad in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "**/",
            "..",
            "a/../b",
            ".*",
            "-*",
            "A",
            "a/B*",
            "a b",
            "a\0",
            "ä*",
            "a\\*",
            "[ab]",
            "a?",
            "{a,b}",
            "a**",
            "**a",
            "a/**b/c",
            "***",
            "a/**/**/b",
            &deep,
            &deep_between_stars,
            &wide,
            &wide_with_star,
            &long,
        ] {
            assert!(KeyGlob::parse(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn matches_by_segment() {
        for (glob, path, expected) in [
            ("a", "a", true),
            ("a", "a/b", false),
            ("a", "ab", false),
            ("*", "a", true),
            ("*", "a/b", false),
            ("a/*", "a", false),
            ("a/*", "a/b", true),
            ("a/*", "a/b/c", false),
            ("a/**", "a", true),
            ("a/**", "a/b/c", true),
            ("a/**", "ab", false),
            ("**", "a", true),
            ("**", "a/b/c/d/e/f/g/h", true),
            ("**/c", "c", true),
            ("**/c", "a/b/c", true),
            ("**/c", "a/c/b", false),
            ("a/**/c", "a/c", true),
            ("a/**/c", "a/b/b/c", true),
            ("a/**/c", "a/b/cc", false),
            ("a/**/a", "a", false),
            ("**/b/**", "a/b/c", true),
            ("**/b/**", "b", true),
            ("**/b/**/b", "b", false),
            ("**/b/*/**/b", "a/b/b/b", true),
            ("**/b/*/**/b", "a/b/b", false),
            ("us-*/pay*s", "us-east-1/payments", true),
            ("us-*/pay*s", "us-east-1/payment", false),
            ("us-*", "us-", true),
            ("*-1/**", "us-east-1", true),
        ] {
            assert_eq!(matches(glob, path), expected, "{glob:?} on {path:?}");
        }
    }
}
