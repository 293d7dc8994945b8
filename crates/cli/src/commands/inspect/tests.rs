//! Inspecting what was sealed over a key service in memory.

use claviger_envelope::Envelopes;
use claviger_kms::{Binding, EncryptionContext, GenerateDataKey};

use super::*;
use crate::{commands::seal, problem::Problem, session::tests::Bench};

fn inspected(bytes: &[u8], length: Option<u64>) -> Result<Reply> {
    inspect_stream(bytes, length, "-")
}

#[tokio::test]
async fn a_file_tells_its_lengths_also_from_a_pipe() {
    let mut bench = Bench::new(&[1; 100_000]);
    seal::run(&bench.session, seal::tests::arguments("-")).await.unwrap();
    let sealed = bench.take_output();
    let reply = inspected(&sealed, Some(sealed.len() as u64)).unwrap();
    assert_eq!(reply.json()["kind"], "file");
    assert_eq!(reply.json()["plaintext_length"], 100_000);
    assert_eq!(reply.json()["wraps"][0]["provider"], "claviger");
    assert_eq!(reply.json()["wraps"][0]["version"], 1);
    assert!(reply.text().contains("100,000 bytes"));
    assert_eq!(inspected(&sealed, None).unwrap(), reply);

    let cut = inspected(&sealed[..8193], None).unwrap();
    assert!(cut.text().contains("it was cut"), "{}", cut.text());
    let mut damaged = sealed.clone();
    damaged[50] ^= 1;
    assert!(inspected(&damaged, None).unwrap().text().contains("1 of 2 headers"));
}

#[tokio::test]
async fn a_record_and_a_ciphertext_are_read_as_bytes_and_as_base64() {
    let bench = Bench::new(b"");
    let (key, context) = ("eu/pay".parse().unwrap(), EncryptionContext::new());
    let envelopes = Envelopes::new(bench.session.service.clone());
    let record = envelopes.seal(&key, &context, b"4111").await.unwrap();
    let request = GenerateDataKey { key, binding: Binding::default() };
    let wrapped = bench.session.service.generate_wrapped_data_key(request).await.unwrap();
    for (bytes, kind, length) in [(record, "record", 4), (wrapped.ciphertext, "data-key", 32)] {
        let reply = inspected(&bytes, None).unwrap();
        assert_eq!(reply.json()["kind"], kind);
        assert_eq!(reply.json()["plaintext_length"], length);
        let mut text = STANDARD.encode(&bytes);
        text.insert(76, '\n');
        text.push('\n');
        assert_eq!(inspected(text.as_bytes(), None).unwrap(), reply);
    }
}

#[test]
fn anything_else_is_refused() {
    for bad in [&b""[..], b"hello", &[0; 9000], b"aGVsbG8=", b"CLVE", &[1; 125]] {
        let problem = inspected(bad, None).unwrap_err().problem();
        let refused = [Problem::NotAnEnvelope, Problem::InvalidRequest].contains(&problem);
        assert!(refused, "{bad:?}: {problem:?}");
    }
    let newer = inspected(b"CLVE\x02\x01", None).unwrap_err();
    assert_eq!(newer.problem(), Problem::UnknownFormat);
}
