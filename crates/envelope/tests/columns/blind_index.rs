use claviger_envelope::BlindIndex;
use claviger_kms::{
    Binding, Ciphertext, Decrypt, Encrypt, GenerateDataKey, KeyVersion, KmsError, VersionRequest,
};

use super::*;

async fn made(service: &MemoryKms) -> (BlindIndex, Vec<u8>) {
    BlindIndex::make(service, &key(), "users", "ssn").await.unwrap()
}

async fn opened(service: &MemoryKms, wrapped: &[u8]) -> Result<BlindIndex> {
    BlindIndex::open(service, wrapped, "users", "ssn").await
}

#[tokio::test]
async fn an_index_is_the_same_after_a_restart_a_rotation_and_a_rewrap() {
    let service = service();
    let (index, wrapped) = made(&service).await;
    let before = index.of(b"000-00-0001");
    drop(index);
    assert_eq!(opened(&service, &wrapped).await.unwrap().of(b"000-00-0001"), before);

    rotate(service.as_ref()).await;
    assert_eq!(opened(&service, &wrapped).await.unwrap().of(b"000-00-0001"), before);
    let moved = BlindIndex::rewrap(service.as_ref(), &wrapped, "users", "ssn").await.unwrap();
    assert_eq!(Ciphertext::parse(&moved).unwrap().version().number(), 2);
    // What `FORMAT.md` promises a census.
    assert_eq!((moved.len(), &moved[18..22]), (126, &[0, 0, 0, 2][..]));

    // The old version can go: the moved one still opens.
    let first = VersionRequest { key: key(), version: KeyVersion::FIRST };
    service.disable_version(first).await.unwrap();
    assert!(opened(&service, &wrapped).await.is_err());
    assert_eq!(opened(&service, &moved).await.unwrap().of(b"000-00-0001"), before);
}

#[tokio::test]
async fn equal_values_have_equal_indexes_and_others_do_not() {
    let (index, _) = made(&service()).await;
    assert_eq!(index.of(b"000-00-0001"), index.of(b"000-00-0001"));
    // Normalisation is the caller's.
    for other in ["000-00-0002", "000000001", "000-00-0001 ", ""] {
        assert_ne!(index.of(b"000-00-0001"), index.of(other.as_bytes()));
    }
}

#[tokio::test]
async fn the_same_value_in_another_column_or_under_another_key_has_another_index() {
    let service = service();
    let (index, _) = made(&service).await;
    let (again, _) = made(&service).await;
    assert_ne!(index.of(b"x"), again.of(b"x"));
    for (table, column) in [("users", "phone"), ("staff", "ssn")] {
        let (other, _) = BlindIndex::make(service.as_ref(), &key(), table, column).await.unwrap();
        assert_ne!(index.of(b"x"), other.of(b"x"));
    }
}

#[tokio::test]
async fn a_wrapped_index_key_opens_for_its_table_and_column_only() {
    let service = service();
    let (_, wrapped) = made(&service).await;
    for (table, column) in [("users", "phone"), ("staff", "ssn"), ("ssn", "users")] {
        assert!(is_rejected(&BlindIndex::open(service.as_ref(), &wrapped, table, column).await));
        assert!(is_rejected(&BlindIndex::rewrap(service.as_ref(), &wrapped, table, column).await));
    }
    for (table, column) in [("", "ssn"), ("users", "")] {
        let refused = BlindIndex::open(service.as_ref(), &wrapped, table, column).await;
        assert!(matches!(refused, Err(EnvelopeError::Kms { source: KmsError::Invalid { .. } })));
    }
}

#[tokio::test]
async fn every_altered_byte_of_a_wrapped_index_key_is_refused() {
    let service = service();
    let (_, wrapped) = made(&service).await;
    for at in 0..wrapped.len() {
        let mut altered = wrapped.clone();
        altered[at] ^= 1;
        assert!(opened(&service, &altered).await.is_err(), "byte {at}");
        assert!(opened(&service, &wrapped[..at]).await.is_err(), "cut at {at}");
    }
}

/// Whoever may have data keys made and opened cannot pass one kind for the other by mistake.
#[tokio::test]
async fn data_keys_values_and_index_keys_are_not_taken_for_one_another() {
    let service = service();
    // An envelope's data key.
    let sealed = seal(&Envelopes::new(service.clone()), 1, "x").await;
    assert!(is_rejected(&opened(&service, &sealed.as_bytes()[26..152]).await));
    // A data key bound to the column's names, but not to the purpose.
    let context =
        claviger_kms::EncryptionContext::from_pairs([("table", "users"), ("column", "ssn")]);
    let binding = Binding { context: context.unwrap(), envelope_id: None };
    let request = GenerateDataKey { key: key(), binding: binding.clone() };
    let other = service.generate_data_key(request).await.unwrap().wrapped.ciphertext;
    assert!(is_rejected(&opened(&service, &other).await));
    // The index key, asked for as that.
    let (_, wrapped) = made(&service).await;
    let refused = service.decrypt(Decrypt { ciphertext: wrapped, binding }).await;
    assert!(matches!(refused, Err(KmsError::Rejected)));

    // A value of another length than a key's, sealed for the same purpose.
    let context = [("purpose", "blind-index"), ("table", "users"), ("column", "ssn")];
    let context = claviger_kms::EncryptionContext::from_pairs(context).unwrap();
    let binding = Binding { context, envelope_id: None };
    let plaintext = SecretBytes::copy_of(b"short");
    let value = service.encrypt(Encrypt { key: key(), plaintext, binding }).await.unwrap();
    assert!(is_rejected(&opened(&service, &value.ciphertext).await));
}

#[tokio::test]
async fn a_missing_key_and_a_service_out_of_reach_say_so() {
    let service = service();
    let none = "eu/none".parse().unwrap();
    let missing = BlindIndex::make(service.as_ref(), &none, "users", "ssn").await;
    assert!(matches!(missing, Err(EnvelopeError::Kms { source: KmsError::NotFound { .. } })));
    let (index, wrapped) = made(&service).await;
    service.set_reachable(false);
    let refused = opened(&service, &wrapped).await;
    assert!(matches!(refused, Err(EnvelopeError::Kms { source }) if source.is_retryable()));
    // An open index asks nobody.
    assert_eq!(index.of(b"x").len(), BlindIndex::LENGTH);
}
