use claviger_kms::{Binding, EncryptionContext, EnvelopeId, SecretBytes};

use super::*;

fn path(text: &str) -> KeyPath {
    text.parse().unwrap()
}

fn service() -> MemoryKms {
    MemoryKms::with_keys(&["eu/pay", "eu/mail"]).unwrap()
}

fn binding(row: &str) -> Binding {
    let context = EncryptionContext::from_pairs([("row", row)]).unwrap();
    Binding { context, envelope_id: Some(EnvelopeId::from_bytes([7; 16])) }
}

async fn data_key(service: &MemoryKms) -> DataKey {
    let request = GenerateDataKey { key: path("eu/pay"), binding: binding("1") };
    service.generate_data_key(request).await.unwrap()
}

async fn open(service: &MemoryKms, ciphertext: Vec<u8>, binding: Binding) -> Result<Decrypted> {
    service.decrypt(Decrypt { ciphertext, binding }).await
}

fn version_of(number: u32) -> VersionRequest {
    VersionRequest { key: path("eu/pay"), version: KeyVersion::new(number).unwrap() }
}

async fn rotate(service: &MemoryKms) {
    let request = CreateVersion { key: path("eu/pay"), idempotency_key: None };
    service.rotate(request).await.unwrap();
}

#[tokio::test]
async fn a_data_key_survives_rotation_and_rewrap() {
    let service = service();
    let key = data_key(&service).await;
    rotate(&service).await;
    let request = Rewrap {
        ciphertext: key.wrapped.ciphertext.clone(),
        binding: binding("1"),
        campaign: None,
    };
    let moved = service.rewrap(request).await.unwrap();
    assert_eq!((moved.from.number(), moved.to.number()), (1, 2));
    for ciphertext in [key.wrapped.ciphertext, moved.ciphertext] {
        let opened = open(&service, ciphertext, binding("1")).await.unwrap();
        assert!(opened.plaintext.into_secret_key().unwrap().is_same_as(&key.plaintext));
    }
}

#[tokio::test]
async fn a_value_survives_rewrap_too() {
    let service = service();
    let plaintext = SecretBytes::copy_of(b"value");
    let request = Encrypt { key: path("eu/pay"), plaintext, binding: binding("1") };
    let sealed = service.encrypt(request).await.unwrap();
    rotate(&service).await;
    let request = Rewrap { ciphertext: sealed.ciphertext, binding: binding("1"), campaign: None };
    let moved = service.rewrap(request).await.unwrap();
    assert_eq!(open(&service, moved.ciphertext, binding("1")).await.unwrap().plaintext.len(), 5);
}

#[tokio::test]
async fn rejects_another_binding_and_every_altered_byte_alike() {
    let service = service();
    let sealed = data_key(&service).await.wrapped.ciphertext;
    let without_id = Binding { envelope_id: None, ..binding("1") };
    for other in [binding("2"), Binding::default(), without_id] {
        let refused = open(&service, sealed.clone(), other).await;
        assert_eq!(refused.unwrap_err(), KmsError::Rejected);
    }
    for at in Ciphertext::HEADER..sealed.len() {
        let mut altered = sealed.clone();
        altered[at] ^= 1;
        let refused = open(&service, altered, binding("1")).await;
        assert_eq!(refused.unwrap_err(), KmsError::Rejected, "byte {at}");
    }
}

#[tokio::test]
async fn rejects_a_ciphertext_that_claims_another_version_or_key() {
    let service = service();
    rotate(&service).await;
    let sealed = data_key(&service).await.wrapped.ciphertext;
    let mail = service.describe_key(&path("eu/mail")).await.unwrap().id;
    let mut older = sealed.clone();
    older[21] = 1;
    let mut other = sealed;
    other[2..18].copy_from_slice(mail.as_bytes());
    other[21] = 1;
    for altered in [older, other] {
        assert_eq!(open(&service, altered, binding("1")).await.unwrap_err(), KmsError::Rejected);
    }
}

#[tokio::test]
async fn a_disabled_version_opens_nothing_and_a_quarantined_one_only_for_rewrap() {
    let service = service();
    let sealed = data_key(&service).await.wrapped.ciphertext;
    service.quarantine(&path("eu/pay"), KeyVersion::FIRST).unwrap();
    let refused = open(&service, sealed.clone(), binding("1")).await;
    assert!(matches!(refused, Err(KmsError::KeyUnusable { .. })));
    let request = Rewrap { ciphertext: sealed.clone(), binding: binding("1"), campaign: None };
    let moved = service.rewrap(request.clone()).await.unwrap();
    assert!(open(&service, moved.ciphertext, binding("1")).await.is_ok());

    service.disable_version(version_of(1)).await.unwrap();
    assert!(matches!(service.rewrap(request).await, Err(KmsError::KeyUnusable { .. })));
}

#[tokio::test]
async fn refuses_steps_the_table_does_not_have() {
    let service = service();
    let disabled_primary = service.disable_version(version_of(1)).await;
    assert!(matches!(disabled_primary, Err(KmsError::KeyUnusable { .. })));
    rotate(&service).await;
    let promoted_again = service.set_primary(version_of(1)).await;
    assert!(matches!(promoted_again, Err(KmsError::KeyUnusable { .. })));
    let unknown = service.set_primary(version_of(9)).await;
    assert!(matches!(unknown, Err(KmsError::NotFound { .. })));
}

#[tokio::test]
async fn creates_once_for_one_idempotency_key() {
    let service = service();
    let named = |key: &str| CreateVersion {
        key: path(key),
        idempotency_key: Some("once".parse().unwrap()),
    };
    service.rotate(named("eu/pay")).await.unwrap();
    let again = service.rotate(named("eu/pay")).await.unwrap();
    assert_eq!(again.versions.len(), 2);
    assert!(matches!(service.rotate(named("eu/mail")).await, Err(KmsError::Conflict { .. })));
}

#[tokio::test]
async fn refuses_a_key_that_exists_or_has_nothing_above_it() {
    let service = service();
    let twice = service.create_key(CreateKey::at(path("eu/pay"))).await;
    assert!(matches!(twice, Err(KmsError::Conflict { .. })));
    let orphan = service.create_key(CreateKey::at(path("us/pay"))).await;
    assert!(matches!(orphan, Err(KmsError::NotFound { .. })));
}

#[tokio::test]
async fn lists_by_path_a_page_at_a_time() {
    let service = service();
    let page = |after: Option<&str>| {
        let after = after.map(path);
        service.list_keys(ListKeys { under: Some(path("eu")), after, limit: Some(2) })
    };
    let first = page(None).await.unwrap();
    assert_eq!(first.keys.iter().map(|k| k.key.as_str()).collect::<Vec<_>>(), ["eu", "eu/mail"]);
    assert_eq!(first.next, Some(path("eu/mail")));
    let second = page(Some("eu/mail")).await.unwrap();
    assert_eq!((second.keys.len(), second.next), (1, None));
}

#[tokio::test]
async fn out_of_reach_is_retryable_and_passes() {
    let service = service();
    service.set_reachable(false);
    assert!(service.describe_key(&path("eu")).await.unwrap_err().is_retryable());
    service.set_reachable(true);
    assert!(service.describe_key(&path("eu")).await.is_ok());
}

#[tokio::test]
async fn does_what_every_key_service_must_do() {
    crate::kms_conformance::run(std::sync::Arc::new(MemoryKms::new()), "conformance").await;
}
