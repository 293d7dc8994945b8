//! Walks `vectors/`: every file carries its own expectation, so a new file is a new test.
//! The format of the files is in `vectors/README.md`.

use std::{collections::BTreeMap, fs, path::Path};

use claviger_cobblestone::{
    CHUNK, Error, OVERHEAD, TAG, WRAPPED_KEY_LENGTH, open, open_derived, plain_length, salt_of,
    seal_derived, sealed_length, unwrap_key, wrap_key,
};
use claviger_kms::{Salt, SecretKey};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::support::{key, pattern, plain, seek_and_read, stream};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    expect: Expectation,
    key: String,
    context: String,
    plaintext: Option<Plaintext>,
    sealed_with: Option<SealedWith>,
    message: Message,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expectation {
    Opens,
    Refused,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Plaintext {
    Written { hex: String },
    Pattern { pattern: usize, sha256: String },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealedWith {
    key: String,
    context: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Message {
    Written {
        hex: String,
    },
    Described {
        salt: String,
        base_sha256: Option<String>,
        #[serde(default)]
        edits: Vec<Edit>,
        length: usize,
        sha256: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Edit {
    Flip { byte: usize, bit: u8 },
    Truncate(usize),
    Append(String),
    Swap([usize; 2]),
    Repeat(usize),
    Remove(usize),
    Splice { from: usize, to: usize, salt: String },
}

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

fn hash(data: &[u8]) -> String {
    hex::encode(Sha256::digest(data))
}

fn key_from(text: &str) -> SecretKey {
    key(bytes(text).as_slice().try_into().unwrap())
}

fn salt_from(text: &str) -> Salt {
    Salt::from_bytes(bytes(text).try_into().unwrap())
}

impl Vector {
    fn key(&self) -> SecretKey {
        key_from(&self.key)
    }

    fn plaintext(&self) -> Option<Vec<u8>> {
        self.plaintext.as_ref().map(|plaintext| match plaintext {
            Plaintext::Written { hex } => bytes(hex),
            Plaintext::Pattern { pattern: length, sha256 } => {
                let plaintext = pattern(*length);
                assert_eq!(&hash(&plaintext), sha256, "the pattern");
                plaintext
            }
        })
    }

    /// The message: as written, or sealed here under the salt the other implementation drew, compared
    /// with what that implementation made, and then altered.
    fn message(&self) -> Vec<u8> {
        match &self.message {
            Message::Written { hex } => bytes(hex),
            Message::Described { salt, base_sha256, edits, length, sha256 } => {
                let mut message = self.seal(salt);
                let base = base_sha256.as_ref().unwrap_or(sha256);
                assert_eq!(&hash(&message), base, "the message before it is altered");
                for edit in edits {
                    self.alter(&mut message, edit);
                }
                assert_eq!((message.len(), &hash(&message)), (*length, sha256));
                message
            }
        }
    }

    fn seal(&self, salt: &str) -> Vec<u8> {
        let (key, context) = match &self.sealed_with {
            Some(other) => (&other.key, &other.context),
            None => (&self.key, &self.context),
        };
        let plaintext = self.plaintext().unwrap();
        seal_derived(key_from(key), salt_from(salt), &bytes(context), &plaintext).unwrap()
    }

    fn alter(&self, message: &mut Vec<u8>, edit: &Edit) {
        let mut by_chunk = |act: &dyn Fn(&mut Vec<Vec<u8>>)| {
            let mut chunks: Vec<_> =
                message[OVERHEAD..].chunks(CHUNK + TAG).map(<[u8]>::to_vec).collect();
            act(&mut chunks);
            message.truncate(OVERHEAD);
            message.extend(chunks.concat());
        };
        match edit {
            Edit::Swap([a, b]) => by_chunk(&|chunks| chunks.swap(*a, *b)),
            Edit::Repeat(number) => {
                by_chunk(&|chunks| chunks.insert(*number, chunks[*number].clone()));
            }
            Edit::Remove(number) => by_chunk(&|chunks| drop(chunks.remove(*number))),
            Edit::Flip { byte, bit } => message[*byte] ^= 1 << bit,
            Edit::Truncate(length) => message.truncate(*length),
            Edit::Append(more) => message.extend(bytes(more)),
            Edit::Splice { from, to, salt } => {
                message[*from..*to].copy_from_slice(&self.seal(salt)[*from..*to]);
            }
        }
    }

    fn check(&self) {
        let message = self.message();
        match self.expect {
            Expectation::Opens => self.opens(&message),
            Expectation::Refused => self.is_refused(&message),
        }
    }

    fn opens(&self, message: &[u8]) {
        let (context, expected) = (bytes(&self.context), self.plaintext().unwrap());
        assert_eq!(sealed_length(expected.len() as u64), Some(message.len() as u64));
        assert_eq!(plain_length(message.len() as u64).unwrap(), expected.len() as u64);

        let salt = salt_of(message).unwrap();
        assert!(seal_derived(self.key(), salt, &context, &expected).unwrap() == message);
        assert!(plain(&open(&self.key(), &context, message).unwrap()) == expected);
        assert!(plain(&open_derived(self.key(), &context, message).unwrap()) == expected);
        for (output, error) in self.every_stream(message) {
            assert!(error.is_none(), "{error:?}");
            assert!(output == expected);
        }
        if let Ok(wrapped) = <&[u8; WRAPPED_KEY_LENGTH]>::try_from(message) {
            let unwrapped = unwrap_key(self.key(), &context, wrapped).unwrap();
            assert!(unwrapped.is_same_as(&key(expected.as_slice().try_into().unwrap())));
            assert_eq!(&wrap_key(self.key(), salt, &context, &unwrapped).unwrap(), wrapped);
        }
    }

    fn is_refused(&self, message: &[u8]) {
        let context = bytes(&self.context);
        assert!(matches!(open(&self.key(), &context, message), Err(Error::Rejected)));
        assert!(matches!(open_derived(self.key(), &context, message), Err(Error::Rejected)));
        let sealed = self.plaintext();
        for (output, error) in self.every_stream(message) {
            assert!(matches!(error, Some(Error::Rejected)), "{error:?}");
            if let Some(sealed) = &sealed {
                assert!(sealed.starts_with(&output), "gave out what was never sealed there");
            }
        }
    }

    /// The message through both readers, by reads below, at and above the size of a chunk.
    fn every_stream(&self, message: &[u8]) -> Vec<(Vec<u8>, Option<Error>)> {
        let (key, context) = (self.key(), bytes(&self.context));
        let mut outputs = Vec::new();
        for read_sizes in [&[100_000][..], &[CHUNK], &[CHUNK - 1, 1], &[5000, 20_000]] {
            outputs.push(stream(&key, &context, message, &[9999, 1, 16400], read_sizes));
            for before in [0, 13] {
                outputs.push(seek_and_read(&key, &context, message, before, read_sizes));
            }
        }
        outputs
    }
}

fn all() -> BTreeMap<String, Vector> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let folders = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let files = folders.filter(|path| path.is_dir()).flat_map(|folder| {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    });
    files
        .map(|path| {
            let vector = serde_json::from_str(&fs::read_to_string(&path).unwrap());
            (path.display().to_string(), vector.unwrap_or_else(|e| panic!("{path:?}: {e}")))
        })
        .collect()
}

/// Checks the vectors with this expectation; says how many there were.
fn walk(expect: Expectation) -> usize {
    let vectors = all().into_iter().filter(|(_, vector)| vector.expect == expect);
    vectors.map(|(name, vector)| check_one(&name, &vector)).count()
}

fn check_one(name: &str, vector: &Vector) {
    // The name stands before whatever the check says.
    println!("{name}");
    vector.check();
}

#[test]
fn every_published_message_opens() {
    assert!(walk(Expectation::Opens) >= 24, "vectors are missing");
}

#[test]
fn every_altered_or_forged_message_is_refused() {
    assert!(walk(Expectation::Refused) >= 95, "vectors are missing");
}

#[test]
fn every_folder_holds_what_its_name_says() {
    for (name, vector) in all() {
        let folder = Path::new(&name).parent().unwrap().file_name().unwrap();
        let expected = if folder == "opens" { Expectation::Opens } else { Expectation::Refused };
        assert_eq!(vector.expect, expected, "{name}");
    }
}
