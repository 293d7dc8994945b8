use claviger_hierarchy::QuarantineOrder;
use claviger_kms::{KmsError, QuarantineReason, VersionState};
use claviger_policy::{Permit, action};

use crate::{Site, binding, path, request};

fn order(name: Option<&str>) -> QuarantineOrder {
    QuarantineOrder {
        reason: QuarantineReason::MisuseSuspected,
        drain: false,
        version: None,
        request: request(),
        idempotency_key: name.map(|name| name.parse().unwrap()),
    }
}

fn permits(site: &Site, keys: &[&str]) -> Vec<Permit<action::Quarantine>> {
    keys.iter().map(|key| site.permit(key)).collect()
}

#[tokio::test]
async fn a_quarantine_refuses_callers_at_once_also_with_the_token_away() {
    let site = Site::new().await;
    let tree = site.open().await;
    site.create(&tree, "eu").await.unwrap();
    let (_, wrapped) = site.data_key(&tree, "eu").await;
    site.hsm.take_away();
    let (stopped, changes) = tree.stop(&permits(&site, &["eu"]), &order(None)).await.unwrap();
    assert_eq!(stopped[0].versions.len(), 1);
    assert_eq!(changes.len(), 1);
    let refused = site.unwrap(&tree, "eu", &wrapped).await.unwrap_err();
    assert!(matches!(refused, KmsError::KeyUnusable { .. }), "{refused}");
    let permit = site.permit::<action::DataKey>("eu");
    let refused = tree.generate_data_key(permit, &binding("17")).await.unwrap_err();
    assert!(matches!(refused, KmsError::KeyUnusable { .. }), "{refused}");
    assert_eq!(tree.without_primary(), [path("eu")]);

    site.hsm.bring_back();
    let permit = site.permit("eu");
    tree.replace_stopped(&permit, &order(None)).await.unwrap();
    assert!(tree.without_primary().is_empty());
    site.data_key(&tree, "eu").await;
}

#[tokio::test]
async fn a_repeated_quarantine_spares_what_was_made_since() {
    let site = Site::new().await;
    let tree = site.open().await;
    site.create(&tree, "eu").await.unwrap();
    let named = order(Some("incident-1"));
    tree.stop(&permits(&site, &["eu"]), &named).await.unwrap();
    tree.replace_stopped(&site.permit("eu"), &named).await.unwrap();
    let (stopped, changes) = tree.stop(&permits(&site, &["eu"]), &named).await.unwrap();
    assert!(stopped[0].is_empty() && changes.is_empty());
    let again = tree.replace_stopped(&site.permit("eu"), &named).await.unwrap();
    assert!(again.changes.is_empty());
    let states: Vec<_> = again.metadata.versions.iter().map(|version| version.state).collect();
    assert_eq!(states, [VersionState::Quarantined, VersionState::Primary]);
}

#[tokio::test]
async fn keys_below_a_quarantined_key_go_on_and_move_under_its_new_version() {
    let site = Site::new().await;
    let tree = site.open().await;
    site.create(&tree, "eu").await.unwrap();
    site.create(&tree, "eu/pay").await.unwrap();
    let (_, wrapped) = site.data_key(&tree, "eu/pay").await;
    tree.stop(&permits(&site, &["eu"]), &order(None)).await.unwrap();
    site.unwrap(&tree, "eu/pay", &wrapped).await.unwrap();
    let written = tree.replace_stopped(&site.permit("eu"), &order(None)).await.unwrap();
    site.move_children(&tree, &written).await.unwrap();
    let below = tree.describe(site.permit("eu/pay")).unwrap();
    assert!(below.versions.iter().all(|version| version.parent_version.number() == 2));
    // From the store alone.
    drop(tree);
    let tree = site.open().await;
    site.unwrap(&tree, "eu/pay", &wrapped).await.unwrap();
}

#[tokio::test]
async fn an_emergency_the_log_has_not_seen_is_handed_over_after_a_restart() {
    let site = Site::new().await;
    let tree = site.open().await;
    site.create(&tree, "eu").await.unwrap();
    let logged = tree.health().generation;
    let order = order(None);
    let (_, changes) = tree.stop(&permits(&site, &["eu"]), &order).await.unwrap();
    drop(tree);
    let tree = site.open().await;
    let unlogged = tree.emergencies_after(logged).await.unwrap();
    assert_eq!(unlogged.len(), 1);
    assert_eq!(unlogged[0].emergency.request, order.request);
    assert_eq!(unlogged[0].change.as_ref(), Some(&changes[0]));
    assert!(tree.emergencies_after(changes[0].generation).await.unwrap().is_empty());
    // The next change of the record was recorded in the usual way and carries it no more.
    tree.replace_stopped(&site.permit("eu"), &order).await.unwrap();
    assert!(tree.emergencies_after(logged).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_drained_key_still_opens_for_callers() {
    let site = Site::new().await;
    let tree = site.open().await;
    site.create(&tree, "eu").await.unwrap();
    let (_, wrapped) = site.data_key(&tree, "eu").await;
    let order = QuarantineOrder { drain: true, ..order(None) };
    tree.stop(&permits(&site, &["eu"]), &order).await.unwrap();
    site.unwrap(&tree, "eu", &wrapped).await.unwrap();
}

/// One person stopped a key, and could open what was stopped by stopping its new version with drain.
#[tokio::test]
async fn a_later_drain_opens_nothing_that_was_stopped_without() {
    let site = Site::new().await;
    let tree = site.open().await;
    site.create(&tree, "eu").await.unwrap();
    let (_, wrapped) = site.data_key(&tree, "eu").await;
    let leaked = QuarantineOrder { reason: QuarantineReason::MaterialLeaked, ..order(None) };
    tree.stop(&permits(&site, &["eu"]), &leaked).await.unwrap();
    tree.replace_stopped(&site.permit("eu"), &leaked).await.unwrap();
    let drain = QuarantineOrder { drain: true, ..order(None) };
    let (stopped, _) = tree.stop(&permits(&site, &["eu"]), &drain).await.unwrap();
    assert!(!stopped[0].versions.is_empty() && !stopped[0].drained);
    let refused = site.unwrap(&tree, "eu", &wrapped).await.unwrap_err();
    assert!(matches!(refused, KmsError::KeyUnusable { .. }), "{refused}");
    let facts = tree.describe(site.permit("eu")).unwrap().quarantine.unwrap();
    assert_eq!((facts.drain, facts.reason), (false, QuarantineReason::MaterialLeaked));
}

/// A drained key could not be closed: there was nothing left to stop.
#[tokio::test]
async fn a_drained_key_is_closed_by_a_quarantine_without_drain() {
    let site = Site::new().await;
    let tree = site.open().await;
    site.create(&tree, "eu").await.unwrap();
    let (_, wrapped) = site.data_key(&tree, "eu").await;
    let drain = QuarantineOrder { drain: true, ..order(None) };
    tree.stop(&permits(&site, &["eu"]), &drain).await.unwrap();
    tree.stop(&permits(&site, &["eu"]), &order(None)).await.unwrap();
    site.unwrap(&tree, "eu", &wrapped).await.unwrap_err();
    let again = tree.stop(&permits(&site, &["eu"]), &order(None)).await.unwrap();
    assert!(again.1.is_empty(), "it was closed already");
}

/// Two emergencies while the log could not be written, and a crash: only the second was ever recorded.
#[tokio::test]
async fn every_emergency_the_log_has_not_seen_is_handed_over() {
    let site = Site::new().await;
    let tree = site.open().await;
    site.create(&tree, "eu").await.unwrap();
    let logged = tree.health().generation;
    let first = order(None);
    tree.stop(&permits(&site, &["eu"]), &first).await.unwrap();
    tree.disable_key(site.permit("eu"), request()).await.unwrap();
    drop(tree);
    let tree = site.open().await;
    let unlogged = tree.emergencies_after(logged).await.unwrap();
    assert_eq!(unlogged.len(), 2);
    assert_eq!(unlogged[0].emergency.request, first.request);
    assert!(unlogged[0].change.is_none() && unlogged[1].change.is_some());
}

/// With the token away the keys below one that leaked got no new versions, and nobody came back to it.
#[tokio::test]
async fn keys_below_a_leak_are_named_until_they_have_a_newer_version() {
    let site = Site::new().await;
    let tree = site.open().await;
    for key in ["eu", "eu/pay", "eu/new", "us"] {
        site.create(&tree, key).await.unwrap();
    }
    let now = claviger_kms::Timestamp::now;
    assert!(tree.behind_a_leak(now()).is_empty());
    let leaked = QuarantineOrder { reason: QuarantineReason::MaterialLeaked, ..order(None) };
    tree.stop(&permits(&site, &["eu"]), &leaked).await.unwrap();
    assert_eq!(tree.behind_a_leak(now()), [path("eu/new"), path("eu/pay")]);
    tree.replace_stopped(&site.permit("eu"), &leaked).await.unwrap();
    tree.rotate(site.permit("eu/pay"), None).await.unwrap();
    assert_eq!(tree.behind_a_leak(now()), [path("eu/new")]);
    let before = now() - std::time::Duration::from_secs(3600);
    assert!(tree.behind_a_leak(before).is_empty(), "a leak in the future");
}
