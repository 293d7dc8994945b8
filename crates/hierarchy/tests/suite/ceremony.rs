use claviger_hierarchy::{OpenError, accept_restore, verify_root};

use crate::Site;

#[tokio::test]
async fn a_second_ceremony_is_refused_and_changes_nothing() {
    let site = Site::bare();
    let first = site.init().await.unwrap();
    assert!(matches!(site.init().await, Err(OpenError::RootExists)));
    let verified = verify_root(site.token.as_ref(), site.store().as_ref()).await.unwrap();
    assert_eq!(verified.fingerprint, first.fingerprint);
    assert_eq!(verified.generation, 1);
}

#[tokio::test]
async fn without_a_ceremony_nothing_opens() {
    let site = Site::bare();
    assert!(matches!(site.open_with(|_| ()).await, Err(OpenError::NoRoot)));
}

#[tokio::test]
async fn the_ceremony_makes_a_signing_key_and_a_fingerprint() {
    let summary = Site::bare().init().await.unwrap();
    assert_eq!(summary.fingerprint.len(), 32);
    let point = summary.checkpoint_public_key.unwrap();
    assert!(point.starts_with("04") && point.len() == 130, "{point}");
}

#[tokio::test]
async fn a_planted_second_root_object_stops_the_start() {
    let site = Site::new().await;
    site.open().await;
    let summary = verify_root(site.token.as_ref(), site.store().as_ref()).await.unwrap();
    site.hsm.plant_duplicate(summary.root_object);
    let refused = site.open_with(|_| ()).await.unwrap_err();
    assert!(matches!(refused, OpenError::Token(_)), "{refused}");
    assert!(refused.to_string().contains(&summary.root_object.to_string()), "{refused}");
}

#[tokio::test]
async fn a_root_of_another_token_is_not_taken() {
    let site = Site::new().await;
    let summary = verify_root(site.token.as_ref(), site.store().as_ref()).await.unwrap();
    // The recorded root is destroyed and another object stands under its id: the known answer differs.
    site.token
        .destroy_object(claviger_root_key::ObjectKind::Derivation, summary.root_object)
        .await
        .unwrap();
    let missing = site.open_with(|_| ()).await.unwrap_err();
    assert!(matches!(missing, OpenError::Token(_)), "{missing}");
    site.hsm.plant_duplicate(summary.root_object);
    let planted = site.open_with(|_| ()).await.unwrap_err();
    assert!(matches!(planted, OpenError::WrongRoot { .. } | OpenError::Token(_)), "{planted}");
}

#[tokio::test]
async fn a_pinned_fingerprint_refuses_another_root() {
    let site = Site::new().await;
    let pinned = |config: &mut claviger_hierarchy::HierarchyConfig| {
        config.root_fingerprint = Some("0".repeat(32));
    };
    assert!(matches!(site.open_with(pinned).await, Err(OpenError::WrongRoot { .. })));
}

#[tokio::test]
async fn a_restored_store_opens_only_after_it_was_accepted() {
    let site = Site::new().await;
    {
        let tree = site.open().await;
        site.create(&tree, "eu").await.unwrap();
    }
    let copy = site.directory.path().join("backup.db");
    std::fs::copy(site.store_path(), &copy).unwrap();
    let seen = {
        let tree = site.open().await;
        site.create(&tree, "us").await.unwrap();
        tree.health().generation
    };
    std::fs::copy(&copy, site.store_path()).unwrap();
    let demands =
        |config: &mut claviger_hierarchy::HierarchyConfig| config.lowest_generation = seen;
    let refused = site.open_with(demands).await.unwrap_err();
    assert!(matches!(refused, OpenError::RolledBack { .. }), "{refused}");
    accept_restore(site.token.as_ref(), site.store().as_ref(), seen).await.unwrap();
    let tree = site.open_with(demands).await.unwrap();
    assert_eq!(tree.health().keys, 1);
    assert!(tree.health().generation > seen);
}
