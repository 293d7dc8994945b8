//! The commands, one a file; here is only which runs.

pub(crate) mod campaign;
pub(crate) mod cat;
pub(crate) mod census;
pub(crate) mod completion;
pub(crate) mod data_key;
pub(crate) mod decrypt;
pub(crate) mod encrypt;
pub(crate) mod evidence;
pub(crate) mod explain;
pub(crate) mod gate;
pub(crate) mod inspect;
pub(crate) mod key;
pub(crate) mod key_change;
pub(crate) mod key_create;
pub(crate) mod key_lifecycle;
pub(crate) mod key_see;
pub(crate) mod open;
mod open_tree;
pub(crate) mod reload;
pub(crate) mod rewrap;
mod rewrap_many;
pub(crate) mod rotation;
pub(crate) mod seal;
mod seal_tree;
pub(crate) mod status;
pub(crate) mod usage;

use claviger_client::Client;

use crate::{arguments::Command, error::Result, reply::Reply, session::Session};

/// Runs one command; what it says when done, unless it has written to the standard output itself.
pub(crate) async fn run(
    session: &Session,
    client: &Client,
    command: Command,
) -> Result<Option<Reply>> {
    match command {
        Command::Key(command) => key::run(session, client, command).await.map(Some),
        Command::DataKey(arguments) => data_key::run(session, arguments).await,
        Command::Encrypt(arguments) => encrypt::run(session, arguments).await.map(Some),
        Command::Decrypt(arguments) => decrypt::run(session, arguments).await.map(|()| None),
        Command::Seal(arguments) => seal::run(session, arguments).await,
        Command::Open(arguments) => open::run(session, arguments).await,
        Command::Cat(arguments) => cat::run(session, arguments).await.map(|()| None),
        Command::Inspect(arguments) => inspect::run(session, arguments).await.map(Some),
        Command::Rewrap(arguments) => rewrap::run(session, arguments).await,
        Command::Approve(arguments) => key_lifecycle::approve(client, arguments).await.map(Some),
        Command::Campaign(command) => campaign::run(session, client, command).await,
        Command::Rotation(command) => rotation::run(client, command).await.map(Some),
        Command::Census(arguments) => census::run(session, arguments).await.map(|()| None),
        Command::Gate(command) => gate::run(session, command).await.map(Some),
        Command::Evidence(command) => evidence::run(session, client, command).await.map(Some),
        Command::Status => status::run(client).await.map(Some),
        Command::Usage(arguments) => usage::run(client, arguments).await.map(Some),
        Command::Reload(_) => reload::run(client).await.map(Some),
        Command::Explain(arguments) => explain::run(&arguments).map(Some),
        Command::Completion(arguments) => completion::completion(&arguments).map(Some),
        Command::Man(arguments) => completion::man(&arguments).map(Some),
    }
}
