//! What is not a policy, and where the error says it stands.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use claviger_policy::{Policy, PolicyError};

fn rule(changed: &str) -> String {
    let mut lines = vec![
        r#"name = "a""#.to_owned(),
        r#"principals = ["uds:uid=1"]"#.to_owned(),
        r#"actions = ["encrypt"]"#.to_owned(),
        r#"keys = ["a/**"]"#.to_owned(),
    ];
    let key = changed.split(' ').next().unwrap();
    lines.retain(|line| line.split(' ').next() != Some(key));
    lines.push(changed.to_owned());
    format!("[[rule]]\n{}\n", lines.join("\n"))
}

fn refused(text: &str) -> String {
    match Policy::parse(text) {
        Ok(_) => panic!("taken as a policy:\n{text}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn takes_the_rule_the_refusals_are_made_from() {
    Policy::parse(&rule(r#"effect = "deny""#)).unwrap();
}

#[test]
fn a_text_without_a_rule_is_a_policy() {
    for text in ["", "# nothing yet\n", "rule = []\n"] {
        Policy::parse(text).unwrap();
    }
}

#[test]
fn names_unknown_keys_words_and_wrong_types_with_line_and_key() {
    for (changed, place, named) in [
        (r#"principal = ["uds:uid=1"]"#, "line 6, column 1", "principal"),
        (r#"hours = "8-18""#, "line 6, column 1", "hours"),
        (r#"effect = "permit""#, "line 6, column 10", "permit"),
        (r#"effect = "Allow""#, "line 6, column 10", "effect"),
        (r#"name = 7"#, "line 5, column 8", "name"),
        (r#"keys = "a/**""#, "line 5, column 8", "keys"),
        (r#"keys = [1]"#, "line 5, column 9", "keys"),
        (r#"actions = ["encrypt", "seal"]"#, "line 5, column 23", "seal"),
        (r#"actions = ["Encrypt"]"#, "line 5, column 12", "actions are encrypt, decrypt"),
        (r#"actions = ["encrypt "]"#, "line 5, column 12", "actions"),
        (r#"actions = ["en*"]"#, "line 5, column 12", "actions"),
        (r#"actions = [""]"#, "line 5, column 12", "actions"),
        (r#"keys = ["a", "a/../b"]"#, "line 5, column 14", "keys"),
        (r#"keys = ["A"]"#, "line 5, column 9", "keys"),
        (r#"principals = ["*"]"#, "line 5, column 15", "principals"),
        (r#"principals = ["root"]"#, "line 5, column 15", "principals"),
        (r#"name = "Payments""#, "line 5, column 8", "name"),
        (r#"name = """#, "line 5, column 8", "name"),
    ] {
        let message = refused(&rule(changed));
        assert!(message.contains(place), "{changed}: {message}");
        assert!(message.contains(named), "{changed}: {message}");
    }
}

#[test]
fn refuses_empty_lists_and_says_which() {
    for key in ["principals", "actions", "keys"] {
        let message = refused(&rule(&format!("{key} = []")));
        assert!(message.contains(key) && message.contains("line 5"), "{message}");
        assert!(message.contains("empty"), "{message}");
    }
}

#[test]
fn refuses_rules_with_a_key_missing() {
    let whole = rule(r#"effect = "allow""#);
    for key in ["name", "principals", "actions", "keys"] {
        let without: Vec<&str> = whole.lines().filter(|line| !line.starts_with(key)).collect();
        let message = refused(&without.join("\n"));
        assert!(message.contains(key), "{message}");
        assert!(message.contains("line 1"), "{message}");
    }
}

#[test]
fn refuses_what_is_said_twice() {
    for changed in [
        r#"principals = ["uds:uid=1", "uds:uid=2", "uds:uid=1"]"#,
        r#"actions = ["encrypt", "encrypt"]"#,
        r#"actions = ["*", "encrypt"]"#,
        r#"actions = ["encrypt", "*"]"#,
        r#"actions = ["*", "*"]"#,
        r#"keys = ["a/**", "a/**"]"#,
    ] {
        let message = refused(&rule(changed));
        assert!(message.contains("line 5"), "{changed}: {message}");
    }
    let twice = rule(r#"effect = "allow""#) + "effect = \"deny\"\n";
    assert!(refused(&twice).contains("line 7"));
}

#[test]
fn refuses_two_rules_of_one_name_and_gives_both_places() {
    let text = rule(r#"effect = "allow""#) + &rule(r#"effect = "deny""#);
    let message = refused(&text);
    assert!(message.contains("line 8, column 8"), "{message}");
    assert!(message.contains("line 2, column 8"), "{message}");
}

#[test]
fn refuses_what_is_not_toml_or_stands_beside_the_rules() {
    for (text, place) in [
        ("[[rule]\n", "line 1"),
        ("rule = 1\n", "line 1, column 8"),
        ("[rule]\nname = \"a\"\n", "line 1"),
        ("\n[[rules]]\n", "line 2, column 3"),
        ("version = 1\n", "line 1, column 1"),
        ("\u{0}", "line 1"),
        ("[[rule]]\nname = \"a\n", "line 2"),
    ] {
        let message = refused(text);
        assert!(message.contains(place), "{text:?}: {message}");
        assert!(!message.contains('\n'), "{message}");
    }
}

#[test]
fn refuses_more_than_its_limits() {
    let one = |index: usize| {
        format!("[[rule]]\nname='{index}'\nprincipals=['local:a']\nactions=['sign']\nkeys=['a']\n")
    };
    let most: String = (0..Policy::MAX_RULES).map(one).collect();
    Policy::parse(&most).unwrap();
    let more = most + &one(Policy::MAX_RULES);
    assert!(matches!(Policy::parse(&more), Err(PolicyError::TooLarge { .. })));
    let long = "#".repeat(Policy::MAX_TEXT + 1);
    assert!(matches!(Policy::parse(&long), Err(PolicyError::TooLarge { .. })));
}

#[test]
fn deep_nesting_is_an_error_and_not_a_crash() {
    refused(&format!("rule = {}{}", "[".repeat(200_000), "]".repeat(200_000)));
    refused(&format!("rule = {}", "{a=".repeat(200_000)));
}

#[test]
fn the_hash_is_of_the_exact_text() {
    let empty = Policy::parse("").unwrap();
    // SHA-256 of nothing (FIPS 180-4).
    assert_eq!(empty.hash(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_ne!(Policy::parse("# a").unwrap().hash(), Policy::parse("# a\n").unwrap().hash());
}
