//! How often a key gets a new primary version by itself.
//!
//! Invariant: a period has 1 to 3,650 days, or is "never"; its text is `90d` or `never`, and no other.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::KmsError;

/// Days after which a primary version is replaced by schedule, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RotationPeriod(Option<u32>);

impl RotationPeriod {
    /// No rotation by schedule, whatever the keys above have.
    pub const NEVER: Self = Self(None);
    /// Fewest days.
    pub const MIN_DAYS: u32 = 1;
    /// Most days.
    pub const MAX_DAYS: u32 = 3650;

    /// Every so many days.
    ///
    /// # Errors
    /// [`KmsError::Invalid`] naming the limits.
    pub fn every(days: u32) -> Result<Self, KmsError> {
        if (Self::MIN_DAYS..=Self::MAX_DAYS).contains(&days) {
            return Ok(Self(Some(days)));
        }
        Err(KmsError::invalid(format!(
            "a rotation period has {} to {} days, not {days}",
            Self::MIN_DAYS,
            Self::MAX_DAYS
        )))
    }

    /// The days; none for "never".
    #[must_use]
    pub fn days(self) -> Option<u32> {
        self.0
    }
}

impl FromStr for RotationPeriod {
    type Err = KmsError;

    fn from_str(text: &str) -> Result<Self, KmsError> {
        if text == NEVER {
            return Ok(Self::NEVER);
        }
        let digits = text.strip_suffix('d').filter(|digits| {
            digits.len() <= 10
                && !digits.starts_with('0')
                && digits.chars().all(|c| c.is_ascii_digit())
        });
        match digits.and_then(|digits| digits.parse().ok()) {
            Some(days) => Self::every(days),
            None => Err(KmsError::invalid(format!(
                "a rotation period is a number of days such as 90d ({} to {}), or {NEVER}",
                Self::MIN_DAYS,
                Self::MAX_DAYS
            ))),
        }
    }
}

impl fmt::Display for RotationPeriod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(days) => f.pad(&format!("{days}d")),
            None => f.pad(NEVER),
        }
    }
}

impl TryFrom<String> for RotationPeriod {
    type Error = KmsError;

    fn try_from(text: String) -> Result<Self, KmsError> {
        text.parse()
    }
}

impl From<RotationPeriod> for String {
    fn from(period: RotationPeriod) -> Self {
        period.to_string()
    }
}

const NEVER: &str = "never";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_one_to_3650_days_or_never() {
        for good in ["1d", "90d", "3650d", "never"] {
            let period: RotationPeriod = good.parse().expect("a period");
            assert_eq!(period.to_string(), good);
        }
        assert_eq!(RotationPeriod::every(90).expect("a period").days(), Some(90));
        assert_eq!(RotationPeriod::NEVER.days(), None);
    }

    #[test]
    fn refuses_everything_else() {
        for bad in [
            "",
            "0d",
            "3651d",
            "90",
            "d",
            "-1d",
            "+1d",
            "01d",
            "1.5d",
            "1w",
            " 1d",
            "1d ",
            "Never",
            "90D",
            "4294967297d",
            "99999999999d",
            "inherit",
            "٣d",
        ] {
            assert!(bad.parse::<RotationPeriod>().is_err(), "{bad:?} was taken");
        }
        assert!(RotationPeriod::every(0).is_err() && RotationPeriod::every(3651).is_err());
        let error = "3651d".parse::<RotationPeriod>().expect_err("too long");
        assert!(error.to_string().contains("1 to 3650"), "{error}");
    }
}
