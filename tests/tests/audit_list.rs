//! The modules that may look at a secret are those that `crates/kms/README.md` lists, and no others.
//!
//! Looking is banned by clippy's `disallowed-methods`; a module that may do it lifts the ban. Modules under `src` of
//! every crate count, tests beside the crates and examples do not.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const BAN: &str = "clippy::disallowed_methods";

#[test]
fn the_audit_list_names_every_module_that_lifts_the_ban() {
    let root = workspace_root();
    let listed = listed(&fs::read_to_string(root.join("crates/kms/README.md")).unwrap());
    let lifting = lifting(&root);
    assert!(lifting.len() > 1, "no module was found: correct this test");

    let unlisted: Vec<_> = lifting.difference(&listed).collect();
    let idle: Vec<_> = listed.difference(&lifting).collect();
    assert!(
        unlisted.is_empty() && idle.is_empty(),
        "\nthe audit list of crates/kms/README.md is not what the code does\n\
         modules that lift the ban and are not listed:\n{}\
         listed, but they do not lift the ban (or are not there):\n{}",
        lines(&unlisted),
        lines(&idle)
    );
}

#[test]
fn the_ban_stands_in_the_lint_configuration() {
    let root = workspace_root();
    let clippy = fs::read_to_string(root.join("clippy.toml")).unwrap();
    for accessor in ["claviger_kms::SecretKey::with_bytes", "claviger_kms::SecretBytes::with_bytes"]
    {
        assert!(clippy.contains(&format!("path = \"{accessor}\"")), "{accessor} is not banned");
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    assert!(manifest.contains("disallowed_methods = "), "the workspace does not ask for the lint");
}

#[test]
fn a_comment_lifts_nothing_and_an_attribute_over_several_lines_does() {
    assert!(!lifts_the_ban(
        "//! See `clippy::disallowed_methods`.\n    // clippy::disallowed_methods\n"
    ));
    assert!(lifts_the_ban("#![expect(\n    clippy::disallowed_methods,\n    reason = \"\"\n)]\n"));
    assert!(lifts_the_ban("    #[allow(clippy::disallowed_methods)] // why\n"));
    let list = "- `crates/no/src/a.rs`: above\n## The audit list\n- `crates/x/src/b.rs`: why\n## Else\n- `c`: d\n";
    assert_eq!(listed(list), BTreeSet::from(["crates/x/src/b.rs".to_owned()]));
}

/// The paths in the section "The audit list".
fn listed(readme: &str) -> BTreeSet<String> {
    let section = readme.lines().skip_while(|line| *line != "## The audit list").skip(1);
    section
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| line.strip_prefix("- `")?.split('`').next().map(str::to_owned))
        .collect()
}

/// The modules under `crates/*/src` that lift the ban, as paths from the workspace's root.
fn lifting(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(root.join("crates")).unwrap() {
        let mut folders = vec![entry.unwrap().path().join("src")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs")
                    && lifts_the_ban(&fs::read_to_string(&path).unwrap())
                {
                    found.insert(path.strip_prefix(root).unwrap().display().to_string());
                }
            }
        }
    }
    found
}

fn lifts_the_ban(source: &str) -> bool {
    source.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(BAN))
}

fn lines(paths: &[&String]) -> String {
    paths.iter().map(|path| format!("- `{path}`\n")).collect()
}

fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
