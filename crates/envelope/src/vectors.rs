//! The frozen vectors of `vectors/`: every file is a test, and a new file is a new test.
//!
//! A vector gives the data key that a key service would have given out, so this harness stands inside the
//! crate: outside there is no payload key without a service.

use std::{collections::BTreeMap, fs, io::Read as _, path::Path};

use claviger_kms::{EncryptionContext, SecretBytes};
use serde::Deserialize;

use crate::{
    EnvelopeError, Header, Result,
    file::{FileHeader, FileOpener, PAYLOAD_OFFSET},
    inspect, key_version,
    payload::PayloadKey,
    record,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    claim: String,
    data_key: String,
    context: BTreeMap<String, String>,
    envelope: Vec<String>,
    expect: Expect,
    plaintext: Option<Vec<String>>,
}

#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
enum Expect {
    Opens,
    Rejected,
    NotAnEnvelope,
    UnknownFormat,
    HeadersTorn,
}

impl Vector {
    fn payload_key(&self, header: &Header) -> PayloadKey {
        let data_key = SecretBytes::from_vec(hex::decode(&self.data_key).unwrap());
        let context = EncryptionContext::from_pairs(self.context.clone()).unwrap();
        PayloadKey::released(header, &context, data_key.into_secret_key().unwrap())
    }

    fn open_record(&self, envelope: &[u8]) -> Result<Vec<u8>> {
        let (header, payload) = record::split(envelope)?;
        let key = self.payload_key(&header);
        let opened = key.open(payload)?;
        // As a stream it is the same.
        let mut plaintext = Vec::new();
        key.reader(payload)?.read_to_end(&mut plaintext).unwrap();
        assert_eq!(opened.len(), plaintext.len());
        Ok(plaintext)
    }

    fn open_file(&self, file: &[u8]) -> Result<Vec<u8>> {
        let header = FileHeader::parse(file)?;
        let opener = FileOpener::new(self.payload_key(header.header()));
        let mut plaintext = Vec::new();
        opener.open_stream(&file[PAYLOAD_OFFSET..], &mut plaintext, |_| {})?;
        Ok(plaintext)
    }
}

fn bytes_of(pieces: &[String]) -> Vec<u8> {
    let piece = |piece: &String| match piece.split_once('*') {
        Some((count, byte)) => hex::decode(byte).unwrap().repeat(count.parse().unwrap()),
        None => hex::decode(piece).unwrap(),
    };
    pieces.iter().flat_map(piece).collect()
}

fn outcome(result: &Result<Vec<u8>>) -> Expect {
    match result {
        Ok(_) => Expect::Opens,
        Err(EnvelopeError::Rejected) => Expect::Rejected,
        Err(EnvelopeError::NotAnEnvelope { .. }) => Expect::NotAnEnvelope,
        Err(EnvelopeError::UnknownFormat { .. }) => Expect::UnknownFormat,
        Err(EnvelopeError::HeadersTorn) => Expect::HeadersTorn,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn every_vector_does_what_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let mut seen: BTreeMap<Expect, usize> = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let vector: Vector = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let bytes = bytes_of(&vector.envelope);
        let name = path.file_stem().unwrap().to_str().unwrap();
        let result = match name.split_once('-').unwrap().0 {
            "record" => vector.open_record(&bytes),
            "file" => vector.open_file(&bytes),
            other => panic!("{other} is neither record nor file"),
        };
        let found = outcome(&result);
        assert_eq!(found, vector.expect, "{name}: {}", vector.claim);
        assert_eq!(result.ok(), vector.plaintext.as_deref().map(bytes_of), "{name}");
        // What opens can be inspected; what is refused at least does no harm.
        assert!(inspect(&bytes).is_ok() || found != Expect::Opens, "{name}");
        let _ = key_version(&bytes);
        *seen.entry(found).or_default() += 1;
    }
    // Neither an empty folder nor a missing kind of refusal passes; refusals outnumber successes.
    let total: usize = seen.values().sum();
    assert!(total >= 99 && seen.len() == 5, "{seen:?}");
    assert!(seen[&Expect::Opens] * 2 < total, "{seen:?}");
}
