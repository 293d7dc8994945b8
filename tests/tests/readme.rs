//! The front page says only what is there: each guarantee names a test that exists, each link leads to a file.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::{
    fs,
    path::{Path, PathBuf},
};

#[test]
fn every_guarantee_names_a_test_that_exists() {
    let root = workspace_root();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let sources: String =
        ["crates", "tests/tests"].iter().map(|at| rust_below(&root.join(at))).collect();

    let section = readme.lines().skip_while(|line| *line != "## What it guarantees").skip(1);
    let rows: Vec<&str> = section
        .take_while(|line| !line.starts_with("## "))
        .filter(|line| line.starts_with("| ") && !line.starts_with("| guarantee "))
        .collect();
    assert!(rows.len() > 5, "the table of guarantees was not found: correct this test");
    for row in rows {
        let proof = row.trim_end_matches([' ', '|']).rsplit(" | ").next().unwrap();
        let names: Vec<&str> = proof.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test is named: {row}");
        for name in names {
            let there = if name.contains('/') {
                root.join(name).is_file()
            } else {
                sources.contains(&format!("fn {name}("))
            };
            assert!(there, "{name} does not exist: {row}");
        }
    }
}

#[test]
fn every_link_of_the_front_pages_leads_to_a_file() {
    let root = workspace_root();
    for page in ["README.md", "CHANGELOG.md", "docs/README.md"] {
        let text = fs::read_to_string(root.join(page)).unwrap();
        let folder = root.join(page).parent().unwrap().to_owned();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap();
            if !target.contains("://") {
                assert!(folder.join(path).exists(), "{page} links to {target}, which is not there");
            }
        }
    }
}

/// All Rust source below a folder.
fn rust_below(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text.push_str(&rust_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
    text
}

fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
