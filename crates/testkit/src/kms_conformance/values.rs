//! Values and data keys, in and out.

use claviger_kms::{Binding, ErrorCode, GenerateDataKey};

use super::bench::{
    Bench, assert_holds, assert_refused, binding, context, encryption, envelope_id, version,
};

pub(super) async fn lengths(bench: Bench) {
    let most = bench.kms.capabilities().max_value;
    for length in [0, 1, 15, 16, 17, 31, 32, 33, most - 1, most] {
        let value: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
        let sealed = bench.encrypt(&value, binding("1")).await;
        assert_eq!((&sealed.key, sealed.version), (&bench.key, version(1)));
        let opened = bench.decrypt(&sealed.ciphertext, binding("1")).await.unwrap();
        assert_eq!((&opened.key, opened.version), (&bench.key, version(1)));
        assert_holds(&opened, &value);
    }
}

pub(super) async fn too_long(bench: Bench) {
    let value = vec![7; bench.kms.capabilities().max_value + 1];
    let refused = bench.kms.encrypt(encryption(&bench.key, &value, binding("1"))).await;
    assert_refused(refused, &[ErrorCode::InvalidRequest], "a value one byte too long");
}

pub(super) async fn never_the_same(bench: Bench) {
    let one = bench.encrypt(b"value", binding("1")).await;
    let other = bench.encrypt(b"value", binding("1")).await;
    assert_ne!(one.ciphertext, other.ciphertext);
    let (one, other) = (bench.data_key(binding("1")).await, bench.data_key(binding("1")).await);
    assert!(!one.plaintext.is_same_as(&other.plaintext));
}

pub(super) async fn data_key(bench: Bench) {
    for binding in [binding("1"), Binding::default()] {
        let made = bench.data_key(binding.clone()).await;
        assert_eq!((&made.wrapped.key, made.wrapped.version), (&bench.key, version(1)));
        let opened = bench.decrypt(&made.wrapped.ciphertext, binding).await.unwrap();
        assert!(opened.plaintext.into_secret_key().unwrap().is_same_as(&made.plaintext));
    }
}

pub(super) async fn wrapped_data_key(bench: Bench) {
    let request = GenerateDataKey { key: bench.key.clone(), binding: binding("1") };
    let wrapped = bench.kms.generate_wrapped_data_key(request).await.unwrap();
    let opened = bench.decrypt(&wrapped.ciphertext, binding("1")).await.unwrap();
    assert_eq!(opened.plaintext.len(), 32);
    let refused = bench.decrypt(&wrapped.ciphertext, binding("2")).await;
    assert_refused(refused, &[ErrorCode::CiphertextRejected], "another context");
}

pub(super) async fn context_order(bench: Bench) {
    let given =
        |pairs: [(&str, &str); 3]| Binding { context: context(pairs), envelope_id: envelope_id(1) };
    let (one, two, three) = (("a", "1"), ("ä", "2"), ("z", ""));
    let sealed = bench.encrypt(b"value", given([one, two, three])).await;
    let opened = bench.decrypt(&sealed.ciphertext, given([three, one, two])).await.unwrap();
    assert_holds(&opened, b"value");
}
