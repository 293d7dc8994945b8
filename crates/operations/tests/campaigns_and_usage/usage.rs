use claviger_kms::{
    Binding, CallerUsage, Encrypt, ErrorCode, GenerateDataKey, KeyManagementService as _, KmsError,
    SecretBytes, Timestamp, Uses, VersionRequest, VersionUsage,
};

use crate::{Bench, data_key, decrypt, kms, path, rewrap, rotate};

/// wraps, unwraps, rewraps, refused
fn counts(usage: &CallerUsage) -> [u64; 4] {
    [usage.wraps, usage.unwraps, usage.rewraps, usage.refused].map(|uses| uses.count)
}

fn of<'a>(usage: &'a VersionUsage, who: &str) -> &'a CallerUsage {
    let principal = Some(format!("local:{who}").parse().unwrap());
    usage.callers.iter().find(|caller| caller.principal == principal).unwrap()
}

#[tokio::test]
async fn every_use_is_counted_by_version_kind_and_caller() {
    let (_bench, operations) = Bench::with_keys().await;
    let (admin, other) = (kms(&operations, "admin"), kms(&operations, "admin-2"));
    let before = Timestamp::now();
    let wrapped = data_key(&admin, "eu").await.unwrap();
    let request = GenerateDataKey { key: path("eu"), binding: Binding::default() };
    admin.generate_data_key(request.clone()).await.unwrap();
    let value = Encrypt {
        key: path("eu"),
        plaintext: SecretBytes::copy_of(b"v"),
        binding: Binding::default(),
    };
    admin.encrypt(value).await.unwrap();
    for result in other.generate_data_key_batch(vec![request; 5]).await.unwrap() {
        result.unwrap();
    }
    decrypt(&other, &wrapped).await.unwrap();
    rotate(&admin, "eu").await;
    let moved = rewrap(&other, &wrapped, None).await.unwrap().ciphertext;
    rewrap(&other, &moved, None).await.unwrap();
    let first = VersionRequest { key: path("eu"), version: "1".parse().unwrap() };
    admin.disable_version(first).await.unwrap();
    assert!(decrypt(&other, &wrapped).await.is_err());
    assert!(rewrap(&other, &wrapped, None).await.is_err());
    // What does not open, and whom nothing is permitted, is no use.
    let mut forged = moved.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(decrypt(&admin, &forged).await.unwrap_err(), KmsError::Rejected);
    assert_eq!(decrypt(&kms(&operations, "x"), &moved).await.unwrap_err(), KmsError::Denied);
    let after = Timestamp::now();

    let usage = admin.key_usage(&path("eu")).await.unwrap();
    let [first, second] = usage.versions.as_slice() else { panic!("{usage:?}") };
    assert_eq!((first.callers.len(), second.callers.len()), (2, 1));
    assert_eq!(counts(of(first, "admin")), [3, 0, 0, 0]);
    assert_eq!(counts(of(first, "admin-2")), [5, 1, 1, 2]);
    assert_eq!(counts(of(second, "admin-2")), [1, 0, 1, 0]);
    let at = |time: Timestamp| {
        // Times are kept to the millisecond.
        assert!(time.as_millisecond() >= before.as_millisecond() && time <= after, "{time}");
    };
    at(first.counted_since.unwrap());
    at(of(first, "admin-2").first_used);
    at(of(first, "admin-2").refused.last.unwrap());
    assert_eq!(of(second, "admin-2").unwraps, Uses::default());

    let unused = admin.key_usage(&path("us")).await.unwrap();
    assert_eq!(unused.versions, [VersionUsage::none("1".parse().unwrap())]);
    operations.stop().await;
}

#[tokio::test]
async fn reading_usage_needs_the_right_to_read_and_a_key() {
    let (_bench, operations) = Bench::with_keys().await;
    for (who, key, code) in [
        ("runner", "us", ErrorCode::Denied),
        ("stranger", "nowhere", ErrorCode::Denied),
        ("admin", "nowhere", ErrorCode::NotFound),
    ] {
        let refused = kms(&operations, who).key_usage(&path(key)).await.unwrap_err();
        assert_eq!(refused.code(), code);
    }
    operations.stop().await;
}

#[tokio::test]
async fn after_a_stop_the_numbers_are_exact_and_go_on() {
    let (bench, operations) = Bench::with_keys().await;
    let admin = kms(&operations, "admin");
    let wrapped = data_key(&admin, "eu").await.unwrap();
    for _ in 0..3 {
        decrypt(&admin, &wrapped).await.unwrap();
    }
    let before = admin.key_usage(&path("eu")).await.unwrap();
    operations.stop().await;
    drop((admin, operations));

    let operations = bench.start().await;
    let admin = kms(&operations, "admin");
    assert_eq!(admin.key_usage(&path("eu")).await.unwrap(), before);
    decrypt(&admin, &wrapped).await.unwrap();
    let after = admin.key_usage(&path("eu")).await.unwrap();
    assert_eq!(counts(of(&after.versions[0], "admin")), [1, 4, 0, 0]);
    assert_eq!(after.versions[0].counted_since, before.versions[0].counted_since);
    operations.stop().await;
}

/// Whatever was acknowledged before a crash is counted after it, at most a block too high, and its last
/// use at most an hour too late; again after a second crash.
#[tokio::test]
async fn after_a_crash_nothing_is_missing_and_at_most_a_block_too_much() {
    let (bench, mut operations) = Bench::with_keys().await;
    let mut done = 0;
    for (crashes, batches) in [(1, 1), (2, 9), (3, 0)] {
        let admin = kms(&operations, "admin");
        for _ in 0..batches {
            let request = GenerateDataKey { key: path("eu"), binding: Binding::default() };
            for result in admin.generate_data_key_batch(vec![request; 256]).await.unwrap() {
                result.unwrap();
                done += 1;
            }
        }
        let last = Timestamp::now();
        drop(admin);
        bench.crash(operations).await;
        operations = bench.start().await;
        let usage = kms(&operations, "admin").key_usage(&path("eu")).await.unwrap();
        let wraps = of(&usage.versions[0], "admin").wraps;
        let most = done + crashes * Uses::BLOCK;
        assert!((done..=most).contains(&wraps.count), "{done} of {wraps:?} after {crashes}");
        let hour = claviger_kms::Timestamp::from_second(last.as_second() + 3601).unwrap();
        let counted = wraps.last.unwrap();
        if batches > 0 {
            assert!(counted.as_millisecond() + 1 >= last.as_millisecond() - 60_000);
        }
        assert!(counted <= hour, "{counted} is more than an hour after {last}");
    }
    operations.stop().await;
}

#[tokio::test]
async fn callers_beyond_the_limit_are_counted_as_one() {
    let (bench, operations) = Bench::with_keys().await;
    for number in 0..70 {
        data_key(&kms(&operations, &format!("admin-{number}")), "eu").await.unwrap();
    }
    data_key(&kms(&operations, "admin-0"), "eu").await.unwrap();
    data_key(&kms(&operations, "admin-69"), "eu").await.unwrap();
    let check = async |operations: std::sync::Arc<claviger_operations::Operations>| {
        let usage = kms(&operations, "admin").key_usage(&path("eu")).await.unwrap();
        let version = &usage.versions[0];
        assert_eq!(version.callers.len(), 65);
        let last = version.callers.last().unwrap();
        assert_eq!((&last.principal, counts(last)), (&None, [7, 0, 0, 0]));
        assert_eq!(counts(of(version, "admin-0")), [2, 0, 0, 0]);
        let sum: u64 = version.callers.iter().map(|caller| caller.wraps.count).sum();
        assert_eq!(sum, 72);
    };
    check(operations.clone()).await;
    operations.stop().await;
    drop(operations);
    let operations = bench.start().await;
    check(operations.clone()).await;
    operations.stop().await;
}
