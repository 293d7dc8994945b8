use claviger_hierarchy::RewrapUse;
use claviger_kms::{Binding, Ciphertext, EnvelopeId, KmsError, SecretBytes};
use claviger_policy::action;

use crate::{Site, binding};

async fn encrypted(site: &Site, tree: &claviger_hierarchy::Hierarchy, value: &[u8]) -> Ciphertext {
    let permit = site.permit::<action::Encrypt>("eu");
    tree.encrypt(permit, &SecretBytes::copy_of(value), &binding("17")).await.unwrap()
}

#[tokio::test]
async fn a_ciphertext_of_any_altered_byte_is_rejected() {
    let site = Site::new().await;
    let tree = site.open().await;
    site.create(&tree, "eu").await.unwrap();
    let whole = encrypted(&site, &tree, b"the value").await.to_bytes();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        let Ok(ciphertext) = Ciphertext::parse(&bytes) else { continue };
        let permit = site.permit::<action::Decrypt>("eu");
        let refused = tree.decrypt(permit, &ciphertext, &binding("17")).await;
        assert!(matches!(refused, Err(KmsError::Rejected)), "byte {at}: {refused:?}");
    }
}

#[tokio::test]
async fn another_context_envelope_or_key_is_rejected() {
    let site = Site::new().await;
    let tree = site.open().await;
    site.create(&tree, "eu").await.unwrap();
    site.create(&tree, "us").await.unwrap();
    let sealed = encrypted(&site, &tree, b"the value").await;
    let envelope = Binding { envelope_id: Some(EnvelopeId::from_bytes([1; 16])), ..binding("17") };
    for (key, wrong) in
        [("eu", binding("18")), ("eu", Binding::default()), ("eu", envelope), ("us", binding("17"))]
    {
        let permit = site.permit::<action::Decrypt>(key);
        let refused = tree.decrypt(permit, &sealed, &wrong).await;
        assert!(matches!(refused, Err(KmsError::Rejected)), "{key} {wrong:?}: {refused:?}");
    }
    // A permit for a key that does not exist looks the same.
    let permit = site.permit::<action::Decrypt>("nowhere");
    let refused = tree.decrypt(permit, &sealed, &binding("17")).await;
    assert!(matches!(refused, Err(KmsError::Rejected)));
}

#[tokio::test]
async fn a_wrapped_key_does_not_open_as_a_value_nor_a_value_as_a_key() {
    let site = Site::new().await;
    let tree = site.open().await;
    site.create(&tree, "eu").await.unwrap();
    let sealed = encrypted(&site, &tree, b"value").await;
    let as_key = Ciphertext::of_data_key(sealed.key_id(), sealed.version(), *sealed.wrapped_key());
    let permit = site.permit::<action::Decrypt>("eu");
    let refused = tree.decrypt(permit, &as_key, &binding("17")).await;
    assert!(matches!(refused, Err(KmsError::Rejected)));
}

#[tokio::test]
async fn a_value_of_4096_bytes_is_taken_and_one_more_refused() {
    let site = Site::new().await;
    let tree = site.open().await;
    site.create(&tree, "eu").await.unwrap();
    for length in [0, 1, 4096] {
        let sealed = encrypted(&site, &tree, &vec![7; length]).await;
        let parsed = Ciphertext::parse(&sealed.to_bytes()).unwrap();
        let permit = site.permit::<action::Decrypt>("eu");
        let opened = tree.decrypt(permit, &parsed, &binding("17")).await.unwrap();
        assert_eq!(opened.len(), length);
    }
    let permit = site.permit::<action::Encrypt>("eu");
    let long = SecretBytes::from_vec(vec![7; 4097]);
    let refused = tree.encrypt(permit, &long, &binding("17")).await.unwrap_err();
    assert!(refused.to_string().contains("4096"), "{refused}");
}

#[tokio::test]
async fn a_rewrap_moves_forward_and_keeps_the_content() {
    let site = Site::new().await;
    let tree = site.open().await;
    site.create(&tree, "eu").await.unwrap();
    let sealed = encrypted(&site, &tree, b"the value").await;
    site.rotate(&tree, "eu").await.unwrap();
    let rewrap = async |ciphertext: &Ciphertext| {
        let permit = site.permit::<action::Rewrap>("eu");
        tree.rewrap(permit, ciphertext.clone(), &binding("17"), RewrapUse::Plain).await.unwrap()
    };
    let moved = rewrap(&sealed).await;
    assert_eq!(moved.version().number(), 2);
    assert_eq!(moved.sealed_value(), sealed.sealed_value());
    assert_eq!(rewrap(&moved).await, moved);
    let permit = site.permit::<action::Decrypt>("eu");
    assert_eq!(tree.decrypt(permit, &moved, &binding("17")).await.unwrap().len(), 9);

    let permit = site.permit::<action::Rewrap>("eu");
    let wrong = tree.rewrap(permit, moved, &binding("18"), RewrapUse::Plain).await;
    assert!(matches!(wrong, Err(KmsError::Rejected)), "a rewrap told garbage from a ciphertext");
}

#[tokio::test]
async fn many_callers_of_one_cold_key_get_the_right_key_from_a_cache_of_two() {
    let site = Site::new().await;
    let mut sealed = Vec::new();
    {
        let tree = site.open().await;
        site.create(&tree, "eu").await.unwrap();
        for n in 0..6 {
            let key = format!("eu/k{n}");
            site.create(&tree, &key).await.unwrap();
            let (plain, wrapped) = site.data_key(&tree, &key).await;
            sealed.push((key, plain, wrapped));
        }
    }
    let tree = site.open_with(|config| config.cache_capacity = 2).await.unwrap();
    for _ in 0..3 {
        for (key, plain, wrapped) in &sealed {
            let opened = site.unwrap(&tree, key, wrapped).await.unwrap();
            assert!(opened.is_same_as(plain), "{key}");
        }
    }
    let all = sealed.iter().map(async |(key, plain, wrapped)| {
        match site.unwrap(&tree, key, wrapped).await {
            Ok(opened) => assert!(opened.is_same_as(plain), "{key}"),
            // Allowed, in a cache too small for the keys in use at once; a wrong key never is.
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
    });
    futures::future::join_all(all).await;
    assert!(tree.health().cached_keks <= 2);
}

#[tokio::test]
async fn warm_keys_serve_while_the_token_is_away_and_cold_ones_say_so() {
    let site = Site::new().await;
    let tree = site.open().await;
    site.create(&tree, "eu").await.unwrap();
    let (plain, wrapped) = site.data_key(&tree, "eu").await;
    site.hsm.take_away();
    assert!(site.unwrap(&tree, "eu", &wrapped).await.unwrap().is_same_as(&plain));
    tree.forget_keys();
    let refused = site.unwrap(&tree, "eu", &wrapped).await.unwrap_err();
    assert!(refused.is_retryable(), "{refused}");
    site.hsm.bring_back();
    let mut last = Err(refused);
    for _ in 0..50 {
        last = site.unwrap(&tree, "eu", &wrapped).await;
        if last.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(last.unwrap().is_same_as(&plain));
}
