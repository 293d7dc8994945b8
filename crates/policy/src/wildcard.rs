//! Text with wildcards: `*` is any run of characters without `/`, `**` is any run.
//!
//! Matching follows all possibilities at once, character by character: at most (length of the text) ×
//! (length of the glob) steps, whatever the glob. There is no escape: what is matched holds no `*`, or
//! is matched by it like any other character.

/// A glob over bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wildcard {
    /// Literal text before the first wildcard.
    prefix: Box<str>,
    /// From the first wildcard to the last; `None` when the glob is all literal.
    middle: Option<Box<[Token]>>,
    /// Literal text after the last wildcard.
    suffix: Box<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Literal(u8),
    /// Any run without `/`.
    Within,
    /// Any run.
    Across,
}

impl Wildcard {
    /// Reads a glob; `None` if it has three or more `*` in a row, which means nothing.
    pub(crate) fn parse(glob: &str) -> Option<Self> {
        if glob.contains("***") {
            return None;
        }
        let (Some(first), Some(last)) = (glob.find('*'), glob.rfind('*')) else {
            return Some(Self { prefix: glob.into(), middle: None, suffix: "".into() });
        };
        let mut tokens = Vec::new();
        for byte in glob.get(first..=last)?.bytes() {
            let token = match (byte, tokens.last()) {
                (b'*', Some(Token::Within)) => {
                    tokens.pop();
                    Token::Across
                }
                (b'*', _) => Token::Within,
                _ => Token::Literal(byte),
            };
            tokens.push(token);
        }
        Some(Self {
            prefix: glob.get(..first)?.into(),
            middle: Some(tokens.into()),
            suffix: glob.get(last + 1..)?.into(),
        })
    }

    /// Whether the whole text matches.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let Some(middle) = &self.middle else { return *self.prefix == *text };
        text.strip_prefix(&*self.prefix)
            .and_then(|rest| rest.strip_suffix(&*self.suffix))
            .is_some_and(|rest| tokens_match(middle, rest))
    }
}

fn tokens_match(tokens: &[Token], text: &str) -> bool {
    // `reached[i]`: the tokens before `i` match the text so far.
    let mut reached = vec![false; tokens.len() + 1];
    if let Some(start) = reached.first_mut() {
        *start = true;
    }
    skip_wildcards(tokens, &mut reached);
    let mut next = reached.clone();
    for byte in text.bytes() {
        next.fill(false);
        for (index, token) in tokens.iter().enumerate() {
            if !reached.get(index).is_some_and(|&set| set) {
                continue;
            }
            let target = match token {
                Token::Literal(wanted) if *wanted == byte => index + 1,
                Token::Within if byte != b'/' => index,
                Token::Across => index,
                Token::Literal(_) | Token::Within => continue,
            };
            if let Some(place) = next.get_mut(target) {
                *place = true;
            }
        }
        skip_wildcards(tokens, &mut next);
        std::mem::swap(&mut reached, &mut next);
    }
    reached.last().is_some_and(|&end| end)
}

/// A wildcard may also match nothing.
fn skip_wildcards(tokens: &[Token], reached: &mut [bool]) {
    for (index, token) in tokens.iter().enumerate() {
        let here = reached.get(index).is_some_and(|&set| set);
        if let (true, Token::Within | Token::Across, Some(after)) =
            (here, token, reached.get_mut(index + 1))
        {
            *after = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn matches(glob: &str, text: &str) -> bool {
        Wildcard::parse(glob).unwrap().matches(text)
    }

    #[test]
    fn one_star_stays_within_slashes_and_two_cross_them() {
        for (glob, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("*", "abc", true),
            ("*", "a/b", false),
            ("**", "a/b", true),
            ("**", "", true),
            ("a*", "a", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*c", "abbc", true),
            ("a*c", "ab/c", false),
            ("a**c", "ab/c", true),
            ("a/*/c", "a//c", true),
            ("a/*/c", "a/b/b/c", false),
            ("a/**/c", "a/b/b/c", true),
            ("a/**/c", "a/c", false),
            ("**/x*", "a/b/xy", true),
            ("**/x*", "a/xb/y", false),
            ("**b*b", "b/abab", true),
            ("*b**b", "ab/ab", true),
            ("*b*b", "ab/ab", false),
        ] {
            assert_eq!(matches(glob, text), expected, "{glob:?} on {text:?}");
        }
    }

    #[test]
    fn refuses_three_stars_in_a_row() {
        assert_eq!(Wildcard::parse("a***b"), None);
    }

    /// A matcher that tries one possibility after the other needs hours for this.
    #[test]
    fn many_stars_take_no_longer_than_text_times_glob() {
        let begun = Instant::now();
        for star in ["*", "**"] {
            // The `b` before the last star keeps the hard part between the literal ends.
            let glob = format!("{}b{star}", format!("{star}a").repeat(300));
            assert!(!matches(&glob, &"a".repeat(2000)));
            assert!(matches(&glob, &format!("{}b", "a".repeat(2000))));
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "took {:?}", begun.elapsed());
    }
}
