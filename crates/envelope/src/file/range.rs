//! A part of a plaintext, as people write it: `0-499`, `1000+50`, `1000-`, `-500`.
//!
//! Numbers are bytes, from 0; an end is included, as in the ranges of HTTP (RFC 9110, section 14.1.2). A range
//! may reach past the end of the plaintext, it may not begin there.

use std::{ops::Range, str::FromStr};

use claviger_kms::KmsError;

/// A part of a plaintext whose length need not be known yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// From a byte on.
    From {
        /// The first byte.
        start: u64,
        /// Bytes; all there are if `None`.
        length: Option<u64>,
    },
    /// At the end.
    Last {
        /// Bytes.
        length: u64,
    },
}

impl ByteRange {
    /// The whole plaintext.
    pub const ALL: Self = Self::From { start: 0, length: None };

    /// The bytes of a plaintext of `length` that this means.
    ///
    /// # Errors
    /// [`KmsError::Invalid`] when it begins at the end or past it; the whole of nothing is allowed.
    pub fn within(self, length: u64) -> Result<Range<u64>, KmsError> {
        match self {
            Self::From { start, length: most } => {
                if start > length || (start == length && self != Self::ALL) {
                    return Err(KmsError::invalid(format!(
                        "the range begins at byte {start}; the plaintext has {length} bytes"
                    )));
                }
                let end = most.map_or(length, |most| start.saturating_add(most).min(length));
                Ok(start..end)
            }
            Self::Last { length: most } => Ok(length.saturating_sub(most)..length),
        }
    }
}

impl FromStr for ByteRange {
    type Err = KmsError;

    fn from_str(text: &str) -> Result<Self, KmsError> {
        parse(text).ok_or_else(|| KmsError::invalid(EXPECTED))
    }
}

fn parse(text: &str) -> Option<ByteRange> {
    if let Some((start, length)) = text.split_once('+') {
        let (start, length) = (number(start)?, number(length).filter(|length| *length > 0)?);
        return Some(ByteRange::From { start, length: Some(length) });
    }
    match text.split_once('-')? {
        ("", last) => Some(ByteRange::Last { length: number(last).filter(|last| *last > 0)? }),
        (start, "") => Some(ByteRange::From { start: number(start)?, length: None }),
        (start, end) => {
            let (start, end) = (number(start)?, number(end)?);
            let length = end.checked_sub(start)?.checked_add(1)?;
            Some(ByteRange::From { start, length: Some(length) })
        }
    }
}

/// Digits only: `u64`'s own parser takes a sign.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

const EXPECTED: &str = "a range is START-END (END included), START+LENGTH, START- or -LAST, in bytes from 0, such as \
                        0-499; it holds at least one byte";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_the_bytes_it_says() {
        for (text, bytes) in [
            ("0-499", 0..500),
            ("0-0", 0..1),
            ("999-999", 999..1000),
            ("990-5000", 990..1000),
            ("10+20", 10..30),
            ("10+18446744073709551615", 10..1000),
            ("10-", 10..1000),
            ("-1", 999..1000),
            ("-5000", 0..1000),
        ] {
            assert_eq!(text.parse::<ByteRange>().unwrap().within(1000).unwrap(), bytes, "{text}");
        }
        assert_eq!(ByteRange::ALL.within(0).unwrap(), 0..0);
    }

    #[test]
    fn refuses_what_means_nothing() {
        for text in [
            "",
            "-",
            "+",
            "5",
            "-0",
            "5+0",
            "5-4",
            "+5",
            "1-2-3",
            "--5",
            "-+5",
            "+1+5",
            "a-b",
            "1 -2",
            "0-18446744073709551615",
            "18446744073709551616-",
            "1-2+3",
            "\u{663}-",
        ] {
            assert!(text.parse::<ByteRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn refuses_to_begin_at_the_end_or_past_it() {
        for text in ["1000-", "1000-1000", "1000+1", "5000-6000"] {
            assert!(text.parse::<ByteRange>().unwrap().within(1000).is_err(), "{text}");
        }
        assert!("0-0".parse::<ByteRange>().unwrap().within(0).is_err());
    }
}
