//! Batches: each item answered by itself, in order.

use claviger_kms::{Decrypt, ErrorCode, GenerateDataKey, Rewrap};

use super::bench::{Bench, assert_holds, assert_refused, binding, encryption, version};

pub(super) async fn mixed(bench: Bench) {
    let none = bench.below("none");
    let too_long = vec![0; bench.kms.capabilities().max_value + 1];
    let items = vec![
        encryption(&bench.key, b"first", binding("1")),
        encryption(&none, b"second", binding("1")),
        encryption(&bench.key, &too_long, binding("1")),
        encryption(&bench.key, b"fourth", binding("4")),
    ];
    let mut answers = bench.kms.encrypt_batch(items).await.unwrap().into_iter();
    let mut next = || answers.next().unwrap();
    let first = next().unwrap().ciphertext;
    assert_refused(next(), &[ErrorCode::NotFound, ErrorCode::Denied], "an unknown key");
    assert_refused(next(), &[ErrorCode::InvalidRequest], "a value too long");
    let fourth = next().unwrap().ciphertext;
    assert!(answers.next().is_none());

    let decrypt = |ciphertext: &[u8], row: &str| Decrypt {
        ciphertext: ciphertext.to_vec(),
        binding: binding(row),
    };
    let items = vec![
        decrypt(&fourth, "4"),
        decrypt(&first, "4"),
        decrypt(b"garbage", "1"),
        decrypt(&first, "1"),
    ];
    let mut answers = bench.kms.decrypt_batch(items).await.unwrap().into_iter();
    let mut next = || answers.next().unwrap();
    assert_holds(&next().unwrap(), b"fourth");
    assert_refused(next(), &[ErrorCode::CiphertextRejected], "another context");
    assert!(next().is_err());
    assert_holds(&next().unwrap(), b"first");
    assert!(answers.next().is_none());
}

pub(super) async fn data_keys(bench: Bench) {
    let most = bench.kms.capabilities().max_batch;
    let request = |number: usize| GenerateDataKey {
        key: bench.key.clone(),
        binding: binding(&number.to_string()),
    };
    let made = bench.kms.generate_data_key_batch((0..most).map(request).collect()).await.unwrap();
    assert_eq!(made.len(), most);
    let made: Vec<_> = made.into_iter().map(|key| key.unwrap()).collect();
    for (one, other) in made.iter().zip(made.iter().skip(1)) {
        assert!(!one.plaintext.is_same_as(&other.plaintext));
    }
    for number in [0, 1, most - 1] {
        let ciphertext = &made[number].wrapped.ciphertext;
        let opened = bench.decrypt(ciphertext, binding(&number.to_string())).await.unwrap();
        assert!(opened.plaintext.into_secret_key().unwrap().is_same_as(&made[number].plaintext));
    }
}

pub(super) async fn rewrap(bench: Bench) {
    if !bench.kms.capabilities().rewraps {
        return;
    }
    let old = bench.encrypt(b"old", binding("1")).await.ciphertext;
    bench.rotate().await;
    let new = bench.encrypt(b"new", binding("1")).await.ciphertext;
    let item = |ciphertext: &[u8], row: &str| Rewrap {
        ciphertext: ciphertext.to_vec(),
        binding: binding(row),
        campaign: None,
    };
    let items = vec![item(&old, "1"), item(&old, "2"), item(&new, "1")];
    let mut answers = bench.kms.rewrap_batch(items).await.unwrap().into_iter();
    let mut next = || answers.next().unwrap();
    let moved = next().unwrap();
    assert_eq!((moved.from, moved.to), (version(1), version(2)));
    assert_holds(&bench.decrypt(&moved.ciphertext, binding("1")).await.unwrap(), b"old");
    assert_refused(next(), &[ErrorCode::CiphertextRejected], "another context");
    assert_eq!(next().unwrap().ciphertext, new);
    assert!(answers.next().is_none());
}

pub(super) async fn too_large(bench: Bench) {
    let count = bench.kms.capabilities().max_batch + 1;
    let encrypt = || encryption(&bench.key, b"", binding("1"));
    let data_key = || GenerateDataKey { key: bench.key.clone(), binding: binding("1") };
    let sealed = bench.encrypt(b"", binding("1")).await.ciphertext;
    let decrypt = || Decrypt { ciphertext: sealed.clone(), binding: binding("1") };
    let rewrap = || Rewrap { ciphertext: sealed.clone(), binding: binding("1"), campaign: None };
    let invalid = [ErrorCode::InvalidRequest];
    let items = (0..count).map(|_| encrypt()).collect();
    assert_refused(bench.kms.encrypt_batch(items).await, &invalid, "values");
    let items = (0..count).map(|_| decrypt()).collect();
    assert_refused(bench.kms.decrypt_batch(items).await, &invalid, "ciphertexts");
    let items = (0..count).map(|_| data_key()).collect();
    assert_refused(bench.kms.generate_data_key_batch(items).await, &invalid, "data keys");
    let items = (0..count).map(|_| rewrap()).collect();
    assert_refused(bench.kms.rewrap_batch(items).await, &invalid, "rewraps");
}

pub(super) async fn empty(bench: Bench) {
    assert!(bench.kms.encrypt_batch(Vec::new()).await.unwrap().is_empty());
    assert!(bench.kms.decrypt_batch(Vec::new()).await.unwrap().is_empty());
    assert!(bench.kms.generate_data_key_batch(Vec::new()).await.unwrap().is_empty());
    assert!(bench.kms.rewrap_batch(Vec::new()).await.unwrap().is_empty());
}
