//! `claviger key list`, `tree` and `show`: what keys there are.

use clap::Args;
use claviger_kms::{KeyManagementService, KeyMetadata, KeyPath, ListKeys};

use super::key::reply_of;
use crate::{
    error::Result,
    key_tree,
    reply::{Reply, printable, table},
    session::Session,
};

/// List the keys that this user may see
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  claviger key list --under us-east-1 -o json")]
pub(crate) struct ListArguments {
    /// Only this key and those below it
    #[arg(long, value_name = "PATH")]
    under: Option<KeyPath>,
}

/// Draw the keys as a tree, with primary version, state and number of versions
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  claviger key tree\n  claviger key tree us-east-1/payments")]
pub(crate) struct TreeArguments {
    /// Only this key and those below it
    #[arg(value_name = "PATH")]
    under: Option<KeyPath>,
}

/// Show a key and its versions
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  claviger key show us-east-1/payments")]
pub(crate) struct ShowArguments {
    /// The key
    #[arg(value_name = "PATH")]
    key: KeyPath,
}

pub(crate) async fn list(session: &Session, arguments: ListArguments) -> Result<Reply> {
    let keys = all_keys(&*session.service, arguments.under).await?;
    let head = ["key", "state", "primary", "versions", "owner", "description"].map(str::to_owned);
    let rows = keys.iter().map(|key| {
        [
            key.key.to_string(),
            key.state.to_string(),
            key.primary.map_or("none".to_owned(), |version| version.to_string()),
            key.versions.len().to_string(),
            printable(&key.details.owner),
            printable(&key.details.description),
        ]
    });
    let text = table(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
    Reply::new(&keys, if keys.is_empty() { NONE.to_owned() } else { text })
}

pub(crate) async fn tree(session: &Session, arguments: TreeArguments) -> Result<Reply> {
    let keys = all_keys(&*session.service, arguments.under).await?;
    let text = if keys.is_empty() { NONE.to_owned() } else { key_tree::draw(&keys) };
    Reply::new(&keys, text)
}

pub(crate) async fn show(session: &Session, arguments: ShowArguments) -> Result<Reply> {
    reply_of(&session.service.describe_key(&arguments.key).await?)
}

/// Every page of the list.
async fn all_keys(
    service: &dyn KeyManagementService,
    under: Option<KeyPath>,
) -> Result<Vec<KeyMetadata>> {
    let mut keys = Vec::new();
    let mut after = None;
    loop {
        let request = ListKeys { under: under.clone(), after: after.clone(), limit: Some(PAGE) };
        let page = service.list_keys(request).await?;
        keys.extend(page.keys);
        match page.next {
            None => return Ok(keys),
            // A service that gives the same page again would never end.
            Some(next) if after.as_ref().is_some_and(|after| next <= *after) => {
                return Err(
                    anyhow::anyhow!("the service's list of keys goes backwards at {next}").into()
                );
            }
            next => after = next,
        }
    }
}

/// Keys on a page.
const PAGE: u32 = 200;

const NONE: &str = "no keys, or none that this user may see";

#[cfg(test)]
mod tests {
    use claviger_kms::CreateKey;

    use super::*;
    use crate::{problem::Problem, session::tests::Bench};

    #[tokio::test]
    async fn every_page_is_listed_once() {
        let bench = Bench::new(b"");
        for number in 0..450 {
            let key = format!("eu/k{number:03}").parse().unwrap();
            bench.service.create_key(CreateKey::at(key)).await.unwrap();
        }
        let reply = list(&bench.session, ListArguments { under: None }).await.unwrap();
        assert_eq!(reply.json().as_array().unwrap().len(), 452);
        assert_eq!(reply.text().lines().count(), 453);
        let under = Some("eu/k007".parse().unwrap());
        let one = list(&bench.session, ListArguments { under }).await.unwrap();
        assert_eq!(one.json().as_array().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn nothing_visible_is_said_in_words_and_as_an_empty_list() {
        let bench = Bench::new(b"");
        let under = Some("us".parse().unwrap());
        let reply = tree(&bench.session, TreeArguments { under }).await.unwrap();
        assert_eq!(reply.text(), NONE);
        assert_eq!(reply.json(), &serde_json::json!([]));
    }

    #[tokio::test]
    async fn a_key_that_is_not_there_is_not_found() {
        let bench = Bench::new(b"");
        let key = "us".parse().unwrap();
        let refused = show(&bench.session, ShowArguments { key }).await.unwrap_err();
        assert_eq!(refused.problem(), Problem::NotFound);
    }
}
