//! `claviger key create`, and the name that makes repeating a creating request safe.

use clap::Args;
use claviger_kms::{
    CreateKey, IdempotencyKey, KeyDetails, KeyPath, KmsError, RequestId, RotationPeriod,
};

use super::key::reply_of;
use crate::{
    context::parse_pair,
    error::{CliError, Result},
    reply::Reply,
    session::Session,
};

/// Make a key with its first version, already primary
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CreateArguments {
    /// Where it will stand; the key above must exist, except for a region
    #[arg(value_name = "PATH")]
    key: KeyPath,
    /// What it protects
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    description: String,
    /// Whom to call
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    owner: String,
    /// A tag; repeat for more
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = parse_pair)]
    tags: Vec<(String, String)>,
    /// Get a new primary version every so many days, such as 90d, or never; else as the keys above say
    #[arg(long, value_name = "PERIOD")]
    rotate_every: Option<RotationPeriod>,
    #[command(flatten)]
    name: RequestName,
}

/// The name of a creating request.
#[derive(Debug, Default, Args)]
pub(crate) struct RequestName {
    /// Name of this request: repeated with the same name it creates nothing twice. Made up if not given
    #[arg(long, value_name = "NAME")]
    pub(crate) idempotency_key: Option<IdempotencyKey>,
}

impl RequestName {
    /// The name given, or one made up.
    pub(crate) fn or_random(self) -> Result<IdempotencyKey> {
        match self.idempotency_key {
            Some(name) => Ok(name),
            None => Ok(RequestId::make_random()?.to_string().parse()?),
        }
    }
}

pub(crate) async fn run(session: &Session, arguments: CreateArguments) -> Result<Reply> {
    let CreateArguments { key, description, owner, tags, rotate_every, name } = arguments;
    let mut details = KeyDetails { description, owner, ..KeyDetails::default() };
    for (tag, value) in tags {
        if details.tags.contains_key(&tag) {
            return Err(CliError::usage(format!("the tag {tag:?} is given twice")));
        }
        details.tags.insert(tag, value);
    }
    details.check()?;
    let name = name.or_random()?;
    let request = CreateKey {
        details,
        rotation_period: rotate_every,
        idempotency_key: Some(name.clone()),
        ..CreateKey::at(key)
    };
    let made = session.service.create_key(request).await.map_err(|e| with_name(e, &name))?;
    reply_of(&made)
}

/// After a failure it may be unknown whether something was created: says how to find out safely.
pub(crate) fn with_name(error: KmsError, name: &IdempotencyKey) -> CliError {
    let error = match error {
        KmsError::Unavailable { reason } => KmsError::unavailable(format!(
            "{reason} (repeated with --idempotency-key {} it creates nothing twice)",
            name.as_str()
        )),
        other => other,
    };
    error.into()
}

const EXAMPLES: &str = "\
Examples:
  claviger key create us-east-1 --rotate-every 90d
  claviger key create us-east-1/payments --description \"card numbers\" --owner payments-team";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{problem::Problem, session::tests::Bench};

    fn arguments(key: &str) -> CreateArguments {
        CreateArguments {
            key: key.parse().unwrap(),
            description: "cards".to_owned(),
            owner: "team".to_owned(),
            tags: vec![("tier".to_owned(), "1".to_owned())],
            rotate_every: None,
            name: RequestName::default(),
        }
    }

    #[tokio::test]
    async fn the_key_has_what_was_given() {
        let bench = Bench::new(b"");
        let reply = run(&bench.session, arguments("eu/users")).await.unwrap();
        assert_eq!(reply.json()["details"]["tags"]["tier"], "1");
        assert_eq!(reply.json()["primary"], 1);
        for text in ["eu/users", "cards", "team", "tier=1", "primary"] {
            assert!(reply.text().contains(text), "{text}");
        }
    }

    #[tokio::test]
    async fn the_same_name_creates_once_and_another_name_conflicts() {
        let bench = Bench::new(b"");
        let named = |name: &str| {
            let idempotency_key = Some(name.parse().unwrap());
            CreateArguments { name: RequestName { idempotency_key }, ..arguments("eu/users") }
        };
        let first = run(&bench.session, named("a")).await.unwrap();
        let again = run(&bench.session, named("a")).await.unwrap();
        assert_eq!(first.json()["id"], again.json()["id"]);
        let refused = run(&bench.session, named("b")).await.unwrap_err();
        assert_eq!(refused.problem(), Problem::Conflict);
    }

    #[tokio::test]
    async fn an_unknown_outcome_names_the_request_to_repeat() {
        let bench = Bench::new(b"");
        bench.service.set_reachable(false);
        let refused = run(&bench.session, arguments("eu/users")).await.unwrap_err();
        assert_eq!(refused.problem(), Problem::Unavailable);
        assert!(refused.to_string().contains("--idempotency-key "), "{refused}");
    }

    #[tokio::test]
    async fn a_tag_given_twice_or_a_missing_parent_creates_nothing() {
        let bench = Bench::new(b"");
        let twice = CreateArguments {
            tags: vec![("a".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())],
            ..arguments("eu/users")
        };
        assert_eq!(run(&bench.session, twice).await.unwrap_err().problem(), Problem::Usage);
        let orphan = run(&bench.session, arguments("us/users")).await.unwrap_err();
        assert_eq!(orphan.problem(), Problem::NotFound);
    }
}
