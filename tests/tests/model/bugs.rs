//! With one rule left out: the checker finds the property that falls.

use crate::{
    scenarios::{campaign, destruction, emergency, finds, operators, shredding, two_runners},
    world::{
        AT_MOST_ONE_PRIMARY, Bug, CAMPAIGNS_GO_FORWARD, COMPLETE_IS_COMPLETE, DESTROYED_STAYS_SO,
        DISABLED_NEVER_UNWRAPS, ENVELOPES_OPEN, NO_UPDATE_LOST, NOTHING_NEEDED_DESTROYED,
        ONE_REQUEST_ONE_CHANGE, ONLY_FORWARD, QUARANTINED_NEVER_WRAPS,
    },
};

#[test]
fn without_compare_and_swap_in_the_store_two_primaries_appear() {
    finds(Bug::NoStoreCompare, operators(), AT_MOST_ONE_PRIMARY);
}

#[test]
fn without_compare_and_swap_in_the_store_an_envelope_is_lost() {
    finds(Bug::NoStoreCompare, operators(), ENVELOPES_OPEN);
}

#[test]
fn without_compare_and_swap_in_the_store_a_quarantine_is_undone() {
    finds(Bug::NoStoreCompare, operators(), QUARANTINED_NEVER_WRAPS);
}

#[test]
fn without_old_bytes_in_the_source_an_update_is_lost() {
    finds(Bug::NoSourceCompare, campaign(), NO_UPDATE_LOST);
}

#[test]
fn without_a_gate_a_needed_version_is_destroyed() {
    finds(Bug::NoGate, destruction(), ENVELOPES_OPEN);
}

#[test]
fn a_version_promoted_twice_goes_back() {
    finds(Bug::PromotesTwice, operators(), ONLY_FORWARD);
}

#[test]
fn a_quarantine_that_keeps_the_primary_goes_on_wrapping() {
    finds(Bug::QuarantineKeepsThePrimary, emergency(), QUARANTINED_NEVER_WRAPS);
}

#[test]
fn a_retry_after_a_lost_reply_is_done_twice_without_its_name() {
    finds(Bug::RepeatsRetries, operators(), ONE_REQUEST_ONE_CHANGE);
}

#[test]
fn an_answer_that_is_not_confirmed_wraps_under_a_quarantined_version() {
    finds(Bug::DoesNotConfirm, operators(), QUARANTINED_NEVER_WRAPS);
}

/// The service did so: a data key asked for just before a quarantine with `drain` left under the stopped version.
#[test]
fn a_wrap_that_is_confirmed_like_an_unwrap_leaves_while_the_version_is_drained() {
    finds(Bug::ConfirmsAWrapAsAnUnwrap, operators(), QUARANTINED_NEVER_WRAPS);
}

#[test]
fn an_answer_that_is_not_confirmed_unwraps_with_a_disabled_version() {
    finds(Bug::DoesNotConfirm, two_runners(), DISABLED_NEVER_UNWRAPS);
}

#[test]
fn a_rewrap_that_still_opens_disabled_versions_is_found() {
    finds(Bug::RewrapOpensDisabled, emergency(), DISABLED_NEVER_UNWRAPS);
}

#[test]
fn a_cancellation_that_does_not_look_brings_a_destroyed_version_back() {
    finds(Bug::CancelsTooLate, shredding(), DESTROYED_STAYS_SO);
}

#[test]
fn without_evidence_a_needed_version_is_destroyed() {
    finds(Bug::DestroysWithoutEvidence, destruction(), NOTHING_NEEDED_DESTROYED);
}

#[test]
fn without_a_recheck_at_its_time_a_needed_version_is_destroyed() {
    finds(Bug::NoRecheck, destruction(), NOTHING_NEEDED_DESTROYED);
}

#[test]
fn with_one_scan_only_a_row_that_moves_hides() {
    finds(Bug::OneScan, destruction(), NOTHING_NEEDED_DESTROYED);
}

#[test]
fn a_scan_beside_an_older_transaction_proves_nothing() {
    finds(Bug::ScansBesideOlderTransactions, destruction(), ENVELOPES_OPEN);
}

#[test]
fn a_cursor_taken_for_the_truth_skips_rows_after_a_crash() {
    finds(Bug::CursorIsTheTruth, campaign(), COMPLETE_IS_COMPLETE);
}

/// The runner did so: see `decide::after_pass`.
#[test]
fn a_pass_resumed_past_a_rotation_leaves_rows_behind() {
    finds(Bug::ResumesPastARotation, campaign(), COMPLETE_IS_COMPLETE);
}

#[test]
fn a_campaign_that_moves_to_any_other_version_moves_back() {
    finds(Bug::MovesToAnyOtherVersion, two_runners(), CAMPAIGNS_GO_FORWARD);
}
