//! `claviger encrypt`: a small value, from the standard input, encrypted by the service itself.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Args;
use claviger_kms::{Binding, Encrypt, KeyPath, KmsError};

use crate::{
    context::ContextArguments,
    error::Result,
    reply::Reply,
    session::{Session, blocking},
    streams::read_value,
};

/// Encrypt a small value from the standard input; prints the ciphertext as base64
///
/// The value goes to the service. Anything larger than 4,096 bytes is for `claviger seal`, which keeps the
/// data here.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  claviger encrypt us-east-1/payments --context use=token < token.txt"
)]
pub(crate) struct EncryptArguments {
    /// The key
    #[arg(value_name = "KEY")]
    key: KeyPath,
    #[command(flatten)]
    context: ContextArguments,
}

pub(crate) async fn run(session: &Session, arguments: EncryptArguments) -> Result<Reply> {
    let EncryptArguments { key, context } = arguments;
    let binding = Binding { context: context.read()?, envelope_id: None };
    let most = session.service.capabilities().max_value;
    let (input, stop) = (session.streams.share()?.input, session.stop.clone());
    let plaintext = blocking(move || read_value(input, stop, most)).await?.ok_or_else(|| {
        KmsError::invalid(format!(
            "the value has more than {most} bytes; use `claviger seal` for larger data"
        ))
    })?;
    let encrypted = session.service.encrypt(Encrypt { key, plaintext, binding }).await?;
    Reply::new(&encrypted, STANDARD.encode(&encrypted.ciphertext))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{problem::Problem, session::tests::Bench};

    #[tokio::test]
    async fn a_value_too_long_is_refused_with_the_remedy() {
        let bench = Bench::new(&[0; 4097]);
        let arguments = EncryptArguments {
            key: "eu/pay".parse().unwrap(),
            context: ContextArguments::default(),
        };
        let refused = run(&bench.session, arguments).await.unwrap_err();
        assert_eq!(refused.problem(), Problem::InvalidRequest);
        assert!(refused.to_string().contains("claviger seal"));
    }
}
