//! The TOML of a policy, checked in full: what is not understood is an error with its place.

use std::collections::{BTreeMap, BTreeSet};

use claviger_kms::Action;
use serde::Deserialize;
use toml::Spanned;

use crate::{
    Place, Policy, PolicyError, RuleName,
    key_glob::KeyGlob,
    principal_glob::PrincipalGlob,
    rule::{Effect, Rule},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyText {
    #[serde(default)]
    rule: Vec<RuleText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    name: Spanned<String>,
    #[serde(default)]
    effect: Effect,
    principals: Spanned<Vec<Spanned<String>>>,
    actions: Spanned<Vec<Spanned<String>>>,
    keys: Spanned<Vec<Spanned<String>>>,
}

/// The rules of a text, as they stand in it.
pub(crate) fn parse(text: &str) -> Result<Vec<Rule>, PolicyError> {
    if text.len() > Policy::MAX_TEXT {
        let reason = format!("has {} bytes; at most {} are allowed", text.len(), Policy::MAX_TEXT);
        return Err(PolicyError::TooLarge { reason });
    }
    let policy: PolicyText = toml::from_str(text).map_err(|error| malformed(text, error))?;
    if policy.rule.len() > Policy::MAX_RULES {
        let (count, most) = (policy.rule.len(), Policy::MAX_RULES);
        let reason = format!("has {count} rules; at most {most} are allowed");
        return Err(PolicyError::TooLarge { reason });
    }
    let mut names = BTreeMap::new();
    let mut rules = Vec::with_capacity(policy.rule.len());
    for rule in policy.rule {
        let name_at = rule.name.span().start;
        let rule = RuleReader { text, rule: rule.name.get_ref().clone(), name_at }.read(rule)?;
        if let Some(first) = names.insert(rule.name.clone(), name_at) {
            return Err(PolicyError::BadRule {
                place: Place::of_offset(text, name_at),
                rule: rule.name.to_string(),
                key: "name",
                reason: format!("another rule has this name, {}", Place::of_offset(text, first)),
            });
        }
        rules.push(rule);
    }
    Ok(rules)
}

/// What every error of one rule says.
struct RuleReader<'a> {
    text: &'a str,
    rule: String,
    name_at: usize,
}

impl RuleReader<'_> {
    fn read(&self, rule: RuleText) -> Result<Rule, PolicyError> {
        let name = rule.name.get_ref().parse::<RuleName>();
        let name = name.map_err(|why| self.error(self.name_at, "name", why.to_string()))?;
        let principals = self.list("principals", &rule.principals, PrincipalGlob::parse)?;
        let keys = self.list("keys", &rule.keys, KeyGlob::parse)?;
        let actions = self.list("actions", &rule.actions, parse_actions)?;
        if actions.len() > 1 && actions.iter().any(|group| group.len() > 1) {
            let reason = format!("{EVERY_ACTION:?} is every action; name no other beside it");
            return Err(self.error(rule.actions.span().start, "actions", reason));
        }
        let actions = actions.into_iter().flatten().collect();
        Ok(Rule { effect: rule.effect, name, principals, actions, keys })
    }

    /// A list that is not empty and says nothing twice.
    fn list<T>(
        &self,
        key: &'static str,
        list: &Spanned<Vec<Spanned<String>>>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, PolicyError> {
        if list.get_ref().is_empty() {
            let reason = "the list is empty; a rule without it is meant for nothing".to_owned();
            return Err(self.error(list.span().start, key, reason));
        }
        let mut seen = BTreeSet::new();
        list.get_ref()
            .iter()
            .map(|entry| {
                let at = entry.span().start;
                if !seen.insert(entry.get_ref()) {
                    let reason = format!("{:?} is there twice", entry.get_ref());
                    return Err(self.error(at, key, reason));
                }
                parse(entry.get_ref()).map_err(|reason| self.error(at, key, reason))
            })
            .collect()
    }

    fn error(&self, offset: usize, key: &'static str, reason: String) -> PolicyError {
        let place = Place::of_offset(self.text, offset);
        PolicyError::BadRule { place, rule: self.rule.clone(), key, reason }
    }
}

fn parse_actions(word: &str) -> Result<Vec<Action>, String> {
    if word == EVERY_ACTION {
        return Ok(Action::ALL.to_vec());
    }
    word.parse::<Action>().map(|action| vec![action]).map_err(|error| error.to_string())
}

fn malformed(text: &str, mut error: toml::de::Error) -> PolicyError {
    let place = Place::of_offset(text, error.span().map_or(text.len(), |span| span.start));
    // Without its input the error's text is one sentence and the path of keys.
    error.set_input(None);
    let reason = error.to_string().trim().replace('\n', " ");
    PolicyError::Malformed { place, reason }
}

const EVERY_ACTION: &str = "*";
