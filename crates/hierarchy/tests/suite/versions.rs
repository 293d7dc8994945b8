use claviger_kms::{
    CreateKey, IdempotencyKey, KeyVersion, KmsError, Protection, Purpose, VersionState,
};
use claviger_policy::action;

use crate::{Site, path};

fn version(number: u32) -> KeyVersion {
    KeyVersion::new(number).unwrap()
}

#[tokio::test]
async fn a_key_needs_the_key_above() {
    let site = Site::new().await;
    let tree = site.open().await;
    assert!(matches!(site.create(&tree, "eu/users").await, Err(KmsError::NotFound { .. })));
    site.create(&tree, "eu").await.unwrap();
    site.create(&tree, "eu/users").await.unwrap();
    assert!(matches!(site.create(&tree, "eu/users").await, Err(KmsError::Conflict { .. })));
}

#[tokio::test]
async fn the_same_idempotency_key_makes_nothing_twice() {
    let site = Site::new().await;
    let tree = site.open().await;
    let key: IdempotencyKey = "once".parse().unwrap();
    let mut request = CreateKey::at(path("eu"));
    request.idempotency_key = Some(key.clone());
    let first = tree.create_key(site.permit("eu"), &request).await.unwrap();
    let again = tree.create_key(site.permit("eu"), &request).await.unwrap();
    assert_eq!(first.metadata, again.metadata);
    assert!(again.changes.is_empty());

    tree.rotate(site.permit("eu"), Some(&key)).await.unwrap();
    let rotated = tree.rotate(site.permit("eu"), Some(&key)).await.unwrap().metadata;
    assert_eq!(rotated.versions.len(), 2);
    // The same name for another operation is another request.
    let made = tree.create_version(site.permit("eu"), Some(&key)).await.unwrap().metadata;
    assert_eq!(made.versions.len(), 3);
}

#[tokio::test]
async fn signing_keys_and_token_protection_are_refused_by_name() {
    let site = Site::new().await;
    let tree = site.open().await;
    let mut request = CreateKey::at(path("eu"));
    request.purpose = Purpose::Signing;
    let refused = tree.create_key(site.permit("eu"), &request).await.unwrap_err();
    assert!(matches!(refused, KmsError::Unsupported { .. }));
    let mut request = CreateKey::at(path("eu"));
    request.protection = Protection::Token;
    let refused = tree.create_key(site.permit("eu"), &request).await.unwrap_err();
    assert!(matches!(refused, KmsError::Unsupported { .. }));
    assert_eq!(tree.health().keys, 0);
}

#[tokio::test]
async fn a_pending_version_wraps_nothing_and_is_promoted_once() {
    let site = Site::new().await;
    let tree = site.open().await;
    site.create(&tree, "eu").await.unwrap();
    tree.create_version(site.permit("eu"), None).await.unwrap();
    let (_, wrapped) = site.data_key(&tree, "eu").await;
    assert_eq!(wrapped.version(), version(1));

    tree.set_primary(site.permit("eu"), version(2)).await.unwrap();
    let again = tree.set_primary(site.permit("eu"), version(2)).await.unwrap();
    assert!(again.changes.is_empty(), "setting the primary again wrote something");
    let (_, wrapped) = site.data_key(&tree, "eu").await;
    assert_eq!(wrapped.version(), version(2));

    let back = tree.set_primary(site.permit("eu"), version(1)).await.unwrap_err();
    assert!(matches!(back, KmsError::KeyUnusable { .. }), "{back}");
    let none = tree.set_primary(site.permit("eu"), version(9)).await.unwrap_err();
    assert!(matches!(none, KmsError::NotFound { .. }), "{none}");
    let states: Vec<_> = tree
        .describe(site.permit("eu"))
        .unwrap()
        .versions
        .iter()
        .map(|version| version.state)
        .collect();
    assert_eq!(states, [VersionState::Enabled, VersionState::Primary]);
}

#[tokio::test]
async fn a_pending_version_older_than_the_primary_is_never_promoted() {
    let site = Site::new().await;
    let tree = site.open().await;
    site.create(&tree, "eu").await.unwrap();
    tree.create_version(site.permit("eu"), None).await.unwrap();
    site.rotate(&tree, "eu").await.unwrap();
    let back = tree.set_primary(site.permit("eu"), version(2)).await.unwrap_err();
    assert!(matches!(back, KmsError::KeyUnusable { .. }), "{back}");
    assert_eq!(tree.describe(site.permit("eu")).unwrap().primary, Some(version(3)));
}

#[tokio::test]
async fn rotating_a_parent_moves_its_children_and_nothing_else() {
    let site = Site::new().await;
    let tree = site.open().await;
    for key in ["eu", "eu/users", "eu/users/mail", "us"] {
        site.create(&tree, key).await.unwrap();
    }
    site.rotate(&tree, "eu/users").await.unwrap();
    let (plain, wrapped) = site.data_key(&tree, "eu/users/mail").await;
    let before = |key: &str| tree.describe(site.permit(key)).unwrap();
    let (users, mail, us) = (before("eu/users"), before("eu/users/mail"), before("us"));

    site.rotate(&tree, "eu").await.unwrap();
    let now = tree.describe(site.permit("eu/users")).unwrap();
    assert!(now.versions.iter().all(|v| v.parent_version == version(2)), "{now:?}");
    let prints = |metadata: &claviger_kms::KeyMetadata| -> Vec<String> {
        metadata.versions.iter().map(|version| version.fingerprint.clone()).collect()
    };
    assert_eq!(prints(&users), prints(&now), "a child's key material changed");
    assert_eq!(tree.describe(site.permit("eu/users/mail")).unwrap(), mail);
    assert_eq!(tree.describe(site.permit("us")).unwrap(), us);

    // Also from the store alone, with nothing cached.
    drop(tree);
    let tree = site.open().await;
    let opened = site.unwrap(&tree, "eu/users/mail", &wrapped).await.unwrap();
    assert!(opened.is_same_as(&plain));
}

#[tokio::test]
async fn old_ciphertexts_open_after_rotations_and_a_restart() {
    let site = Site::new().await;
    let mut sealed = Vec::new();
    {
        let tree = site.open().await;
        site.create(&tree, "eu").await.unwrap();
        site.create(&tree, "eu/users").await.unwrap();
        for _ in 0..4 {
            sealed.push(site.data_key(&tree, "eu/users").await);
            site.rotate(&tree, "eu/users").await.unwrap();
            site.rotate(&tree, "eu").await.unwrap();
        }
    }
    let tree = site.open().await;
    for (plain, wrapped) in &sealed {
        let opened = site.unwrap(&tree, "eu/users", wrapped).await.unwrap();
        assert!(opened.is_same_as(plain));
    }
}

#[tokio::test]
async fn a_disabled_version_opens_nothing_until_enabled() {
    let site = Site::new().await;
    let tree = site.open().await;
    site.create(&tree, "eu").await.unwrap();
    let (plain, wrapped) = site.data_key(&tree, "eu").await;
    let primary = tree.disable_version(site.permit("eu"), version(1)).await.unwrap_err();
    assert!(matches!(primary, KmsError::KeyUnusable { .. }), "{primary}");
    site.rotate(&tree, "eu").await.unwrap();
    tree.disable_version(site.permit("eu"), version(1)).await.unwrap();
    let refused = site.unwrap(&tree, "eu", &wrapped).await.unwrap_err();
    assert!(matches!(refused, KmsError::KeyUnusable { .. }), "{refused}");
    let permit = site.permit::<action::Rewrap>("eu");
    let rewrap = tree.rewrap(permit, wrapped.clone(), &crate::binding("17")).await.unwrap_err();
    assert!(matches!(rewrap, KmsError::KeyUnusable { .. }), "{rewrap}");
    tree.enable_version(site.permit("eu"), version(1)).await.unwrap();
    assert!(site.unwrap(&tree, "eu", &wrapped).await.unwrap().is_same_as(&plain));
}

/// The table lets a primary become enabled, for promotions: enabling one by hand took it from its key,
/// which then could neither wrap nor be rotated.
#[tokio::test]
async fn enabling_the_primary_version_is_refused_and_leaves_it_primary() {
    let site = Site::new().await;
    let tree = site.open().await;
    site.create(&tree, "eu").await.unwrap();
    let refused = tree.enable_version(site.permit("eu"), version(1)).await.unwrap_err();
    assert!(matches!(refused, KmsError::KeyUnusable { .. }), "{refused}");
    site.data_key(&tree, "eu").await;
    site.rotate(&tree, "eu").await.unwrap();
}

#[tokio::test]
async fn concurrent_rotations_leave_one_primary_and_lose_no_version() {
    let site = Site::new().await;
    let tree = site.open().await;
    site.create(&tree, "eu").await.unwrap();
    let rotations = (0..8).map(|_| tree.rotate(site.permit("eu"), None));
    for result in futures::future::join_all(rotations).await {
        result.unwrap();
    }
    let key = tree.describe(site.permit("eu")).unwrap();
    assert_eq!(key.versions.len(), 9);
    let primaries = key.versions.iter().filter(|v| v.state == VersionState::Primary).count();
    assert_eq!((primaries, key.primary), (1, Some(version(9))));
}

#[tokio::test]
async fn a_list_is_in_order_and_under_its_path_only() {
    let site = Site::new().await;
    let tree = site.open().await;
    for key in ["eu", "eu-west", "eu/a", "eu/b", "eu/b/c", "us"] {
        site.create(&tree, key).await.unwrap();
    }
    let list = |under: Option<&str>, after: Option<&str>| -> Vec<String> {
        let (under, after) = (under.map(path), after.map(path));
        let paths = tree.paths(under.as_ref(), after.as_ref(), 100);
        paths.iter().map(ToString::to_string).collect()
    };
    assert_eq!(list(None, None), ["eu", "eu-west", "eu/a", "eu/b", "eu/b/c", "us"]);
    assert_eq!(list(Some("eu"), None), ["eu", "eu/a", "eu/b", "eu/b/c"]);
    assert_eq!(list(Some("eu"), Some("eu/a")), ["eu/b", "eu/b/c"]);
    assert_eq!(list(Some("eu/b"), Some("eu")), ["eu/b", "eu/b/c"]);
    assert_eq!(list(None, Some("us")), Vec::<String>::new());
}
