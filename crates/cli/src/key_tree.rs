//! The tree of keys, drawn.
//!
//! A key stands below the nearest key above it that the caller may see; when there is none it stands at
//! the left with its whole path, so nothing visible is left out.

use claviger_kms::{KeyMetadata, KeyPath};

use crate::reply::table;

/// The keys, sorted by path, as a tree with one line each.
pub(crate) fn draw(keys: &[KeyMetadata]) -> String {
    let mut keys: Vec<&KeyMetadata> = keys.iter().collect();
    // By segments: with '-' before '/' in ASCII, plain order would put eu-west between eu and eu/pay.
    keys.sort_by(|a, b| a.key.segments().cmp(b.key.segments()));
    let mut rows = Vec::with_capacity(keys.len());
    let mut branches: Vec<Branch<'_>> = Vec::new();
    for (place, key) in keys.iter().enumerate() {
        branches.retain(|branch| key.key.is_at_or_under(branch.key));
        let above = branches.last().map(|branch| branch.key);
        let rest = keys.get(place + 1..).unwrap_or_default();
        let more = has_further_child(rest, above, &key.key);
        rows.push(row(&branches, more, key));
        branches.push(Branch { key: &key.key, more });
    }
    table(&rows)
}

/// A key on the way from the left to the line being drawn.
struct Branch<'a> {
    key: &'a KeyPath,
    /// Whether another key of the same parent follows further down.
    more: bool,
}

/// Whether `rest`, which follows `key`, holds another key directly below `above`.
fn has_further_child(rest: &[&KeyMetadata], above: Option<&KeyPath>, key: &KeyPath) -> bool {
    let Some(above) = above else { return false };
    rest.iter()
        .take_while(|next| next.key.is_at_or_under(above))
        .any(|next| !next.key.is_at_or_under(key))
}

fn row(branches: &[Branch<'_>], more: bool, key: &KeyMetadata) -> [String; 4] {
    let path = key.key.as_str();
    let name = match branches.last() {
        None => path.to_owned(),
        Some(above) => {
            let stems: String = branches
                .iter()
                .skip(1)
                .map(|branch| if branch.more { "│   " } else { "    " })
                .collect();
            let short = path.strip_prefix(above.key.as_str()).unwrap_or(path);
            let fork = if more { "├── " } else { "└── " };
            format!("{stems}{fork}{}", short.trim_start_matches('/'))
        }
    };
    let primary = key.primary.map_or("no primary".to_owned(), |v| format!("primary {v}"));
    let versions = match key.versions.len() {
        1 => "1 version".to_owned(),
        count => format!("{count} versions"),
    };
    [name, primary, key.state.to_string(), versions]
}

#[cfg(test)]
mod tests {
    use claviger_kms::{CreateVersion, KeyManagementService as _, ListKeys};
    use claviger_testkit::MemoryKms;

    use super::*;

    async fn keys(paths: &[&str]) -> Vec<KeyMetadata> {
        let service = MemoryKms::with_keys(paths).unwrap();
        let key = paths[0].parse().unwrap();
        service.rotate(CreateVersion { key, idempotency_key: None }).await.unwrap();
        service.list_keys(ListKeys::default()).await.unwrap().keys
    }

    #[tokio::test]
    async fn every_key_hangs_below_the_one_above_it() {
        let keys =
            keys(&["eu/pay", "eu/pay/cards", "eu/pay/loans/eu", "eu/users/mail", "eu-west/a"]);
        let drawn = draw(&keys.await);
        let expected = "\
eu              primary 1  active  1 version
├── pay         primary 2  active  2 versions
│   ├── cards   primary 1  active  1 version
│   └── loans   primary 1  active  1 version
│       └── eu  primary 1  active  1 version
└── users       primary 1  active  1 version
    └── mail    primary 1  active  1 version
eu-west         primary 1  active  1 version
└── a           primary 1  active  1 version
";
        assert_eq!(drawn, expected);
    }

    #[tokio::test]
    async fn a_key_whose_parents_are_hidden_is_shown_with_its_whole_path() {
        let mut keys = keys(&["eu/pay/cards/visa", "eu/users"]).await;
        keys.retain(|key| !["eu", "eu/pay", "eu/pay/cards"].contains(&key.key.as_str()));
        let drawn = draw(&keys);
        let names: Vec<_> = drawn.lines().map(|line| line.split("  ").next().unwrap()).collect();
        assert_eq!(names, ["eu/pay/cards/visa", "eu/users"]);

        let mut gap = self::keys(&["eu/pay/cards"]).await;
        gap.retain(|key| key.key.as_str() != "eu/pay");
        assert!(draw(&gap).contains("└── pay/cards"));
    }

    #[test]
    fn nothing_draws_nothing() {
        assert_eq!(draw(&[]), "");
    }
}
