//! Which crate may use which: the table below, held against `cargo metadata`.
//!
//! Dev-dependencies are exempt between our own crates: tests go wherever they need to. What stands under one crate
//! only (the PKCS#11 binding, the ciphers) does so for every kind of dependency.

#![expect(clippy::unwrap_used, reason = "a test")]

use cargo_metadata::{DependencyKind, MetadataCommand};

/// A crate of ours, without the prefix, and those it may use; `ANY` for what only tests use.
const MAY_USE: &[(&str, &[&str])] = &[
    ("kms", &[]),
    ("cobblestone", &["kms"]),
    ("root-key", &["kms"]),
    ("keystore", &["kms"]),
    ("policy", &["kms"]),
    ("audit", &["kms"]),
    ("hierarchy", &["kms", "cobblestone", "root-key", "keystore", "policy"]),
    ("operations", &["kms", "keystore", "policy", "hierarchy", "audit"]),
    ("envelope", &["kms", "cobblestone"]),
    ("rewrap", &["kms", "envelope"]),
    ("client", &["kms"]),
    ("api", &["kms", "operations"]),
    (
        "service",
        &[
            "kms",
            "cobblestone",
            "root-key",
            "keystore",
            "policy",
            "audit",
            "hierarchy",
            "operations",
            "envelope",
            "client",
            "api",
        ],
    ),
    ("cli", &["kms", "envelope", "rewrap", "client", "policy", "audit"]),
    ("testkit", ANY),
    ("tests", ANY),
];

const ANY: &[&str] = &["*"];

/// Crates only tests use: nobody may need them to be built.
const FOR_TESTS: &[&str] = &["testkit", "tests"];

/// Crates of others that stand directly under one of ours.
const ONLY_UNDER: &[(&str, &str)] = &[
    ("cryptoki", "root-key"),
    ("cryptoki-sys", "root-key"),
    ("aes-gcm", "cobblestone"),
    ("aws-lc-rs", "cobblestone"),
    ("aead", "cobblestone"),
    ("aes", "cobblestone"),
    ("aes-gcm-siv", "cobblestone"),
    ("chacha20poly1305", "cobblestone"),
    ("ring", "cobblestone"),
];

#[derive(Debug, Clone)]
struct Edge {
    from: String,
    to: String,
    kind: DependencyKind,
}

#[test]
fn crates_use_only_what_the_table_allows() {
    let (crates, edges) = workspace();
    let wrong = against_the_table(&crates, &edges);
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn token_binding_and_ciphers_stand_under_one_crate_each() {
    let (_, edges) = workspace();
    let wrong = out_of_place(&edges);
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    // Under another name they would pass unseen.
    for (name, home) in
        [("cryptoki", "root-key"), ("aes-gcm", "cobblestone"), ("aws-lc-rs", "cobblestone")]
    {
        let found = edges.iter().any(|edge| edge.to == name && edge.from == ours(home));
        assert!(found, "{name} is no longer a dependency of {home}: correct this test");
    }
}

#[test]
fn every_crate_of_the_table_exists() {
    let (crates, _) = workspace();
    for (name, _) in MAY_USE {
        assert!(
            crates.contains(&ours(name)),
            "the table names {name}, which is not in the workspace"
        );
    }
}

#[test]
fn a_planted_dependency_is_found() {
    let (crates, edges) = workspace();
    let plant = |from: &str, to: &str, kind| {
        let mut edges = edges.clone();
        edges.push(Edge { from: ours(from), to: to.to_owned(), kind });
        edges
    };
    for (from, to, kind) in [
        ("api", ours("hierarchy"), DependencyKind::Normal),
        ("kms", ours("policy"), DependencyKind::Build),
        ("cli", ours("root-key"), DependencyKind::Normal),
        ("service", ours("cli"), DependencyKind::Normal),
        ("service", ours("testkit"), DependencyKind::Normal),
    ] {
        assert_eq!(against_the_table(&crates, &plant(from, &to, kind)).len(), 1, "{from} -> {to}");
    }
    let for_tests = plant("kms", &ours("testkit"), DependencyKind::Development);
    assert!(against_the_table(&crates, &for_tests).is_empty());
    let mut more = crates.clone();
    more.push(ours("newcomer"));
    assert_eq!(against_the_table(&more, &edges).len(), 1);

    for kind in [DependencyKind::Normal, DependencyKind::Development, DependencyKind::Build] {
        assert_eq!(out_of_place(&plant("service", "cryptoki", kind)).len(), 1);
        assert_eq!(out_of_place(&plant("envelope", "aes-gcm", kind)).len(), 1);
    }
}

/// What the table does not allow, a line each.
fn against_the_table(crates: &[String], edges: &[Edge]) -> Vec<String> {
    let row = |name: &str| MAY_USE.iter().find(|(from, _)| ours(from) == name);
    let mut wrong: Vec<String> = crates
        .iter()
        .filter(|name| row(name).is_none())
        .map(|name| format!("{name} is not in the table: decide what it may use"))
        .collect();
    for edge in edges.iter().filter(|edge| edge.kind != DependencyKind::Development) {
        let (Some((from, allowed)), true) = (row(&edge.from), crates.contains(&edge.to)) else {
            continue;
        };
        let for_tests = FOR_TESTS.iter().any(|name| ours(name) == edge.to);
        let listed = allowed.iter().any(|name| ours(name) == edge.to);
        let any = *allowed == ANY && (!for_tests || FOR_TESTS.contains(from));
        if !listed && !any {
            wrong.push(format!("{} may not use {} ({} dependency)", edge.from, edge.to, edge.kind));
        }
    }
    wrong
}

/// Dependencies that stand under another crate than their own, a line each.
fn out_of_place(edges: &[Edge]) -> Vec<String> {
    edges
        .iter()
        .filter_map(|edge| {
            let (_, home) = ONLY_UNDER.iter().find(|(name, _)| *name == edge.to)?;
            (edge.from != ours(home)).then(|| {
                format!("{} depends on {}, which stands under {home} only", edge.from, edge.to)
            })
        })
        .collect()
}

/// The names of our packages, and every dependency they name, optional ones too.
fn workspace() -> (Vec<String>, Vec<Edge>) {
    let metadata = MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .no_deps()
        .exec()
        .unwrap();
    let crates = metadata.packages.iter().map(|package| package.name.to_string()).collect();
    let edges = metadata.packages.iter().flat_map(|package| {
        package.dependencies.iter().map(|dependency| Edge {
            from: package.name.to_string(),
            to: dependency.name.clone(),
            kind: dependency.kind,
        })
    });
    (crates, edges.collect())
}

fn ours(name: &str) -> String {
    format!("claviger-{name}")
}
