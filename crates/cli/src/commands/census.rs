//! `claviger census`: counts envelopes by key version, where they are kept. Needs no service.

use std::path::PathBuf;

use clap::Args;
use claviger_kms::KmsError;
use claviger_rewrap::{census, sources};

use super::campaign::{follow, read, told};
use crate::{error::Result, reply::Reply, session::Session};

/// Count envelopes by key and version in every source of a campaign file, without changing anything
///
/// Reads every place once and needs no key service: key ids and versions stand in headers, where they are claims. Says
/// which sources were looked at and when, and what it cannot see. Ends with 9 when a source was not looked at to its
/// end. One census alone is no evidence that a version can be destroyed: see `claviger evidence submit`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  claviger census cards.toml\n  claviger census cards.toml -o json"
)]
pub(crate) struct CensusArguments {
    /// The campaign file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(crate) async fn run(session: &Session, arguments: CensusArguments) -> Result<()> {
    let file = read(arguments.file).await?;
    let opened = sources::open(&file).await.map_err(told)?;
    let found = census(&file, &opened, &follow(&session.stop)).await;
    Reply::new(&found, found.to_string())?.write(session.json, &session.streams.output)?;
    if found.complete {
        return Ok(());
    }
    let name = &found.name;
    Err(KmsError::unavailable(format!(
        "the census of {name} is not whole: its report above says which source was cut off, and why"
    ))
    .into())
}
