use claviger_envelope::{EnvelopeKind, inspect, key_version};
use claviger_kms::{KeyVersion, VersionRequest};

use super::*;

#[tokio::test]
async fn records_of_every_length_around_a_chunk_open_again() {
    let envelopes = envelopes();
    for length in [0, 1, 100, 16_383, 16_384, 16_385, 40_000] {
        let record = vec![7; length];
        let envelope = envelopes.seal(&key(), &row("1"), &record).await.unwrap();
        assert_eq!(envelope.len(), length + 224 + length / 16_384 * 16);
        assert_eq!(plain(envelopes.open(&row("1"), &envelope).await), record);
        assert_eq!(inspect(&envelope).unwrap().plaintext_length, Some(length as u64));
    }
}

#[tokio::test]
async fn every_flipped_bit_and_every_cut_is_refused() {
    let envelopes = envelopes();
    let envelope = envelopes.seal(&key(), &row("1"), b"x").await.unwrap();
    for at in 0..envelope.len() {
        for bit in [0, 7] {
            let mut altered = envelope.clone();
            altered[at] ^= 1 << bit;
            assert!(envelopes.open(&row("1"), &altered).await.is_err(), "byte {at}, bit {bit}");
        }
        assert!(envelopes.open(&row("1"), &envelope[..at]).await.is_err(), "cut at {at}");
    }
    let longer = [&envelope[..], &[0]].concat();
    assert!(is_rejected(&envelopes.open(&row("1"), &longer).await));
}

#[tokio::test]
async fn an_envelope_of_another_row_is_rejected() {
    let envelopes = envelopes();
    let envelope = envelopes.seal(&key(), &row("1"), b"x").await.unwrap();
    for other in [row("2"), EncryptionContext::new()] {
        assert!(is_rejected(&envelopes.open(&other, &envelope).await));
        assert!(is_rejected(&envelopes.rewrap(&other, &envelope).await));
    }
}

/// Header and payload of two envelopes with the same context do not mix, in whole or in part.
#[tokio::test]
async fn payloads_wraps_and_ids_of_two_envelopes_cannot_be_exchanged() {
    let envelopes = envelopes();
    let one = envelopes.seal(&key(), &row("1"), b"one").await.unwrap();
    let two = envelopes.seal(&key(), &row("1"), b"two").await.unwrap();
    for range in [6..22, 23..152, 152..one.len(), 6..152] {
        let mut mixed = one.clone();
        mixed[range.clone()].copy_from_slice(&two[range.clone()]);
        assert!(is_rejected(&envelopes.open(&row("1"), &mixed).await), "{range:?}");
    }
}

#[tokio::test]
async fn every_envelope_has_its_own_data_key_and_id() {
    let envelopes = envelopes();
    let one = envelopes.seal(&key(), &row("1"), b"x").await.unwrap();
    let two = envelopes.seal(&key(), &row("1"), b"x").await.unwrap();
    assert_ne!(one[6..22], two[6..22]);
    assert_ne!(one[48..152], two[48..152]);
}

#[tokio::test]
async fn a_rewrap_moves_the_header_and_leaves_the_payload() {
    let service = service();
    let envelopes = Envelopes::new(service.clone());
    let old = envelopes.seal(&key(), &row("1"), b"record").await.unwrap();
    rotate(&service).await;
    let new = envelopes.rewrap(&row("1"), &old).await.unwrap();

    assert_eq!(
        (old[..23].to_vec(), old[152..].to_vec()),
        (new[..23].to_vec(), new[152..].to_vec())
    );
    assert_eq!(key_version(&old).unwrap().1, KeyVersion::FIRST);
    assert_eq!(key_version(&new).unwrap().1.number(), 2);
    for envelope in [&old, &new] {
        assert_eq!(plain(envelopes.open(&row("1"), envelope).await), b"record");
    }
    // Again it changes nothing.
    assert_eq!(envelopes.rewrap(&row("1"), &new).await.unwrap(), new);
}

#[tokio::test]
async fn after_its_version_is_disabled_only_the_rewrapped_envelope_opens() {
    let service = service();
    let envelopes = Envelopes::new(service.clone());
    let old = envelopes.seal(&key(), &row("1"), b"record").await.unwrap();
    rotate(&service).await;
    let new = envelopes.rewrap(&row("1"), &old).await.unwrap();
    let first = VersionRequest { key: key(), version: KeyVersion::FIRST };
    service.disable_version(first).await.unwrap();

    assert_eq!(plain(envelopes.open(&row("1"), &new).await), b"record");
    let refused = kms_error(envelopes.open(&row("1"), &old).await);
    assert!(matches!(refused, KmsError::KeyUnusable { .. }));
    assert!(matches!(
        kms_error(envelopes.rewrap(&row("1"), &old).await),
        KmsError::KeyUnusable { .. }
    ));
}

#[tokio::test]
async fn a_quarantined_version_still_rewraps() {
    let service = service();
    let envelopes = Envelopes::new(service.clone());
    let old = envelopes.seal(&key(), &row("1"), b"record").await.unwrap();
    service.quarantine(&key(), KeyVersion::FIRST).unwrap();
    assert!(envelopes.open(&row("1"), &old).await.is_err());
    let new = envelopes.rewrap(&row("1"), &old).await.unwrap();
    assert_eq!(plain(envelopes.open(&row("1"), &new).await), b"record");
}

/// An attacker who sets another version in the header, to one he knows.
#[tokio::test]
async fn a_forged_version_or_key_id_is_refused() {
    let service = service();
    let envelopes = Envelopes::new(service.clone());
    rotate(&service).await;
    let envelope = envelopes.seal(&key(), &row("1"), b"record").await.unwrap();
    let mail = service.describe_key(&path("eu/mail")).await.unwrap().id;
    let mut older = envelope.clone();
    older[47] = 1;
    assert!(is_rejected(&envelopes.open(&row("1"), &older).await));
    assert!(is_rejected(&envelopes.rewrap(&row("1"), &older).await));
    let mut other_key = older;
    other_key[28..44].copy_from_slice(mail.as_bytes());
    assert!(is_rejected(&envelopes.open(&row("1"), &other_key).await));
}

#[tokio::test]
async fn an_unknown_key_and_a_service_out_of_reach_say_so() {
    let service = service();
    let envelopes = Envelopes::new(service.clone());
    let missing = envelopes.seal(&path("eu/none"), &row("1"), b"x").await;
    assert!(matches!(kms_error(missing), KmsError::NotFound { .. }));
    let envelope = envelopes.seal(&key(), &row("1"), b"x").await.unwrap();
    service.set_reachable(false);
    assert!(kms_error(envelopes.seal(&key(), &row("1"), b"x").await).is_retryable());
    assert!(kms_error(envelopes.open(&row("1"), &envelope).await).is_retryable());
    assert!(kms_error(envelopes.rewrap(&row("1"), &envelope).await).is_retryable());
}

#[tokio::test]
async fn a_file_is_not_taken_for_a_record() {
    let envelopes = envelopes();
    let mut file = Vec::new();
    let sealer = envelopes.begin_file(&key(), &row("1")).await.unwrap();
    sealer.seal_stream(&b"x"[..], &mut file, |_| {}).unwrap();
    assert_eq!(inspect(&file).unwrap().kind, EnvelopeKind::File);
    for bytes in [&file[..], &file[15..], b"plain text", b""] {
        let refused = envelopes.open(&row("1"), bytes).await;
        assert!(matches!(refused, Err(EnvelopeError::NotAnEnvelope { .. })));
    }
}

/// The record, the data key and the wrapped data key's content appear in no `Debug` and no error.
#[tokio::test]
async fn nothing_shown_holds_the_record() {
    let envelopes = envelopes();
    let secret = b"correct horse battery staple";
    let envelope = envelopes.seal(&key(), &row("1"), secret).await.unwrap();
    let opened = envelopes.open(&row("1"), &envelope).await.unwrap();
    let sealer = envelopes.begin_file(&key(), &row("1")).await.unwrap();
    let refused = envelopes.open(&row("2"), &envelope).await.unwrap_err();
    let shown = format!("{envelopes:?} {opened:?} {sealer:?} {refused:?} {refused}");
    assert!(!shown.contains("correct") && !shown.contains("99, 111, 114, 114"));
    assert!(shown.contains("SecretBytes(28 bytes)") && shown.contains("SecretKey(32 bytes)"));
}

/// An application seals on a runtime of several threads.
#[tokio::test]
async fn sealing_and_opening_can_move_between_threads() {
    fn moves<T: Send>(operation: T) -> T {
        operation
    }
    let envelopes = Arc::new(envelopes());
    let (key, context) = (key(), row("1"));
    let envelope = moves(envelopes.seal(&key, &context, b"x")).await.unwrap();
    moves(envelopes.rewrap(&context, &envelope)).await.unwrap();
    moves(envelopes.open(&context, &envelope)).await.unwrap();
    let sealer = moves(envelopes.begin_file(&key, &context)).await.unwrap();
    let sealed = std::thread::spawn(move || {
        let mut sealed = Vec::new();
        sealer.seal_stream(&b"x"[..], &mut sealed, |_| {}).map(|_| sealed)
    });
    assert!(sealed.join().unwrap().is_ok());
}
