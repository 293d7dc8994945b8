//! What every store refuses, before it looks at what it holds.
//!
//! Invariant: numbers only go up, epochs and revisions by one. One that stands still or goes back would
//! hide a rollback. Only a generation may jump: an accepted restore puts itself past all that was seen.

use std::collections::BTreeSet;

use crate::{Commit, PutDocument, StoreError, StoredHead};

impl Commit {
    /// Checks everything that does not depend on what is stored.
    ///
    /// # Errors
    /// [`StoreError::Refused`] naming the rule.
    pub fn check(&self) -> Result<(), StoreError> {
        if self.records.len() > Self::MAX_RECORDS {
            return refuse(format!(
                "a commit has {} records; at most {} are allowed",
                self.records.len(),
                Self::MAX_RECORDS
            ));
        }
        if self.head.buckets.len() != StoredHead::BUCKETS {
            return refuse(format!(
                "a head has {} buckets; it must have {}",
                self.head.buckets.len(),
                StoredHead::BUCKETS
            ));
        }
        check_forward(self.expected_generation, self.head.generation)?;
        let mut ids = BTreeSet::new();
        for put in &self.records {
            let what = format!("the epoch of record {}", put.record.id);
            check_step(&what, put.expected_epoch, put.record.epoch)?;
            if !ids.insert(put.record.id) {
                return refuse(format!("record {} is there twice", put.record.id));
            }
        }
        PutDocument::check_all(&self.documents)
    }
}

impl PutDocument {
    /// Checks the names: none is there twice.
    ///
    /// # Errors
    /// [`StoreError::Refused`] naming the rule.
    pub fn check_all(puts: &[Self]) -> Result<(), StoreError> {
        let mut names = BTreeSet::new();
        for put in puts {
            check_name("document", &put.name)?;
            if !names.insert(&put.name) {
                return refuse(format!("document {:?} is there twice", put.name));
            }
        }
        Ok(())
    }
}

/// The rule of document names; leases and their holders follow it too.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), StoreError> {
    let allowed = |c: char| {
        c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '/' | '.' | '_' | '-')
    };
    if name.is_empty() || name.len() > PutDocument::MAX_NAME || !name.chars().all(allowed) {
        return refuse(format!(
            "the {what} name {name:?} does not have 1 to {} characters of a-z 0-9 / . _ -",
            PutDocument::MAX_NAME
        ));
    }
    Ok(())
}

fn check_step(what: &str, expected: Option<u64>, new: u64) -> Result<(), StoreError> {
    let next = expected.unwrap_or(0).checked_add(1);
    if next != Some(new) || expected == Some(0) || i64::try_from(new).is_err() {
        let from = expected.map_or("nothing".to_owned(), |number| number.to_string());
        return refuse(format!("{what} goes from {from} to {new}; numbers go up by one, from 1"));
    }
    Ok(())
}

fn check_forward(expected: Option<u64>, new: u64) -> Result<(), StoreError> {
    if expected.unwrap_or(0) >= new || expected == Some(0) || i64::try_from(new).is_err() {
        let from = expected.map_or("nothing".to_owned(), |number| number.to_string());
        return refuse(format!("the head's generation goes from {from} to {new}; it only goes up"));
    }
    Ok(())
}

fn refuse(reason: String) -> Result<(), StoreError> {
    Err(StoreError::Refused { reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_begin_at_1_and_go_up_by_one() {
        for (expected, new) in [(None, 1), (Some(1), 2), (Some(41), 42)] {
            assert!(check_step("it", expected, new).is_ok());
        }
        for (expected, new) in [
            (None, 0),
            (None, 2),
            (Some(0), 1),
            (Some(1), 1),
            (Some(2), 1),
            (Some(1), 3),
            (Some(u64::MAX), 0),
            (Some(u64::MAX - 1), u64::MAX),
            (Some(i64::MAX as u64), i64::MAX as u64 + 1),
        ] {
            assert!(check_step("it", expected, new).is_err(), "{expected:?} to {new} was taken");
        }
    }

    #[test]
    fn a_generation_may_jump_but_never_stand_or_go_back() {
        for (expected, new) in [(None, 1), (Some(1), 2), (Some(1), 41)] {
            assert!(check_forward(expected, new).is_ok());
        }
        for (expected, new) in
            [(None, 0), (Some(0), 1), (Some(2), 2), (Some(2), 1), (Some(1), i64::MAX as u64 + 1)]
        {
            assert!(check_forward(expected, new).is_err(), "{expected:?} to {new} was taken");
        }
    }

    #[test]
    fn refuses_other_names() {
        let long = "a".repeat(129);
        for bad in ["", "A", "a b", "a\0", "ä", "a:b", "a\\b", &long] {
            assert!(check_name("document", bad).is_err(), "{bad:?} was taken");
        }
        for good in ["a", "root/facts.1", "campaign/2026-11_a", &"a".repeat(128)] {
            assert!(check_name("document", good).is_ok());
        }
    }
}
