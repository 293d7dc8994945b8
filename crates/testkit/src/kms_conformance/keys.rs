//! Making keys and reading about them.

use claviger_kms::{
    Binding, CreateKey, ErrorCode, GenerateDataKey, KeyDetails, KeyPath, KeyState, ListKeys,
    Purpose, VersionState,
};

use super::bench::{Bench, assert_refused, encryption, rotation, version};

pub(super) async fn described_as_made(bench: Bench) {
    let key = bench.below("detailed");
    let details = KeyDetails {
        description: "card numbers – ünïcode".to_owned(),
        owner: "payments".to_owned(),
        tags: [("tier".to_owned(), "1".to_owned())].into(),
    };
    let request = CreateKey { details: details.clone(), ..CreateKey::at(key.clone()) };
    let made = bench.kms.create_key(request).await.unwrap();
    assert_eq!(made.key, key);
    assert_eq!(made.details, details);
    assert_eq!((made.state, made.purpose), (KeyState::Active, Purpose::Encryption));
    assert_eq!(made.primary, Some(version(1)));
    let states: Vec<_> = made.versions.iter().map(|v| (v.version, v.state)).collect();
    assert_eq!(states, [(version(1), VersionState::Primary)]);
    assert_eq!(made.versions.iter().map(|v| v.fingerprint.len()).collect::<Vec<_>>(), [16]);

    let described = bench.kms.describe_key(&key).await.unwrap();
    assert_eq!((described.id, described.epoch), (made.id, made.epoch));
    assert_eq!(described.versions, made.versions);
    assert_eq!(bench.kms.list_versions(&key).await.unwrap(), made.versions);
}

pub(super) async fn listed_in_pages(bench: Bench) {
    let mut expected = vec![bench.key.clone()];
    for name in ["c", "a", "b", "a2", "a-1"] {
        expected.push(bench.make_below(name).await);
    }
    bench.kms.create_key(CreateKey::at(bench.below("a/deep"))).await.unwrap();
    expected.push(bench.below("a/deep"));
    expected.sort();

    let mut found: Vec<KeyPath> = Vec::new();
    let mut after = None;
    for _ in 0..20 {
        let under = Some(bench.key.clone());
        let page = bench.kms.list_keys(ListKeys { under, after, limit: Some(2) }).await.unwrap();
        assert!(page.keys.len() <= 2, "a page of {} keys", page.keys.len());
        found.extend(page.keys.into_iter().map(|key| key.key));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, expected);
    let whole = ListKeys { under: Some(bench.key.clone()), ..ListKeys::default() };
    assert_eq!(bench.kms.list_keys(whole).await.unwrap().keys.len(), expected.len());
}

pub(super) async fn page_limits(bench: Bench) {
    for limit in [0, 1001, u32::MAX] {
        let request = ListKeys { limit: Some(limit), ..ListKeys::default() };
        let refused = bench.kms.list_keys(request).await;
        assert_refused(refused, &[ErrorCode::InvalidRequest], "a page of such a limit");
    }
    let request = ListKeys { under: Some(bench.key.clone()), after: None, limit: Some(1000) };
    assert_eq!(bench.kms.list_keys(request).await.unwrap().keys.len(), 1);
}

pub(super) async fn duplicate(bench: Bench) {
    let before = bench.describe().await;
    let refused = bench.kms.create_key(CreateKey::at(bench.key.clone())).await;
    assert_refused(refused, &[ErrorCode::Conflict], "a key made twice");
    assert_eq!(bench.describe().await, before);
}

pub(super) async fn missing_parent(bench: Bench) {
    let orphan = bench.below("none/orphan");
    let refused = bench.kms.create_key(CreateKey::at(orphan.clone())).await;
    assert_refused(refused, &[ErrorCode::NotFound, ErrorCode::Denied], "an orphan");
    assert!(bench.kms.describe_key(&orphan).await.is_err());
}

pub(super) async fn details_too_long(bench: Bench) {
    let key = bench.below("detailed");
    let long = |description: &str, owner: &str| KeyDetails {
        description: description.to_owned(),
        owner: owner.to_owned(),
        ..KeyDetails::default()
    };
    let many = (0..33).map(|number| (number.to_string(), String::new())).collect();
    let tags = KeyDetails { tags: many, ..KeyDetails::default() };
    for details in [long(&"x".repeat(1025), ""), long("", &"x".repeat(257)), long("a\nb", ""), tags]
    {
        let request = CreateKey { details, ..CreateKey::at(key.clone()) };
        let refused = bench.kms.create_key(request).await;
        assert_refused(refused, &[ErrorCode::InvalidRequest], "details beyond a limit");
    }
    assert!(bench.kms.describe_key(&key).await.is_err());
}

pub(super) async fn idempotent_key(bench: Bench) {
    let named = || CreateKey {
        idempotency_key: Some(name_for(&bench, "k").parse().unwrap()),
        ..CreateKey::at(bench.below("named"))
    };
    let first = bench.kms.create_key(named()).await.unwrap();
    let again = bench.kms.create_key(named()).await.unwrap();
    assert_eq!((again.id, again.versions.len()), (first.id, 1));
    let unnamed = bench.kms.create_key(CreateKey::at(bench.below("named"))).await;
    assert_refused(unnamed, &[ErrorCode::Conflict], "the same key without the name");
}

/// A service may remember names for each key or for all: then the second use is refused. What it must
/// never do is take a request for another key as done, or answer it with the first one's key.
pub(super) async fn idempotency_key_reused(bench: Bench) {
    let other = bench.make_below("other").await;
    let name = name_for(&bench, "r");
    bench.kms.rotate(rotation(&bench.key, Some(&name))).await.unwrap();
    let reused = bench.kms.rotate(rotation(&other, Some(&name))).await;
    let versions = bench.kms.describe_key(&other).await.unwrap().versions.len();
    match reused {
        Ok(answer) => assert_eq!((answer.key, versions), (other, 2)),
        refused => {
            assert_refused(refused, &[ErrorCode::Conflict], "one name for two requests");
            assert_eq!(versions, 1);
        }
    }
}

pub(super) async fn unknown_key(bench: Bench) {
    let none = bench.below("none");
    let allowed = [ErrorCode::NotFound, ErrorCode::Denied];
    let request = || GenerateDataKey { key: none.clone(), binding: Binding::default() };
    let encrypt = encryption(&none, b"value", Binding::default());
    assert_refused(bench.kms.describe_key(&none).await, &allowed, "describe");
    assert_refused(bench.kms.encrypt(encrypt).await, &allowed, "encrypt");
    assert_refused(bench.kms.generate_data_key(request()).await, &allowed, "data key");
    assert_refused(bench.kms.generate_wrapped_data_key(request()).await, &allowed, "wrapped");
    assert_refused(bench.kms.rotate(rotation(&none, None)).await, &allowed, "rotate");
    let create = bench.kms.create_version(rotation(&none, None)).await;
    assert_refused(create, &allowed, "create a version");
}

pub(super) async fn purposes(bench: Bench) {
    let key = bench.below("signs");
    let request = CreateKey { purpose: Purpose::Signing, ..CreateKey::at(key.clone()) };
    let made = bench.kms.create_key(request).await;
    if bench.kms.capabilities().purposes.contains(&Purpose::Signing) {
        assert_eq!(made.unwrap().purpose, Purpose::Signing);
        let encrypt = bench.kms.encrypt(encryption(&key, b"value", Binding::default())).await;
        let allowed = [ErrorCode::InvalidRequest, ErrorCode::KeyUnusable, ErrorCode::Unsupported];
        assert_refused(encrypt, &allowed, "a signing key that encrypts");
    } else {
        assert_refused(made, &[ErrorCode::Unsupported], "a signing key");
    }
}

/// A name for a request that no other check and no other run uses.
pub(super) fn name_for(bench: &Bench, suffix: &str) -> String {
    let path = bench.key.as_str().replace('/', ".");
    let start = path.len().saturating_sub(50);
    format!("{}.{suffix}", path.split_at(start).1)
}
