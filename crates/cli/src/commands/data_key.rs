//! `claviger data-key`: a data key for a program that encrypts by itself.
//!
//! The plain key is shown only when asked for by name, else it goes to a file that only its owner can read.

use std::path::PathBuf;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Args;
use claviger_kms::{Binding, Encrypted, GenerateDataKey, KeyPath};

use crate::{
    context::ContextArguments,
    error::{CliError, Result},
    reply::Reply,
    secret_output,
    session::{Session, blocking},
};

/// Make a 256-bit data key, wrapped under a key and, if asked for, plain
///
/// Prints the wrapped key as base64; keep it beside the data. `claviger decrypt` turns it into the plain
/// key again.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DataKeyArguments {
    /// The key that wraps it
    #[arg(value_name = "KEY")]
    key: KeyPath,
    #[command(flatten)]
    context: ContextArguments,
    #[command(flatten)]
    plain: PlainKey,
}

/// What becomes of the plain key: exactly one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct PlainKey {
    /// Make no plain key at all: for whoever stores keys and need not use them
    #[arg(long)]
    wrapped_only: bool,
    /// Print the plain key too, as a second line of base64
    #[arg(long)]
    reveal: bool,
    /// Write the 32 bytes of the plain key to this new file, readable by its owner only
    #[arg(long, value_name = "FILE")]
    plaintext_to: Option<PathBuf>,
}

pub(crate) async fn run(session: &Session, arguments: DataKeyArguments) -> Result<Option<Reply>> {
    let DataKeyArguments { key, context, plain } = arguments;
    let binding = Binding { context: context.read()?, envelope_id: None };
    let request = GenerateDataKey { key, binding };
    if plain.wrapped_only {
        let wrapped = session.service.generate_wrapped_data_key(request).await?;
        return reply_of(&wrapped).map(Some);
    }
    let Some(path) = plain.plaintext_to else {
        let data_key = session.service.generate_data_key(request).await?;
        let (json, streams) = (session.json, session.streams.share()?);
        blocking(move || match json {
            true => secret_output::write_json(&data_key, &streams.output),
            false => secret_output::write_data_key(&data_key, &streams.output),
        })
        .await?;
        return Ok(None);
    };
    if path.symlink_metadata().is_ok() {
        return Err(CliError::OutputExists { path });
    }
    let data_key = session.service.generate_data_key(request).await?;
    let cleanup = session.stop.cleanup();
    let wrapped = blocking(move || {
        let _cleanup = cleanup;
        secret_output::write_key_file(&data_key.plaintext, &path)?;
        Ok(data_key.wrapped)
    })
    .await?;
    reply_of(&wrapped).map(Some)
}

fn reply_of(wrapped: &Encrypted) -> Result<Reply> {
    Reply::new(wrapped, STANDARD.encode(&wrapped.ciphertext))
}

const EXAMPLES: &str = "\
Examples:
  claviger data-key us-east-1/payments --wrapped-only
  claviger data-key us-east-1/payments --context row=17 --plaintext-to key > key.wrapped
  claviger data-key us-east-1/payments --reveal -o json";

#[cfg(test)]
mod tests {
    use claviger_kms::Ciphertext;

    use super::*;
    use crate::{problem::Problem, session::tests::Bench};

    fn arguments(wrapped_only: bool, reveal: bool, file: Option<PathBuf>) -> DataKeyArguments {
        DataKeyArguments {
            key: "eu/pay".parse().unwrap(),
            context: ContextArguments::default(),
            plain: PlainKey { wrapped_only, reveal, plaintext_to: file },
        }
    }

    #[tokio::test]
    async fn wrapped_only_prints_the_ciphertext_and_nothing_else() {
        let bench = Bench::new(b"");
        let reply = run(&bench.session, arguments(true, false, None)).await.unwrap().unwrap();
        let ciphertext = STANDARD.decode(reply.text()).unwrap();
        assert_eq!(ciphertext.len(), Ciphertext::DATA_KEY_LENGTH);
        assert!(reply.json().get("plaintext").is_none());
    }

    #[tokio::test]
    async fn a_revealed_key_is_the_second_line_or_a_field() {
        let mut bench = Bench::new(b"");
        assert!(run(&bench.session, arguments(false, true, None)).await.unwrap().is_none());
        let text = String::from_utf8(bench.take_output()).unwrap();
        let lengths: Vec<_> = text.lines().map(|l| STANDARD.decode(l).unwrap().len()).collect();
        assert_eq!(lengths, [126, 32]);

        bench.session.json = true;
        run(&bench.session, arguments(false, true, None)).await.unwrap();
        let json: serde_json::Value = serde_json::from_slice(&bench.take_output()).unwrap();
        assert_eq!(STANDARD.decode(json["plaintext"].as_str().unwrap()).unwrap().len(), 32);
        assert_eq!(json["key"], "eu/pay");
    }

    #[tokio::test]
    async fn a_key_in_a_file_is_not_printed() {
        let mut bench = Bench::new(b"");
        let path = bench.path("key");
        let arguments = arguments(false, false, Some(path.clone()));
        let reply = run(&bench.session, arguments).await.unwrap().unwrap();
        let key = std::fs::read(path).unwrap();
        assert_eq!(key.len(), 32);
        assert!(!reply.json().to_string().contains(&STANDARD.encode(&key)));
        assert!(bench.take_output().is_empty());
    }

    #[tokio::test]
    async fn a_file_that_exists_stays_and_no_key_is_made() {
        let bench = Bench::new(b"");
        let path = bench.path("key");
        std::fs::write(&path, "precious").unwrap();
        bench.service.set_reachable(false);
        let arguments = arguments(false, false, Some(path.clone()));
        let refused = run(&bench.session, arguments).await.unwrap_err();
        assert_eq!(refused.problem(), Problem::OutputExists);
        assert_eq!(std::fs::read(path).unwrap(), b"precious");
    }
}
