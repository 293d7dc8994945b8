//! `claviger inspect`: what an envelope or ciphertext claims about itself, without a key or a service.
//!
//! Nothing told here is verified: only opening does that.

use std::{
    io::{self, Read},
    path::PathBuf,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Args;
use claviger_envelope::{
    EnvelopeKind, Header, Inspection,
    file::{FileHeader, PAYLOAD_OFFSET},
    inspect,
};
use claviger_kms::{Ciphertext, CiphertextKind};
use serde_json::json;

use crate::{
    error::{CliError, Result},
    files::Place,
    reply::{Lines, Reply, bytes},
    session::{Session, blocking},
    stop::StoppableReader,
    streams::read_all,
};

/// Show which key and version an envelope is under, without a key or a service
///
/// Takes a sealed file, a record's envelope, or a ciphertext, the last two also as base64. What it shows is
/// what the envelope claims; only opening verifies it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InspectArguments {
    /// The file to inspect, or - for the standard input
    #[arg(value_name = "FILE")]
    input: PathBuf,
}

pub(crate) async fn run(session: &Session, arguments: InspectArguments) -> Result<Reply> {
    let place = Place::named(arguments.input);
    let (streams, stop) = (session.streams.share()?, session.stop.clone());
    blocking(move || {
        let (file, length) = place.open(&streams)?;
        inspect_stream(StoppableReader::new(file, stop), length, &place.display())
    })
    .await
}

/// Inspects a stream; of a file's payload only the length is looked at, without reading it where the
/// `length` of the whole is known.
fn inspect_stream(mut input: impl Read, length: Option<u64>, name: &str) -> Result<Reply> {
    let failed = || CliError::file(format!("reading {name}"));
    let mut start = Vec::with_capacity(PAYLOAD_OFFSET);
    input.by_ref().take(PAYLOAD_OFFSET as u64).read_to_end(&mut start).map_err(failed())?;
    let is_file = !start.starts_with(&Header::MAGIC) && start.len() == PAYLOAD_OFFSET;
    if is_file && let Ok(header) = FileHeader::parse(&start) {
        let payload_length = match length {
            Some(length) => length.saturating_sub(PAYLOAD_OFFSET as u64),
            None => io::copy(&mut input, &mut io::sink()).map_err(failed())?,
        };
        return reply_of(&header.inspect(payload_length));
    }
    let whole = read_all(io::Cursor::new(start).chain(input), name)?;
    inspect_bytes(&whole)
}

/// Inspects an envelope or ciphertext in memory, as it is or as base64.
fn inspect_bytes(whole: &[u8]) -> Result<Reply> {
    let decoded = decode_base64(whole);
    let bytes = decoded.as_deref().unwrap_or(whole);
    match Ciphertext::parse(bytes) {
        Ok(ciphertext) => reply_of_ciphertext(&ciphertext),
        // A ciphertext cut or damaged: its own words say more than "no envelope".
        Err(error) if bytes.starts_with(&[Ciphertext::FORMAT]) => Err(error.into()),
        Err(_) => reply_of(&inspect(bytes)?),
    }
}

/// The bytes that this text, with spaces and line breaks anywhere, is the base64 of.
pub(super) fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let text: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(text).ok().filter(|bytes| !bytes.is_empty())
}

fn reply_of(inspection: &Inspection) -> Result<Reply> {
    let kind = match inspection.kind {
        EnvelopeKind::Record => "record",
        EnvelopeKind::File => "file",
        _ => "unknown",
    };
    let mut lines = Lines::default()
        .with("kind", kind)
        .with("envelope id", inspection.envelope_id)
        .with("payload", bytes(inspection.payload_length));
    lines = match inspection.plaintext_length {
        Some(length) => lines.with("plaintext", bytes(length)),
        None => lines.with("plaintext", "none: no payload has this length, it was cut or added to"),
    };
    if inspection.damaged_slots > 0 {
        lines = lines.with("damaged", format!("{} of 2 headers", inspection.damaged_slots));
    }
    for (number, wrap) in (1..).zip(&inspection.wraps) {
        let under = match (wrap.key_id, wrap.version) {
            (Some(key), Some(version)) => {
                format!("{}, key {key}, version {version}", wrap.provider)
            }
            _ => wrap.provider.to_string(),
        };
        lines = lines.with(&format!("wrap {number}"), under);
    }
    Reply::new(inspection, lines.finish())
}

fn reply_of_ciphertext(ciphertext: &Ciphertext) -> Result<Reply> {
    let kind = match ciphertext.kind() {
        CiphertextKind::DataKey => "data-key",
        CiphertextKind::Value => "value",
        _ => "unknown",
    };
    let sealed = ciphertext.sealed_value().len();
    let plaintext = match ciphertext.kind() {
        CiphertextKind::DataKey => 32,
        _ => sealed.saturating_sub(Ciphertext::VALUE_OVERHEAD),
    } as u64;
    let facts = json!({
        "kind": kind,
        "key_id": ciphertext.key_id(),
        "version": ciphertext.version(),
        "plaintext_length": plaintext,
    });
    let lines = Lines::default()
        .with("kind", kind)
        .with("key", ciphertext.key_id())
        .with("version", ciphertext.version())
        .with("plaintext", bytes(plaintext));
    Reply::new(&facts, lines.finish())
}

const EXAMPLES: &str = "\
Examples:
  claviger inspect report.pdf.claviger
  claviger data-key us-east-1/payments --wrapped-only | claviger inspect - -o json";

#[cfg(test)]
mod tests;
