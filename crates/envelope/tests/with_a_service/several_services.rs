use claviger_envelope::{Header, Provider, WrapOutcome, inspect};

use super::*;

/// Two Claviger services, in the order of the wraps.
fn two() -> (Arc<MemoryKms>, Arc<MemoryKms>, Envelopes) {
    let (here, there) = (service(), service());
    let both = Envelopes::new(here.clone())
        .also_under(Provider::CLAVIGER, there.clone(), path("eu/mail"))
        .unwrap();
    (here, there, both)
}

#[tokio::test]
async fn either_service_opens_alone() {
    let (here, there, both) = two();
    let envelope = both.seal(&key(), &row("1"), b"record").await.unwrap();
    assert_eq!(envelope[22], 2);
    for alone in [Envelopes::new(here), Envelopes::new(there), both] {
        assert_eq!(plain(alone.open(&row("1"), &envelope).await), b"record");
    }
}

#[tokio::test]
async fn one_service_out_of_reach_stops_sealing_but_not_opening() {
    for first_is_away in [true, false] {
        let (here, there, both) = two();
        let envelope = both.seal(&key(), &row("1"), b"record").await.unwrap();
        if first_is_away {
            here.set_reachable(false)
        } else {
            there.set_reachable(false)
        }
        assert_eq!(plain(both.open(&row("1"), &envelope).await), b"record");
        assert!(kms_error(both.seal(&key(), &row("1"), b"record").await).is_retryable());
    }
}

#[tokio::test]
async fn with_both_out_of_reach_the_error_is_retryable() {
    let (here, there, both) = two();
    let envelope = both.seal(&key(), &row("1"), b"record").await.unwrap();
    here.set_reachable(false);
    there.set_reachable(false);
    assert!(kms_error(both.open(&row("1"), &envelope).await).is_retryable());
}

#[tokio::test]
async fn another_context_is_rejected_by_all_and_said_so() {
    let (_, _, both) = two();
    let envelope = both.seal(&key(), &row("1"), b"record").await.unwrap();
    assert!(is_rejected(&both.open(&row("2"), &envelope).await));
}

#[tokio::test]
async fn a_rewrap_moves_both_and_says_from_where() {
    let (here, _, both) = two();
    let envelope = both.seal(&key(), &row("1"), b"record").await.unwrap();
    rotate(&here).await;
    let (header, _) = Header::parse(&envelope).unwrap();
    let moved = both.rewrap_header(&row("1"), &header).await.unwrap();
    let versions: Vec<_> = moved
        .outcomes
        .iter()
        .map(|outcome| match outcome {
            WrapOutcome::Rewrapped { from, to } => (from.number(), to.number()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(versions, [(1, 2), (1, 1)]);
    assert_eq!(moved.header.wraps()[1], header.wraps()[1]);
}

#[tokio::test]
async fn a_wrap_of_a_service_that_is_not_here_is_kept_byte_for_byte() {
    let (here, there, both) = two();
    let envelope = both.seal(&key(), &row("1"), b"record").await.unwrap();
    rotate(&here).await;
    let alone = Envelopes::new(here);
    let (before, _) = Header::parse(&envelope).unwrap();
    let moved = alone.rewrap_header(&row("1"), &before).await.unwrap();
    assert_eq!(moved.outcomes[1], WrapOutcome::NotOurs);
    assert_eq!(moved.header.wraps()[1], before.wraps()[1]);
    assert_ne!(moved.header.wraps()[0], before.wraps()[0]);

    let envelope = alone.rewrap(&row("1"), &envelope).await.unwrap();
    assert_eq!(plain(Envelopes::new(there).open(&row("1"), &envelope).await), b"record");
}

/// A wrap left behind because its service was away must not look like success.
#[tokio::test]
async fn a_rewrap_fails_when_one_of_its_services_is_out_of_reach() {
    let (here, there, both) = two();
    let envelope = both.seal(&key(), &row("1"), b"record").await.unwrap();
    rotate(&here).await;
    there.set_reachable(false);
    assert!(kms_error(both.rewrap(&row("1"), &envelope).await).is_retryable());
}

#[tokio::test]
async fn a_foreign_service_neither_opens_nor_rewraps() {
    let envelope = envelopes().seal(&key(), &row("1"), b"record").await.unwrap();
    let other = envelopes();
    assert!(matches!(kms_error(other.open(&row("1"), &envelope).await), KmsError::NotFound { .. }));
    assert!(other.rewrap(&row("1"), &envelope).await.is_err());
}

#[tokio::test]
async fn without_a_service_of_its_provider_the_providers_are_named() {
    let sealed = Envelopes::with_provider(Provider::VAULT_TRANSIT, service());
    let envelope = sealed.seal(&key(), &row("1"), b"record").await.unwrap();
    let wraps = inspect(&envelope).unwrap().wraps;
    assert_eq!((wraps[0].provider, wraps[0].version), (Provider::VAULT_TRANSIT, None));
    for refused in [
        envelopes().open(&row("1"), &envelope).await.map(drop),
        envelopes().rewrap(&row("1"), &envelope).await.map(drop),
    ] {
        let message = refused.unwrap_err().to_string();
        assert_eq!(message, "no key service was given for the envelope's providers: vault-transit");
    }
}

#[tokio::test]
async fn four_services_are_the_most() {
    let mut four = envelopes();
    for _ in 0..3 {
        four = four.also_under(Provider::CLAVIGER, service(), key()).unwrap();
    }
    let envelope = four.seal(&key(), &row("1"), b"record").await.unwrap();
    assert_eq!(inspect(&envelope).unwrap().wraps.len(), 4);
    assert_eq!(plain(four.open(&row("1"), &envelope).await), b"record");
    let fifth = four.also_under(Provider::CLAVIGER, service(), key());
    assert!(matches!(kms_error(fifth), KmsError::Invalid { .. }));
}
