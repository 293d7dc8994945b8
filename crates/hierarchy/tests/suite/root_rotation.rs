//! Rotating the root: what moves, what stays, what an interruption leaves, and the end of the old object.

use claviger_hierarchy::{add_root_version, prune_root, verify_root};
use claviger_root_key::ObjectKind;

use super::*;

async fn rotate_root(site: &Site) -> RootSummary {
    add_root_version(site.token.as_ref(), site.store().as_ref()).await.unwrap()
}

async fn move_regions(tree: &Hierarchy) {
    while let Some(behind) = tree.regions_behind() {
        tree.move_children(&behind).await.unwrap();
    }
}

fn parents(key: &KeyMetadata) -> Vec<u32> {
    key.versions.iter().map(|version| version.parent_version.number()).collect()
}

#[tokio::test]
async fn rotating_the_root_moves_all_versions_of_regions_and_nothing_below() {
    let site = Site::new().await;
    let tree = site.open().await;
    site.create(&tree, "eu").await.unwrap();
    let (plain, of_eu) = site.data_key(&tree, "eu").await;
    site.create(&tree, "eu/users").await.unwrap();
    let (_, of_users) = site.data_key(&tree, "eu/users").await;
    site.rotate(&tree, "eu").await.unwrap();
    let users = tree.describe(site.permit("eu/users")).unwrap();
    let (before, generation) = (tree.root().clone(), tree.health().generation);
    drop(tree);

    let after = rotate_root(&site).await;
    assert_eq!(after.root_version.number(), 2);
    assert_ne!((after.root_object, &after.fingerprint), (before.root_object, &before.fingerprint));
    assert_eq!(after.generation, generation + 1, "a generation of its own");
    // Both objects are there; what the former wraps opens.
    let tree = site.open().await;
    assert_eq!(parents(&tree.describe(site.permit("eu")).unwrap()), [1, 1]);
    assert!(site.unwrap(&tree, "eu", &of_eu).await.unwrap().is_same_as(&plain));
    // New regions are under the new one at once.
    assert_eq!(parents(&site.create(&tree, "us").await.unwrap()), [2]);
    move_regions(&tree).await;
    assert_eq!(parents(&tree.describe(site.permit("eu")).unwrap()), [2, 2]);
    assert_eq!(tree.describe(site.permit("eu/users")).unwrap(), users, "it was touched");
    drop(tree);
    let tree = site.open().await;
    assert!(site.unwrap(&tree, "eu", &of_eu).await.unwrap().is_same_as(&plain));
    site.unwrap(&tree, "eu/users", &of_users).await.unwrap();
}

#[tokio::test]
async fn a_root_rotation_that_was_interrupted_goes_on_where_it_was() {
    let site = Site::new().await;
    let tree = site.open().await;
    for number in 0..60 {
        site.create(&tree, &format!("r{number:02}")).await.unwrap();
    }
    let (first, last) = (site.data_key(&tree, "r00").await, site.data_key(&tree, "r59").await);
    drop(tree);
    rotate_root(&site).await;
    let tree = site.open().await;
    let behind = tree.regions_behind().unwrap();
    assert_eq!(tree.move_children(&behind).await.unwrap().changes.len(), 50);
    drop(tree);

    let tree = site.open().await;
    for (key, wrapped) in [("r00", &first.1), ("r59", &last.1)] {
        site.unwrap(&tree, key, wrapped).await.unwrap();
    }
    assert_eq!(
        tree.move_children(&tree.regions_behind().unwrap()).await.unwrap().changes.len(),
        10
    );
    assert!(tree.regions_behind().is_none());
    tree.forget_keys();
    for (key, wrapped) in [("r00", &first.1), ("r59", &last.1)] {
        site.unwrap(&tree, key, wrapped).await.unwrap();
    }
}

#[tokio::test]
async fn a_former_root_object_is_destroyed_only_when_no_region_is_under_it() {
    let site = Site::new().await;
    let tree = site.open().await;
    site.create(&tree, "eu").await.unwrap();
    let (_, wrapped) = site.data_key(&tree, "eu").await;
    let former = tree.root().root_object;
    drop(tree);
    let copy = site.directory.path().join("backup.db");
    std::fs::copy(site.store_path(), &copy).unwrap();
    rotate_root(&site).await;
    let prune = async || {
        let store = site.store();
        let token = Arc::clone(&site.token);
        let tree =
            Hierarchy::open(token, Arc::clone(&store), HierarchyConfig::default()).await.unwrap();
        prune_root(site.token.as_ref(), store.as_ref(), &tree).await
    };
    assert_eq!(prune().await.unwrap(), [], "a region is under it");
    site.unwrap(&site.open().await, "eu", &wrapped).await.unwrap();
    move_regions(&site.open().await).await;
    assert_eq!(prune().await.unwrap(), [former]);
    assert!(site.token.inspect_object(ObjectKind::Derivation, former).await.is_err());
    assert_eq!(prune().await.unwrap(), []);
    site.unwrap(&site.open().await, "eu", &wrapped).await.unwrap();
    let third = rotate_root(&site).await;
    assert_eq!(third.root_version.number(), 3, "a number was used again");

    // A backup from before needs the object that is gone: the reason to ask first.
    std::fs::copy(&copy, site.store_path()).unwrap();
    let refused = verify_root(site.token.as_ref(), site.store().as_ref()).await.unwrap_err();
    assert!(refused.to_string().contains(&former.to_string()), "{refused}");
}

#[tokio::test]
async fn a_former_root_object_that_is_there_twice_stops_the_start() {
    let site = Site::new().await;
    let former = verify_root(site.token.as_ref(), site.store().as_ref()).await.unwrap().root_object;
    rotate_root(&site).await;
    site.open().await;
    site.hsm.plant_duplicate(former);
    let twice = site.open_with(|_| ()).await.unwrap_err();
    assert!(twice.to_string().contains(&former.to_string()), "{twice}");
}

#[tokio::test]
async fn a_former_root_object_that_is_missing_stops_the_start_while_it_is_recorded() {
    let site = Site::new().await;
    let former = verify_root(site.token.as_ref(), site.store().as_ref()).await.unwrap().root_object;
    rotate_root(&site).await;
    site.token.destroy_object(ObjectKind::Derivation, former).await.unwrap();
    let missing = site.open_with(|_| ()).await.unwrap_err();
    assert!(matches!(missing, OpenError::Token(_)), "{missing}");
}
