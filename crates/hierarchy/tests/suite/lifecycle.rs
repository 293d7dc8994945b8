use std::time::Duration;

use claviger_hierarchy::{Hierarchy, Pace, StandingEvidence, TwoPersons};
use claviger_keystore::KeyRecord;
use claviger_kms::{
    EvidenceId, KeyId, KeyVersion, KmsError, ScheduleDestroy, Timestamp, VersionState,
};
use claviger_policy::{Permit, action};

use crate::{Site, path, request};

fn version(number: u32) -> KeyVersion {
    KeyVersion::new(number).unwrap()
}

fn schedule(days: u32) -> ScheduleDestroy {
    ScheduleDestroy { key: path("eu"), version: version(1), days, shred: false }
}

/// A tree where a day takes a millisecond, with a key whose first version is disabled.
async fn fast(site: &Site) -> Hierarchy {
    let tree = site.open_with(|config| config.pace = Pace::faster(86_400_000)).await.unwrap();
    site.create(&tree, "eu").await.unwrap();
    site.rotate(&tree, "eu").await.unwrap();
    tree.disable_version(site.permit("eu"), version(1), request()).await.unwrap();
    tree
}

/// Evidence about the first version of `eu` as it is now.
fn counted(tree: &Hierarchy) -> Option<StandingEvidence> {
    Some(StandingEvidence {
        id: EvidenceId::make_random().unwrap(),
        key_id: tree.id_of(&path("eu"))?,
        version: version(1),
        disabled_since: tree.version_of(&path("eu"), version(1))?.state_changed_at,
    })
}

async fn destroyed(site: &Site, tree: &Hierarchy) {
    let evidence = counted(tree);
    let id = evidence.as_ref().map(|evidence| evidence.id.to_string());
    tree.schedule_destroy(site.permit("eu"), &schedule(7), None, evidence).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let due = tree.due_for_destruction(Timestamp::now());
    assert_eq!(due, [(path("eu"), version(1), id)]);
    tree.destroy_version(
        Permit::of_schedule(path("eu")),
        version(1),
        claviger_kms::Timestamp::now(),
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn a_disabled_key_refuses_its_children_in_the_cache_too() {
    let site = Site::new().await;
    let tree = site.open().await;
    site.create(&tree, "eu").await.unwrap();
    site.create(&tree, "eu/pay").await.unwrap();
    let (_, wrapped) = site.data_key(&tree, "eu/pay").await;
    tree.disable_key(site.permit("eu"), request()).await.unwrap();
    let refused = site.unwrap(&tree, "eu/pay", &wrapped).await.unwrap_err();
    assert!(matches!(refused, KmsError::KeyUnusable { .. }), "{refused}");
    tree.enable_key(site.permit("eu")).await.unwrap();
    site.unwrap(&tree, "eu/pay", &wrapped).await.unwrap();
}

#[tokio::test]
async fn a_retired_key_opens_and_makes_nothing_new() {
    let site = Site::new().await;
    let tree = site.open().await;
    site.create(&tree, "eu").await.unwrap();
    let (_, wrapped) = site.data_key(&tree, "eu").await;
    tree.retire_key(site.permit("eu")).await.unwrap();
    site.unwrap(&tree, "eu", &wrapped).await.unwrap();
    let permit = site.permit::<action::DataKey>("eu");
    assert!(tree.generate_data_key(permit, &crate::binding("1")).await.is_err());
    assert!(site.create(&tree, "eu/pay").await.is_err());
    tree.disable_version(site.permit("eu"), version(1), request()).await.unwrap();
    assert_eq!(tree.describe(site.permit("eu")).unwrap().primary, None);
}

#[tokio::test]
async fn nothing_is_destroyed_without_evidence_or_out_of_time() {
    let site = Site::new().await;
    let tree = site.open().await;
    site.create(&tree, "eu").await.unwrap();
    site.rotate(&tree, "eu").await.unwrap();
    tree.disable_version(site.permit("eu"), version(1), request()).await.unwrap();
    let without = tree.schedule_destroy(site.permit("eu"), &schedule(7), None, None).await;
    assert!(matches!(without, Err(KmsError::KeyUnusable { .. })));
    for days in [0, 6, 31] {
        let evidence = counted(&tree);
        let request = schedule(days);
        let refused = tree.schedule_destroy(site.permit("eu"), &request, None, evidence).await;
        assert!(matches!(refused, Err(KmsError::Invalid { .. })), "{days} days were taken");
    }
    let second = TwoPersons::of::<action::Destroy>(&site.permit("eu"), &site.permit("eu"));
    assert!(second.is_err(), "one person was two");
    let evidence = counted(&tree);
    tree.schedule_destroy(site.permit("eu"), &schedule(7), None, evidence).await.unwrap();
    assert!(tree.due_for_destruction(Timestamp::now()).is_empty());
    let early = tree
        .destroy_version(
            Permit::of_schedule(path("eu")),
            version(1),
            claviger_kms::Timestamp::now(),
        )
        .await;
    assert!(matches!(early, Err(KmsError::KeyUnusable { .. })));
    tree.cancel_destroy(site.permit("eu"), version(1)).await.unwrap();
    assert!(tree.cancel_destroy(site.permit("eu"), version(1)).await.is_err());
}

#[tokio::test]
async fn evidence_about_another_key_version_or_time_is_refused() {
    let site = Site::new().await;
    let tree = site.open().await;
    site.create(&tree, "eu").await.unwrap();
    site.rotate(&tree, "eu").await.unwrap();
    tree.disable_version(site.permit("eu"), version(1), request()).await.unwrap();
    let good = counted(&tree).unwrap();
    let other_key = StandingEvidence { key_id: KeyId::from_bytes([7; 16]), ..good.clone() };
    let other_version = StandingEvidence { version: version(2), ..good.clone() };
    let before = good.disabled_since - Duration::from_millis(1);
    let other_time = StandingEvidence { disabled_since: before, ..good.clone() };
    for bad in [other_key, other_version, other_time] {
        let refused = tree.schedule_destroy(site.permit("eu"), &schedule(7), None, Some(bad)).await;
        assert!(matches!(refused, Err(KmsError::KeyUnusable { .. })), "{refused:?}");
    }
    tree.schedule_destroy(site.permit("eu"), &schedule(7), None, Some(good)).await.unwrap();
}

#[tokio::test]
async fn a_destroyed_version_leaves_a_tombstone_and_no_material_in_the_stores_files() {
    let site = Site::new().await;
    let tree = fast(&site).await;
    let store = tree.store().records(None, 10).await.unwrap();
    let before = KeyRecord::from_bytes(&store[0].body).unwrap();
    let claviger_keystore::Material::Wrapped(wrapped) = &before.versions[0].material else {
        panic!("not wrapped")
    };
    // As it stands in the JSON of the record: base64 of the wrapped key.
    let text = serde_json::to_value(&before.versions[0]).unwrap();
    let needle = text["material"]["wrapped"].as_str().unwrap().to_owned();
    assert!(wrapped.len() == 104 && on_disk(&site, &needle), "the search finds nothing at all");

    destroyed(&site, &tree).await;
    let key = tree.describe(site.permit("eu")).unwrap();
    assert_eq!(key.versions[0].state, VersionState::Destroyed);
    assert!(!on_disk(&site, &needle), "the wrapped key is still in the store's files");
    let due = tree.due_for_destruction(Timestamp::now());
    assert!(due.is_empty());
    assert!(tree.cancel_destroy(site.permit("eu"), version(1)).await.is_err());
}

fn on_disk(site: &Site, needle: &str) -> bool {
    let files = std::fs::read_dir(site.directory.path()).unwrap();
    files
        .map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .any(|bytes| bytes.windows(needle.len()).any(|window| window == needle.as_bytes()))
}

#[tokio::test]
async fn a_version_that_still_wraps_a_key_below_is_not_destroyed() {
    let site = Site::new().await;
    let tree = site.open().await;
    site.create(&tree, "eu").await.unwrap();
    site.create(&tree, "eu/pay").await.unwrap();
    // Promoted, and the child not yet moved.
    tree.rotate(site.permit("eu"), None).await.unwrap();
    tree.disable_version(site.permit("eu"), version(1), request()).await.unwrap();
    let evidence = counted(&tree);
    let refused = tree.schedule_destroy(site.permit("eu"), &schedule(7), None, evidence).await;
    let refused = refused.unwrap_err();
    assert!(refused.to_string().contains("eu/pay"), "{refused}");
}
