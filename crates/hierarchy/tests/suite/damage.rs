//! A store altered behind the service's back is found at the next start, whatever was altered.

use claviger_hierarchy::OpenError;

use crate::Site;

async fn planted() -> Site {
    let site = Site::new().await;
    let tree = site.open().await;
    for key in ["eu", "eu/users", "us"] {
        site.create(&tree, key).await.unwrap();
    }
    site.rotate(&tree, "eu").await.unwrap();
    site
}

async fn refused_after(site: &Site, statement: &str) -> OpenError {
    let database = rusqlite::Connection::open(site.store_path()).unwrap();
    let changed = database.execute(statement, []).unwrap();
    assert!(changed > 0, "{statement} changed nothing");
    drop(database);
    site.open_with(|_| ()).await.map(drop).expect_err(statement)
}

#[tokio::test]
async fn a_record_removed_is_noticed() {
    let site = planted().await;
    let error =
        refused_after(&site, "DELETE FROM record WHERE id = (SELECT max(id) FROM record)").await;
    assert!(matches!(error, OpenError::Tampered { .. }), "{error}");
}

#[tokio::test]
async fn a_record_altered_or_given_another_mac_is_noticed() {
    for statement in [
        "UPDATE record SET mac = randomblob(32)",
        "UPDATE record SET body = CAST(replace(CAST(body AS TEXT), 'enabled', 'primary') AS BLOB)
         WHERE CAST(body AS TEXT) LIKE '%enabled%'",
        "UPDATE record SET epoch = epoch + 1",
        "UPDATE head SET generation = generation + 1",
        "UPDATE head SET mac = randomblob(32)",
        "UPDATE document SET bytes = CAST(replace(CAST(bytes AS TEXT), '\"mac\":\"', '\"mac\":\"00')
         AS BLOB) WHERE name = 'root'",
    ] {
        let site = planted().await;
        let error = refused_after(&site, statement).await;
        assert!(matches!(error, OpenError::Tampered { .. }), "{statement}: {error}");
    }
}

#[tokio::test]
async fn one_record_rolled_back_by_itself_is_noticed() {
    let site = Site::new().await;
    let tree = site.open().await;
    site.create(&tree, "eu").await.unwrap();
    drop(tree);
    let database = rusqlite::Connection::open(site.store_path()).unwrap();
    database.execute_batch("CREATE TABLE old AS SELECT * FROM record").unwrap();
    drop(database);
    let tree = site.open().await;
    site.rotate(&tree, "eu").await.unwrap();
    drop(tree);
    let error = refused_after(&site, "REPLACE INTO record SELECT * FROM old").await;
    assert!(matches!(error, OpenError::Tampered { .. }), "{error}");
}

#[tokio::test]
async fn the_store_of_another_site_is_refused() {
    // One process has one token open at a time, so the first is given back.
    let Site { token, directory, .. } = planted().await;
    drop(token);
    let other = Site::new().await;
    std::fs::copy(directory.path().join("keys.db"), other.store_path()).unwrap();
    let error = other.open_with(|_| ()).await.unwrap_err();
    assert!(matches!(error, OpenError::Token(_) | OpenError::WrongRoot { .. }), "{error}");
}

#[tokio::test]
async fn no_plain_key_is_in_the_store() {
    let site = planted().await;
    let tree = site.open().await;
    let (plain, _) = site.data_key(&tree, "eu/users").await;
    drop(tree);
    let bytes = std::fs::read(site.store_path()).unwrap();
    // The path is there, in the clear: the search finds what is there.
    assert!(contains(&bytes, b"eu/users"));
    #[expect(clippy::disallowed_methods, reason = "searches the store for the key")]
    plain.with_bytes(|key| {
        for window in key.windows(8) {
            assert!(!contains(&bytes, window));
        }
    });
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}
