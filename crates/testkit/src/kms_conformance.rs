//! What every [`KeyManagementService`] must do, as checks that any service can be given to.
//!
//! Each check makes keys of its own below one region, so a suite can run against a service in use. The
//! kinds of errors are part of the contract: a check names the kind, never a text. What a service cannot
//! do, by its capabilities, it must answer with `Unsupported`. Known limit: the service must let this
//! caller make and change keys.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a check may panic")]

mod batches;
mod bench;
mod forgeries;
mod keys;
mod values;
mod versions;

use std::{pin::Pin, sync::Arc};

use claviger_kms::{CreateKey, KeyManagementService};

use bench::Bench;

/// Runs every check, each below a key of its own in `region`, which must not exist yet.
///
/// # Panics
/// When checks fail, naming all of them; what each found is printed as it fails.
pub async fn run(kms: Arc<dyn KeyManagementService>, region: &str) {
    let failed = failures(kms, region).await;
    assert!(failed.is_empty(), "{} checks failed:\n{}", failed.len(), failed.join("\n"));
}

async fn failures(kms: Arc<dyn KeyManagementService>, region: &str) -> Vec<String> {
    kms.create_key(CreateKey::at(region.parse().unwrap())).await.unwrap();
    let mut failed = Vec::new();
    for check in checks() {
        let bench = Bench::make(Arc::clone(&kms), region, check.name).await;
        if let Err(error) = tokio::spawn((check.run)(bench).0).await {
            failed.push(format!("{}: {}", check.name, bench::message_of(error)));
        }
    }
    failed
}

struct Check {
    name: &'static str,
    run: Box<dyn FnOnce(Bench) -> Running>,
}

struct Running(Pin<Box<dyn Future<Output = ()> + Send>>);

/// Name and check; the name is a segment of the check's key path too.
fn check<F: Future<Output = ()> + Send + 'static>(
    name: &'static str,
    run: impl FnOnce(Bench) -> F + 'static,
) -> Check {
    Check { name, run: Box::new(move |bench| Running(Box::pin(run(bench)))) }
}

fn checks() -> Vec<Check> {
    vec![
        check("a-new-key-is-described-as-it-was-made", keys::described_as_made),
        check("keys-are-listed-in-order-a-page-at-a-time", keys::listed_in_pages),
        check("pages-have-1-to-1000-keys", keys::page_limits),
        check("a-key-that-exists-conflicts", keys::duplicate),
        check("a-key-with-nothing-above-it-is-refused", keys::missing_parent),
        check("details-beyond-their-limits-are-invalid", keys::details_too_long),
        check("an-idempotency-key-creates-one-key", keys::idempotent_key),
        check("an-idempotency-key-answers-for-no-other-key", keys::idempotency_key_reused),
        check("a-key-that-does-not-exist-is-not-found-or-denied", keys::unknown_key),
        check("other-purposes-work-or-are-unsupported", keys::purposes),
        check("values-of-every-allowed-length-return", values::lengths),
        check("a-value-one-byte-too-long-is-invalid", values::too_long),
        check("encrypting-twice-gives-two-ciphertexts", values::never_the_same),
        check("a-data-key-is-what-its-wrapped-form-opens-to", values::data_key),
        check("a-wrapped-data-key-opens-to-32-bytes", values::wrapped_data_key),
        check("the-order-of-a-context-does-not-matter", values::context_order),
        check("another-binding-is-rejected", forgeries::other_binding),
        check("no-flipped-bit-of-a-data-key-opens", forgeries::flipped_data_key),
        check("no-flipped-bit-of-a-value-opens", forgeries::flipped_value),
        check("no-truncated-or-lengthened-ciphertext-opens", forgeries::other_lengths),
        check("another-key-or-version-swapped-in-is-rejected", forgeries::swapped_header),
        check("parts-of-two-ciphertexts-do-not-open", forgeries::spliced),
        check("what-is-no-ciphertext-is-refused", forgeries::garbage),
        check("rotation-keeps-what-was-made-before", versions::rotate),
        check("rotation-of-a-parent-keeps-its-children", versions::rotate_parent),
        check("an-idempotency-key-rotates-once", versions::idempotent_rotation),
        check("rewrap-moves-to-the-primary-version", versions::rewrap),
        check("rewrap-rejects-another-binding", versions::rewrap_other_binding),
        check("a-pending-version-wraps-nothing", versions::pending),
        check("a-version-is-promoted-once", versions::promoted_once),
        check("a-disabled-version-opens-nothing-until-enabled", versions::disable),
        check("the-primary-version-cannot-be-disabled", versions::disable_primary),
        check("a-version-that-does-not-exist-is-not-found", versions::unknown_version),
        check("rotations-at-once-leave-one-primary", versions::at_once),
        check("a-batch-answers-each-item-in-order", batches::mixed),
        check("a-batch-of-data-keys-holds-different-keys", batches::data_keys),
        check("a-batch-is-rewrapped-item-by-item", batches::rewrap),
        check("a-batch-too-large-is-invalid-as-a-whole", batches::too_large),
        check("an-empty-batch-is-answered", batches::empty),
    ]
}

#[cfg(test)]
mod tests;
