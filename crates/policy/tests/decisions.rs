//! What policies decide, alone and against a second evaluator written for clarity only.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use claviger_kms::{Action, EncryptionContext, KeyPath, KmsError, Principal, Timestamp};
use claviger_policy::{Decision, Policy, Question, action};
use proptest::prelude::*;

mod naive {
    //! The second evaluator: from the rules as values, by recursion, with no thought of speed.

    use super::{Action, KeyPath, Principal};

    #[derive(Debug, Clone)]
    pub(crate) struct Rule {
        pub(crate) name: String,
        pub(crate) deny: bool,
        pub(crate) principals: Vec<String>,
        pub(crate) actions: Vec<String>,
        pub(crate) keys: Vec<String>,
    }

    impl Rule {
        pub(crate) fn toml(&self) -> String {
            let effect = if self.deny { "deny" } else { "allow" };
            format!(
                "[[rule]]\nname = {:?}\neffect = {effect:?}\nprincipals = {:?}\nactions = {:?}\nkeys = {:?}\n",
                self.name, self.principals, self.actions, self.keys
            )
        }
    }

    /// Whether it is allowed, and the rule.
    pub(crate) fn decide(
        rules: &[Rule],
        action: Action,
        principal: &Principal,
        key: &KeyPath,
    ) -> (bool, Option<String>) {
        let key: Vec<&str> = key.as_str().split('/').collect();
        let mut denying = Vec::new();
        let mut allowing = Vec::new();
        for rule in rules {
            let right_action = rule.actions.iter().any(|a| a == "*" || a == action.as_str());
            let right_principal = rule
                .principals
                .iter()
                .any(|glob| text(glob.as_bytes(), principal.as_str().as_bytes()));
            let right_key =
                rule.keys.iter().any(|glob| path(&glob.split('/').collect::<Vec<_>>(), &key));
            if right_action && right_principal && right_key {
                if rule.deny { &mut denying } else { &mut allowing }.push(rule.name.clone());
            }
        }
        match (denying.into_iter().min(), allowing.into_iter().min()) {
            (Some(rule), _) => (false, Some(rule)),
            (None, Some(rule)) => (true, Some(rule)),
            (None, None) => (false, None),
        }
    }

    fn path(glob: &[&str], key: &[&str]) -> bool {
        match (glob, key) {
            ([], []) => true,
            (["**", rest @ ..], _) => path(rest, key) || (!key.is_empty() && path(glob, &key[1..])),
            ([first, glob @ ..], [segment, key @ ..]) => {
                text(first.as_bytes(), segment.as_bytes()) && path(glob, key)
            }
            _ => false,
        }
    }

    fn text(glob: &[u8], letters: &[u8]) -> bool {
        match (glob, letters) {
            ([], []) => true,
            ([b'*', b'*', rest @ ..], _) => {
                text(rest, letters) || (!letters.is_empty() && text(glob, &letters[1..]))
            }
            ([b'*', rest @ ..], _) => {
                text(rest, letters)
                    || (!letters.is_empty() && letters[0] != b'/' && text(glob, &letters[1..]))
            }
            ([a, glob @ ..], [b, letters @ ..]) => a == b && text(glob, letters),
            _ => false,
        }
    }
}

fn decide(policy: &Policy, action: Action, principal: &Principal, key: &KeyPath) -> Decision {
    let context = EncryptionContext::new();
    policy.decide(action, &Question { principal, key, context: &context, at: Timestamp::MIN })
}

/// Few letters and short words, so that globs and what they are asked about meet often.
fn key_glob() -> impl Strategy<Value = String> {
    let segment = prop_oneof![
        3 => "[ab]{1,3}",
        2 => "[ab*][ab](\\*[ab])?\\*?",
        1 => Just("*".to_owned()),
        2 => Just("**".to_owned()),
    ];
    prop::collection::vec(segment, 1..5)
        .prop_map(|segments| segments.join("/"))
        .prop_filter("two ** in a row are refused", |glob| !glob.contains("**/**"))
}

fn principal_glob() -> impl Strategy<Value = String> {
    let piece =
        prop_oneof![4 => "[ab/]{1,2}", 1 => Just("*".to_owned()), 1 => Just("**".to_owned())];
    let rest = prop::collection::vec(piece, 1..5).prop_map(|pieces| pieces.concat());
    ("(local:|spiffe://)", rest)
        .prop_map(|(namespace, rest)| namespace + &rest)
        .prop_filter("three * in a row are refused", |glob| !glob.contains("***"))
}

fn distinct<S: Strategy<Value = String>>(one: S) -> impl Strategy<Value = Vec<String>> {
    prop::collection::btree_set(one, 1..3).prop_map(|set| set.into_iter().collect())
}

fn rules() -> impl Strategy<Value = Vec<naive::Rule>> {
    let actions = prop_oneof![
        1 => Just(vec!["*".to_owned()]),
        3 => distinct("(encrypt|decrypt|data-key)"),
    ];
    let body = (any::<bool>(), distinct(principal_glob()), actions, distinct(key_glob()));
    prop::collection::btree_map("[a-c][0-9-]{0,2}", body, 0..6).prop_map(|rules| {
        rules
            .into_iter()
            .map(|(name, (deny, principals, actions, keys))| naive::Rule {
                name,
                deny,
                principals,
                actions,
                keys,
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_second_evaluator_agrees_in_any_order_of_rules(
        (rules, shuffled) in rules().prop_flat_map(|rules| (Just(rules.clone()), Just(rules).prop_shuffle())),
        questions in prop::collection::vec(
            (
                prop::sample::select(&Action::ALL[..4]),
                "(local:|spiffe://)[ab/]{1,4}",
                prop::collection::vec("[ab]{1,3}", 1..5),
            ),
            1..12,
        ),
    ) {
        let toml = |rules: &[naive::Rule]| rules.iter().map(naive::Rule::toml).collect::<String>();
        let policy = Policy::parse(&toml(&rules)).unwrap();
        let other_order = Policy::parse(&toml(&shuffled)).unwrap();
        for (action, principal, key) in questions {
            let principal = principal.parse().unwrap();
            let key = key.join("/").parse().unwrap();
            let decision = decide(&policy, action, &principal, &key);
            let found = (decision.is_allowed(), decision.rule().map(ToString::to_string));
            prop_assert_eq!(found, naive::decide(&rules, action, &principal, &key));
            prop_assert_eq!(decision, decide(&other_order, action, &principal, &key));
        }
    }
}

const SEAL: &str = r#"
[[rule]]
name = "b-seal"
principals = ["local:seller"]
actions = ["encrypt"]
keys = ["eu/**"]
"#;
const STOP: &str = r#"
[[rule]]
name = "z-stop"
effect = "deny"
principals = ["local:**"]
actions = ["*"]
keys = ["eu/frozen/**"]
"#;

fn ask(policy: &str, action: Action, principal: &str, key: &str) -> (bool, Option<String>) {
    let policy = Policy::parse(policy).unwrap();
    let decision = decide(&policy, action, &principal.parse().unwrap(), &key.parse().unwrap());
    (decision.is_allowed(), decision.rule().map(ToString::to_string))
}

#[test]
fn what_no_rule_allows_is_denied() {
    for (text, action, principal, key) in [
        ("", Action::Encrypt, "local:seller", "eu/a"),
        (SEAL, Action::Decrypt, "local:seller", "eu/a"),
        (SEAL, Action::DataKey, "local:seller", "eu/a"),
        (SEAL, Action::Encrypt, "local:seller2", "eu/a"),
        (SEAL, Action::Encrypt, "spiffe://seller", "eu/a"),
        (SEAL, Action::Encrypt, "local:seller", "eu2/a"),
        (SEAL, Action::Encrypt, "local:seller", "us/eu/a"),
    ] {
        assert_eq!(ask(text, action, principal, key), (false, None));
    }
    assert_eq!(
        ask(SEAL, Action::Encrypt, "local:seller", "eu/a"),
        (true, Some("b-seal".to_owned()))
    );
}

#[test]
fn deny_beats_allow_whatever_the_order() {
    for text in [format!("{SEAL}{STOP}"), format!("{STOP}{SEAL}")] {
        let frozen = ask(&text, Action::Encrypt, "local:seller", "eu/frozen/a");
        assert_eq!(frozen, (false, Some("z-stop".to_owned())));
        assert!(ask(&text, Action::Encrypt, "local:seller", "eu/a").0);
    }
}

#[test]
fn the_smallest_name_among_the_deciding_rules_is_given() {
    let more = SEAL.replace("b-seal", "a-seal") + SEAL + &SEAL.replace("b-seal", "c-seal");
    assert_eq!(ask(&more, Action::Encrypt, "local:seller", "eu/a").1.unwrap(), "a-seal");
    let stops = more + STOP + &STOP.replace("z-stop", "y-stop");
    assert_eq!(ask(&stops, Action::Encrypt, "local:seller", "eu/frozen").1.unwrap(), "y-stop");
}

#[test]
fn one_may_seal_and_another_open() {
    let open = SEAL.replace("seller", "buyer").replace("encrypt", "decrypt");
    let text = SEAL.to_owned() + &open.replace("b-seal", "a-open");
    assert!(ask(&text, Action::Encrypt, "local:seller", "eu/a").0);
    assert!(ask(&text, Action::Decrypt, "local:buyer", "eu/a").0);
    assert!(!ask(&text, Action::Decrypt, "local:seller", "eu/a").0);
    assert!(!ask(&text, Action::Encrypt, "local:buyer", "eu/a").0);
}

#[test]
fn a_permit_says_for_whom_which_key_and_by_which_rule() {
    let policy = Policy::parse(&format!("{SEAL}{STOP}")).unwrap();
    let context = EncryptionContext::new();
    let (principal, key) = ("local:seller".parse().unwrap(), "eu/a".parse().unwrap());
    let question =
        Question { principal: &principal, key: &key, context: &context, at: Timestamp::MIN };
    let permit = policy.permit::<action::Encrypt>(&question).unwrap();
    assert_eq!((permit.principal(), permit.key()), (&principal, &key));
    assert_eq!((permit.action(), permit.rule().as_str()), (Action::Encrypt, "b-seal"));

    let denial = policy.permit::<action::Decrypt>(&question).unwrap_err();
    assert_eq!(denial.to_string(), "decrypt is denied: no rule allows it");
    let frozen = "eu/frozen".parse().unwrap();
    let denial =
        policy.permit::<action::Encrypt>(&Question { key: &frozen, ..question }).unwrap_err();
    assert_eq!(denial.to_string(), "encrypt is denied by rule z-stop");
    assert_eq!(denial.rule().unwrap().as_str(), "z-stop");
    assert_eq!(KmsError::from(denial), KmsError::Denied);
}

#[test]
fn the_service_as_a_whole_is_for_who_may_do_it_with_every_key() {
    let rule = |name: &str, effect: &str, keys: &str| {
        format!(
            "[[rule]]\nname = \"{name}\"\neffect = \"{effect}\"\nprincipals = [\"local:a\"]\n\
             actions = [\"policy\"]\nkeys = [\"{keys}\"]\n"
        )
    };
    let permit = |text: &str, who: &str| {
        let policy = Policy::parse(text).unwrap();
        let permit = policy.permit_service::<action::Policy>(&who.parse().unwrap());
        permit.map(|permit| permit.rule().to_string()).map_err(|denial| {
            assert_eq!(denial.action(), Action::Policy);
            denial.rule().map(ToString::to_string)
        })
    };
    let all = rule("all", "allow", "**");
    assert_eq!(permit(&all, "local:b"), Err(None));
    assert_eq!(permit(&rule("some", "allow", "eu/**"), "local:a"), Err(None));
    let but = format!("{all}{}", rule("but-not", "deny", "eu"));
    assert_eq!(permit(&but, "local:a"), Err(Some("but-not".to_owned())));
    assert_eq!(permit(&all, "local:a"), Ok("all".to_owned()));
    let both = format!("{}{all}", rule("a-part", "allow", "eu"));
    assert_eq!(permit(&both, "local:a"), Ok("all".to_owned()));
}
