//! Versions: rotation, rewrap, promotion, disabling.

use claviger_kms::{CreateKey, ErrorCode, VersionState};

use super::{
    bench::{Bench, assert_holds, assert_refused, binding, encryption, rotation, version},
    keys::name_for,
};

pub(super) async fn rotate(bench: Bench) {
    let key = bench.data_key(binding("1")).await;
    let value = bench.encrypt(b"value", binding("1")).await;
    let before = bench.describe().await;
    let rotated = bench.rotate().await;
    assert_eq!((rotated.id, rotated.primary), (before.id, Some(version(2))));
    assert_eq!(states(&rotated), [VersionState::Enabled, VersionState::Primary]);
    assert!(rotated.epoch > before.epoch);
    assert_eq!(bench.describe().await.versions, rotated.versions);

    let opened = bench.decrypt(&key.wrapped.ciphertext, binding("1")).await.unwrap();
    assert_eq!(opened.version, version(1));
    assert!(opened.plaintext.into_secret_key().unwrap().is_same_as(&key.plaintext));
    assert_holds(&bench.decrypt(&value.ciphertext, binding("1")).await.unwrap(), b"value");
    assert_eq!(bench.data_key(binding("1")).await.wrapped.version, version(2));
    assert_eq!(bench.encrypt(b"value", binding("1")).await.version, version(2));
}

pub(super) async fn rotate_parent(bench: Bench) {
    let child = bench.make_below("child").await;
    let seal = |value| bench.kms.encrypt(encryption(&child, value, binding("1")));
    let sealed = seal(b"before").await.unwrap();
    let before = bench.kms.describe_key(&child).await.unwrap();
    bench.rotate().await;
    bench.kms.disable_version(bench.version(1)).await.unwrap();
    let after = bench.kms.describe_key(&child).await.unwrap();
    assert_eq!((after.primary, after.versions.len()), (before.primary, before.versions.len()));
    assert_holds(&bench.decrypt(&sealed.ciphertext, binding("1")).await.unwrap(), b"before");
    let later = seal(b"after").await.unwrap();
    assert_holds(&bench.decrypt(&later.ciphertext, binding("1")).await.unwrap(), b"after");
    bench.kms.create_key(CreateKey::at(bench.below("later"))).await.unwrap();
}

pub(super) async fn idempotent_rotation(bench: Bench) {
    let name = name_for(&bench, "rotate");
    for _ in 0..3 {
        let answer = bench.kms.rotate(rotation(&bench.key, Some(&name))).await.unwrap();
        assert_eq!((answer.versions.len(), answer.primary), (2, Some(version(2))));
    }
    let name = name_for(&bench, "create");
    for _ in 0..3 {
        let answer = bench.kms.create_version(rotation(&bench.key, Some(&name))).await.unwrap();
        assert_eq!((answer.versions.len(), answer.primary), (3, Some(version(2))));
    }
}

pub(super) async fn rewrap(bench: Bench) {
    let value = bench.encrypt(b"value", binding("1")).await.ciphertext;
    let key = bench.data_key(binding("1")).await;
    if !bench.kms.capabilities().rewraps {
        let refused = bench.rewrap(&value, binding("1")).await;
        return assert_refused(refused, &[ErrorCode::Unsupported], "rewrap");
    }
    let early = bench.rewrap(&value, binding("1")).await.unwrap();
    assert_eq!((early.from, early.to, &early.ciphertext), (version(1), version(1), &value));

    bench.rotate().await;
    let moved = bench.rewrap(&value, binding("1")).await.unwrap();
    assert_eq!((moved.from, moved.to, &moved.key), (version(1), version(2), &bench.key));
    assert_ne!(moved.ciphertext, value);
    let again = bench.rewrap(&moved.ciphertext, binding("1")).await.unwrap();
    assert_eq!(
        (again.from, again.to, &again.ciphertext),
        (version(2), version(2), &moved.ciphertext)
    );
    let opened = bench.decrypt(&moved.ciphertext, binding("1")).await.unwrap();
    assert_eq!(opened.version, version(2));
    assert_holds(&opened, b"value");
    assert_holds(&bench.decrypt(&value, binding("1")).await.unwrap(), b"value");

    let moved = bench.rewrap(&key.wrapped.ciphertext, binding("1")).await.unwrap();
    bench.kms.disable_version(bench.version(1)).await.unwrap();
    let opened = bench.decrypt(&moved.ciphertext, binding("1")).await.unwrap();
    assert!(opened.plaintext.into_secret_key().unwrap().is_same_as(&key.plaintext));
}

pub(super) async fn rewrap_other_binding(bench: Bench) {
    if !bench.kms.capabilities().rewraps {
        return;
    }
    let key = bench.data_key(binding("1")).await.wrapped.ciphertext;
    let rejected = [ErrorCode::CiphertextRejected];
    assert_refused(bench.rewrap(&key, binding("2")).await, &rejected, "at the primary version");
    bench.rotate().await;
    assert_refused(bench.rewrap(&key, binding("2")).await, &rejected, "at an older version");
    let moved = bench.rewrap(&key, binding("1")).await.unwrap().ciphertext;
    assert_refused(bench.decrypt(&moved, binding("2")).await, &rejected, "after a rewrap");
}

pub(super) async fn pending(bench: Bench) {
    let made = bench.kms.create_version(rotation(&bench.key, None)).await.unwrap();
    assert_eq!(states(&made), [VersionState::Primary, VersionState::Pending]);
    assert_eq!(made.primary, Some(version(1)));
    assert_eq!(bench.data_key(binding("1")).await.wrapped.version, version(1));
    let promoted = bench.kms.set_primary(bench.version(2)).await.unwrap();
    assert_eq!(states(&promoted), [VersionState::Enabled, VersionState::Primary]);
    assert_eq!(bench.data_key(binding("1")).await.wrapped.version, version(2));
}

pub(super) async fn promoted_once(bench: Bench) {
    let rotated = bench.rotate().await;
    let again = bench.kms.set_primary(bench.version(2)).await.unwrap();
    assert_eq!((again.versions, again.epoch), (rotated.versions, rotated.epoch));
    let back = bench.kms.set_primary(bench.version(1)).await;
    assert_refused(back, &[ErrorCode::KeyUnusable], "an older version promoted again");
    bench.kms.disable_version(bench.version(1)).await.unwrap();
    let back = bench.kms.set_primary(bench.version(1)).await;
    assert_refused(back, &[ErrorCode::KeyUnusable], "a disabled version promoted");
    assert_eq!(bench.describe().await.primary, Some(version(2)));
}

pub(super) async fn disable(bench: Bench) {
    let key = bench.data_key(binding("1")).await.wrapped.ciphertext;
    bench.rotate().await;
    let disabled = bench.kms.disable_version(bench.version(1)).await.unwrap();
    assert_eq!(states(&disabled), [VersionState::Disabled, VersionState::Primary]);
    let unusable = [ErrorCode::KeyUnusable];
    assert_refused(bench.decrypt(&key, binding("1")).await, &unusable, "decrypt");
    if bench.kms.capabilities().rewraps {
        assert_refused(bench.rewrap(&key, binding("1")).await, &unusable, "rewrap");
    }
    let enabled = bench.kms.enable_version(bench.version(1)).await.unwrap();
    assert_eq!(states(&enabled), [VersionState::Enabled, VersionState::Primary]);
    assert_eq!(bench.decrypt(&key, binding("1")).await.unwrap().plaintext.len(), 32);
}

pub(super) async fn disable_primary(bench: Bench) {
    let before = bench.describe().await;
    let unusable = [ErrorCode::KeyUnusable];
    let refused = bench.kms.disable_version(bench.version(1)).await;
    assert_refused(refused, &unusable, "the primary version disabled");
    assert_eq!(bench.describe().await, before);
    bench.kms.create_version(rotation(&bench.key, None)).await.unwrap();
    let refused = bench.kms.disable_version(bench.version(2)).await;
    assert_refused(refused, &unusable, "a pending version disabled");
    let refused = bench.kms.enable_version(bench.version(2)).await;
    assert_refused(refused, &unusable, "a pending version enabled");
}

pub(super) async fn unknown_version(bench: Bench) {
    let missing = [ErrorCode::NotFound];
    assert_refused(bench.kms.set_primary(bench.version(9)).await, &missing, "promoted");
    assert_refused(bench.kms.enable_version(bench.version(9)).await, &missing, "enabled");
    assert_refused(bench.kms.disable_version(bench.version(9)).await, &missing, "disabled");
}

pub(super) async fn at_once(bench: Bench) {
    let rotations: Vec<_> = (0..8)
        .map(|_| (bench.kms.clone(), rotation(&bench.key, None)))
        .map(|(kms, request)| tokio::spawn(async move { kms.rotate(request).await }))
        .collect();
    let mut done = 0;
    for rotation in rotations {
        match rotation.await.unwrap() {
            Ok(_) => done += 1,
            Err(error) => assert_eq!(error.code(), ErrorCode::Conflict, "{error}"),
        }
    }
    assert!(done > 0, "none of eight rotations was done");
    let states = states(&bench.describe().await);
    assert_eq!(states.len(), 1 + done);
    assert_eq!(states.iter().filter(|state| **state == VersionState::Primary).count(), 1);
    assert_eq!(states.last(), Some(&VersionState::Primary));
}

fn states(key: &claviger_kms::KeyMetadata) -> Vec<VersionState> {
    key.versions.iter().map(|version| version.state).collect()
}
