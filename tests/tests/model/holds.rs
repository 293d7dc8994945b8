//! With every rule in place.

use crate::scenarios::{
    campaign, destruction, emergency, holds, operators, shredding, two_runners, whole_keys,
};

#[test]
fn two_operators_at_once_neither_fork_a_key_nor_undo_its_quarantine() {
    holds("operators", operators(), 120_000);
}

#[test]
fn what_is_shredded_stays_so_and_what_is_cancelled_stays() {
    holds("shredding", shredding(), 40_000);
}

#[test]
fn disabled_and_retired_keys_keep_to_the_same_rules() {
    holds("whole keys", whole_keys(), 400_000);
}

#[test]
fn a_campaign_loses_no_update_and_leaves_nothing_behind_across_rotations_and_crashes() {
    holds("campaign", campaign(), 200_000);
}

#[test]
fn two_runners_of_one_campaign_do_no_harm() {
    holds("two runners", two_runners(), 200_000);
}

#[test]
fn an_emergency_campaign_moves_what_callers_may_no_longer_open() {
    holds("emergency", emergency(), 200_000);
}

#[test]
fn nothing_that_is_needed_is_destroyed_with_evidence() {
    holds("destruction", destruction(), 600_000);
}
