//! `claviger key rotate`, `create-version`, `set-primary`, `enable` and `disable`: what changes a key's
//! versions.

use clap::Args;
use claviger_client::Client;
use claviger_kms::{
    CreateVersion, KeyLifecycle as _, KeyPath, KeyRequest, KeyVersion, VersionRequest,
};

use super::{
    key::reply_of,
    key_create::{RequestName, with_name},
};
use crate::{error::Result, reply::Reply, session::Session};

/// Make a further version and promote it: new data is wrapped by it, old data still opens
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  claviger key rotate us-east-1/payments")]
pub(crate) struct RotateArguments {
    /// The key
    #[arg(value_name = "PATH")]
    key: KeyPath,
    #[command(flatten)]
    name: RequestName,
}

/// Make a further version that wraps nothing until it is set primary
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  claviger key create-version us-east-1/payments")]
pub(crate) struct CreateVersionArguments {
    /// The key
    #[arg(value_name = "PATH")]
    key: KeyPath,
    #[command(flatten)]
    name: RequestName,
}

/// One version of one key.
#[derive(Debug, Args)]
pub(crate) struct VersionArguments {
    /// The key
    #[arg(value_name = "PATH")]
    key: KeyPath,
    /// Number of the version
    version: KeyVersion,
}

/// Promote a pending version; the former primary version still opens what it wrapped
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  claviger key set-primary us-east-1/payments 3")]
pub(crate) struct SetPrimaryArguments {
    #[command(flatten)]
    of: VersionArguments,
}

/// A whole key, or one version of it.
#[derive(Debug, Args)]
pub(crate) struct KeyOrVersion {
    /// The key
    #[arg(value_name = "PATH")]
    key: KeyPath,
    /// Number of the version; the whole key if left out
    version: Option<KeyVersion>,
}

/// Let a disabled version open again what it wrapped, or take a whole key into use again
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  claviger key enable us-east-1/payments 1\n  claviger key enable us-east-1/payments"
)]
pub(crate) struct EnableArguments {
    #[command(flatten)]
    of: KeyOrVersion,
}

/// Stop a version, or a whole key: nothing opens under it until it is enabled again
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  claviger key disable us-east-1/payments 1\n  claviger key disable us-east-1/payments"
)]
pub(crate) struct DisableArguments {
    #[command(flatten)]
    of: KeyOrVersion,
}

pub(crate) async fn rotate(session: &Session, arguments: RotateArguments) -> Result<Reply> {
    let name = arguments.name.or_random()?;
    let request = CreateVersion { key: arguments.key, idempotency_key: Some(name.clone()) };
    let done = session.service.rotate(request).await;
    reply_of(&done.map_err(|error| with_name(error, &name))?)
}

pub(crate) async fn create_version(
    session: &Session,
    arguments: CreateVersionArguments,
) -> Result<Reply> {
    let name = arguments.name.or_random()?;
    let request = CreateVersion { key: arguments.key, idempotency_key: Some(name.clone()) };
    let done = session.service.create_version(request).await;
    reply_of(&done.map_err(|error| with_name(error, &name))?)
}

pub(crate) async fn set_primary(
    session: &Session,
    arguments: SetPrimaryArguments,
) -> Result<Reply> {
    reply_of(&session.service.set_primary(arguments.of.into()).await?)
}

pub(crate) async fn enable(
    session: &Session,
    client: &Client,
    arguments: EnableArguments,
) -> Result<Reply> {
    let KeyOrVersion { key, version } = arguments.of;
    reply_of(&match version {
        Some(version) => session.service.enable_version(VersionRequest { key, version }).await?,
        None => client.enable_key(KeyRequest { key }).await?,
    })
}

pub(crate) async fn disable(
    session: &Session,
    client: &Client,
    arguments: DisableArguments,
) -> Result<Reply> {
    let KeyOrVersion { key, version } = arguments.of;
    reply_of(&match version {
        Some(version) => session.service.disable_version(VersionRequest { key, version }).await?,
        None => client.disable_key(KeyRequest { key }).await?,
    })
}

impl From<VersionArguments> for VersionRequest {
    fn from(arguments: VersionArguments) -> Self {
        Self { key: arguments.key, version: arguments.version }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{problem::Problem, session::tests::Bench};

    /// A client that the commands on versions do not use.
    fn nobody() -> Client {
        Client::new(claviger_client::ClientConfig::new("/nowhere"))
    }

    fn one(version: u32) -> KeyOrVersion {
        KeyOrVersion { key: "eu/pay".parse().unwrap(), version: KeyVersion::new(version) }
    }

    fn of(version: u32) -> VersionArguments {
        let version = KeyVersion::new(version).unwrap();
        VersionArguments { key: "eu/pay".parse().unwrap(), version }
    }

    fn states(reply: &Reply) -> Vec<String> {
        let versions = reply.json()["versions"].as_array().unwrap().clone();
        versions.iter().map(|v| v["state"].as_str().unwrap().to_owned()).collect()
    }

    #[tokio::test]
    async fn a_key_goes_through_its_life() {
        let bench = Bench::new(b"");
        let session = &bench.session;
        let key: KeyPath = "eu/pay".parse().unwrap();
        let arguments = RotateArguments { key: key.clone(), name: RequestName::default() };
        assert_eq!(states(&rotate(session, arguments).await.unwrap()), ["enabled", "primary"]);
        let arguments = CreateVersionArguments { key, name: RequestName::default() };
        let made = create_version(session, arguments).await.unwrap();
        assert_eq!(states(&made), ["enabled", "primary", "pending"]);
        let done = set_primary(session, SetPrimaryArguments { of: of(3) }).await.unwrap();
        assert_eq!(states(&done), ["enabled", "enabled", "primary"]);
        let done = disable(session, &nobody(), DisableArguments { of: one(1) }).await.unwrap();
        assert_eq!(states(&done), ["disabled", "enabled", "primary"]);
        let done = enable(session, &nobody(), EnableArguments { of: one(1) }).await.unwrap();
        assert_eq!(states(&done), ["enabled", "enabled", "primary"]);
    }

    #[tokio::test]
    async fn a_request_of_one_name_rotates_once() {
        let bench = Bench::new(b"");
        for _ in 0..2 {
            let name = RequestName { idempotency_key: Some("one".parse().unwrap()) };
            let arguments = RotateArguments { key: "eu/pay".parse().unwrap(), name };
            let reply = rotate(&bench.session, arguments).await.unwrap();
            assert_eq!(states(&reply), ["enabled", "primary"]);
        }
    }

    #[tokio::test]
    async fn an_unknown_version_and_a_forbidden_step_are_refused() {
        let bench = Bench::new(b"");
        let unknown =
            enable(&bench.session, &nobody(), EnableArguments { of: one(9) }).await.unwrap_err();
        assert_eq!(unknown.problem(), Problem::NotFound);
        let primary =
            disable(&bench.session, &nobody(), DisableArguments { of: one(1) }).await.unwrap_err();
        assert_eq!(primary.problem(), Problem::KeyUnusable);
    }
}
