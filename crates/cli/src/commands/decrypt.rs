//! `claviger decrypt`: what `encrypt` or `data-key` printed, back to bytes.

use clap::Args;
use claviger_kms::{Binding, Ciphertext, Decrypt, KmsError};

use super::inspect::decode_base64;
use crate::{
    context::ContextArguments,
    error::Result,
    secret_output,
    session::{Session, blocking},
    stop::StoppableReader,
    streams::read_all,
};

/// Decrypt a base64 ciphertext from the standard input; writes the bytes of the value
///
/// The ciphertext names its key. A wrapped data key gives the 32 bytes of the plain key. With `-o json` the
/// value is base64 in a JSON object.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  claviger decrypt --context use=token < token.encrypted")]
pub(crate) struct DecryptArguments {
    #[command(flatten)]
    context: ContextArguments,
}

pub(crate) async fn run(session: &Session, arguments: DecryptArguments) -> Result<()> {
    let binding = Binding { context: arguments.context.read()?, envelope_id: None };
    let (input, stop) = (session.streams.share()?.input, session.stop.clone());
    let text = blocking(move || read_all(StoppableReader::new(input, stop), "-")).await?;
    let ciphertext = decode_base64(&text)
        .filter(|bytes| bytes.len() <= Ciphertext::MAX_LENGTH)
        .ok_or_else(not_base64)?;
    let decrypted = session.service.decrypt(Decrypt { ciphertext, binding }).await?;
    let (json, streams) = (session.json, session.streams.share()?);
    blocking(move || match json {
        true => secret_output::write_json(&decrypted, &streams.output),
        false => secret_output::write_plain(&decrypted.plaintext, &streams.output),
    })
    .await
}

fn not_base64() -> KmsError {
    KmsError::invalid(
        "the standard input is not one ciphertext in base64, as `claviger encrypt` prints it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        commands::encrypt::{self, EncryptArguments},
        problem::Problem,
        session::tests::Bench,
    };

    #[derive(clap::Parser)]
    struct Parsed<A: Args> {
        #[command(flatten)]
        arguments: A,
    }

    fn parsed<A: Args>(words: &[&str]) -> A {
        use clap::Parser as _;
        let words = std::iter::once(&"claviger").chain(words);
        Parsed::<A>::try_parse_from(words).unwrap_or_else(|error| panic!("{error}")).arguments
    }

    async fn encrypted(bench: &Bench, words: &[&str]) -> Vec<u8> {
        let arguments: EncryptArguments = parsed(words);
        let reply = encrypt::run(&bench.session, arguments).await.unwrap();
        format!("{}\n", reply.text()).into_bytes()
    }

    #[tokio::test]
    async fn the_bytes_come_back_as_they_were() {
        let value = b"\0not text\xff\n";
        let mut bench = Bench::new(value);
        let text = encrypted(&bench, &["eu/pay", "--context", "row=17"]).await;
        bench.set_input(&text);
        run(&bench.session, parsed(&["--context", "row=17"])).await.unwrap();
        assert_eq!(bench.take_output(), value);
    }

    #[tokio::test]
    async fn another_context_is_rejected_and_gives_no_byte() {
        let mut bench = Bench::new(b"value");
        let text = encrypted(&bench, &["eu/pay", "--context", "row=17"]).await;
        for words in [&["--context", "row=18"][..], &[]] {
            bench.set_input(&text);
            let refused = run(&bench.session, parsed(words)).await.unwrap_err();
            assert_eq!(refused.problem(), Problem::CiphertextRejected);
            assert!(bench.take_output().is_empty());
        }
    }

    #[tokio::test]
    async fn what_is_no_ciphertext_is_invalid() {
        let mut bench = Bench::new(b"");
        for bad in [&b""[..], b"not base64!", b"AAAA", &[b'A'; 20_000]] {
            bench.set_input(bad);
            let refused = run(&bench.session, parsed(&[])).await.unwrap_err();
            assert_eq!(refused.problem(), Problem::InvalidRequest, "{bad:?}");
        }
    }
}
