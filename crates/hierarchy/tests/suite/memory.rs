use std::time::Duration;

use claviger_hierarchy::MemoryProtection;

use crate::Site;

#[tokio::test]
async fn the_cache_is_bounded_and_expires() {
    let site = Site::new().await;
    let tree = site
        .open_with(|config| {
            config.cache_capacity = 3;
            config.cache_time_to_live = Duration::from_millis(300);
        })
        .await
        .unwrap();
    site.create(&tree, "eu").await.unwrap();
    for n in 0..5 {
        let key = format!("eu/k{n}");
        site.create(&tree, &key).await.unwrap();
        site.data_key(&tree, &key).await;
        assert!(tree.health().cached_keks <= 3);
    }
    assert!(tree.health().cached_keks > 0);
    tokio::time::sleep(Duration::from_millis(400)).await;
    tree.sweep();
    assert_eq!(tree.health().cached_keks, 0);
}

#[tokio::test]
async fn where_memory_can_be_locked_it_is_and_the_report_says_how() {
    let site = Site::new().await;
    let health = site.open().await.health();
    assert_ne!(health.memory, MemoryProtection::NotLocked);
    assert_eq!(health.cache_capacity, 4096);
}
