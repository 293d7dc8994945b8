//! Ciphertexts that nobody made for this use: each must be refused, and none may yield plaintext.
//!
//! Whether bytes are authentic is answered by `CiphertextRejected` alone. Fields that stand before the
//! wrapped key can be read without a key, so an impossible one may say what is wrong, and an id or
//! version that does not exist may be unknown.

use claviger_kms::{Binding, Ciphertext, Decrypt, ErrorCode, KeyId};

use super::bench::{Bench, assert_refused, binding, context, envelope_id};

pub(super) async fn other_binding(bench: Bench) {
    let key = bench.data_key(binding("1")).await.wrapped.ciphertext;
    let value = bench.encrypt(b"value", binding("1")).await.ciphertext;
    let table = ("table", "users");
    let others = [
        binding("2"),
        Binding::default(),
        Binding { envelope_id: None, ..binding("1") },
        Binding { envelope_id: envelope_id(8), ..binding("1") },
        Binding { envelope_id: envelope_id(0), ..binding("1") },
        Binding { context: context([table]), ..binding("1") },
        Binding { context: context([table, ("row", "1"), ("x", "")]), ..binding("1") },
        Binding { context: context([table, ("Row", "1")]), ..binding("1") },
        Binding { context: context([("table", "1"), ("row", "users")]), ..binding("1") },
        Binding { context: context([("tabl", "eusers"), ("row", "1")]), ..binding("1") },
    ];
    for ciphertext in [&key, &value] {
        for other in &others {
            let refused = bench.decrypt(ciphertext, other.clone()).await;
            assert_refused(refused, REJECTED, &format!("{other:?}"));
        }
    }
    let unbound = bench.data_key(Binding::default()).await.wrapped.ciphertext;
    let zeros = Binding { envelope_id: envelope_id(0), ..Binding::default() };
    assert_refused(bench.decrypt(&unbound, zeros).await, REJECTED, "an id where there was none");
}

pub(super) async fn flipped_data_key(bench: Bench) {
    let ciphertext = bench.data_key(binding("1")).await.wrapped.ciphertext;
    refuses_flips(&bench, &ciphertext, &(0..ciphertext.len()).collect::<Vec<_>>()).await;
}

/// Every byte of the two headers and of the wrapped key, every fifth and the last ones of the value.
pub(super) async fn flipped_value(bench: Bench) {
    let ciphertext = bench.encrypt(&[9; 300], binding("1")).await.ciphertext;
    let length = ciphertext.len();
    let near = |at: &usize| *at < 190 || at.is_multiple_of(5) || length - at < 20;
    refuses_flips(&bench, &ciphertext, &(0..length).filter(near).collect::<Vec<_>>()).await;
}

pub(super) async fn other_lengths(bench: Bench) {
    let key = bench.data_key(binding("1")).await.wrapped.ciphertext;
    let value = bench.encrypt(b"", binding("1")).await.ciphertext;
    for ciphertext in [key, value] {
        let mut altered: Vec<Vec<u8>> =
            (0..ciphertext.len()).map(|length| ciphertext[..length].to_vec()).collect();
        altered.push([ciphertext.as_slice(), &[0]].concat());
        altered.push([ciphertext.as_slice(), &[0; 72]].concat());
        altered.push([ciphertext.as_slice(), &[0; 8192]].concat());
        altered.push([&[0], ciphertext.as_slice()].concat());
        for outcome in decrypt_all(&bench, altered).await {
            assert_refused(outcome, REJECTED_OR_UNREADABLE, "another length");
        }
    }
}

pub(super) async fn swapped_header(bench: Bench) {
    let other = bench.make_below("other").await;
    let other = bench.kms.describe_key(&other).await.unwrap().id;
    bench.rotate().await;
    let ciphertext = bench.data_key(binding("1")).await.wrapped.ciphertext;
    let Ok(parsed) = Ciphertext::parse(&ciphertext) else { return };
    let (id, newest) = (parsed.key_id(), parsed.version());
    let with = |id: KeyId, version| Ciphertext::of_data_key(id, version, *parsed.wrapped_key());
    let first = claviger_kms::KeyVersion::FIRST;
    for altered in [with(other, first), with(id, first)] {
        let refused = bench.decrypt(&altered.to_bytes(), binding("1")).await;
        assert_refused(refused, REJECTED, "another key or version swapped in");
    }
    let nowhere = KeyId::make_random().unwrap();
    for altered in [with(nowhere, newest), with(id, newest.next().unwrap())] {
        let refused = bench.decrypt(&altered.to_bytes(), binding("1")).await;
        assert_refused(refused, ANY_REFUSAL, "a key or version that does not exist");
    }
}

pub(super) async fn spliced(bench: Bench) {
    let one = bench.encrypt(b"one value", binding("1")).await.ciphertext;
    let two = bench.encrypt(b"two value", binding("1")).await.ciphertext;
    assert_eq!(one.len(), two.len());
    for at in [Ciphertext::HEADER + 24, Ciphertext::DATA_KEY_LENGTH, one.len() - 16] {
        let spliced = [&one[..at], &two[at..]].concat();
        let refused = bench.decrypt(&spliced, binding("1")).await;
        assert_refused(refused, REJECTED, "parts of two ciphertexts");
    }
}

pub(super) async fn garbage(bench: Bench) {
    let garbage = [vec![], vec![0], vec![1; 126], vec![0xff; 126], b"{}".to_vec(), vec![0; 70_000]];
    for bytes in garbage {
        let refused = bench.decrypt(&bytes, Binding::default()).await;
        assert_refused(refused, ANY_REFUSAL, "garbage decrypted");
        assert_refused(bench.rewrap(&bytes, Binding::default()).await, ANY_REFUSAL, "rewrapped");
    }
}

async fn refuses_flips(bench: &Bench, ciphertext: &[u8], positions: &[usize]) {
    let flipped = |at: usize| {
        let mut altered = ciphertext.to_vec();
        altered[at] ^= 1 << (at % 8);
        altered
    };
    let ours = Ciphertext::parse(ciphertext).is_ok();
    let altered = positions.iter().map(|&at| flipped(at)).collect();
    for (at, outcome) in positions.iter().zip(decrypt_all(bench, altered).await) {
        let allowed = if ours && *at >= Ciphertext::HEADER { REJECTED } else { ANY_REFUSAL };
        assert_refused(outcome, allowed, &format!("a flipped bit of byte {at}"));
    }
}

async fn decrypt_all(
    bench: &Bench,
    ciphertexts: Vec<Vec<u8>>,
) -> Vec<claviger_kms::Result<claviger_kms::Decrypted>> {
    let most = bench.kms.capabilities().max_batch;
    let mut outcomes = Vec::new();
    for part in ciphertexts.chunks(most) {
        let item = |ciphertext: &Vec<u8>| Decrypt {
            ciphertext: ciphertext.clone(),
            binding: binding("1"),
        };
        let items = part.iter().map(item).collect();
        outcomes.extend(bench.kms.decrypt_batch(items).await.unwrap());
    }
    assert_eq!(outcomes.len(), ciphertexts.len());
    outcomes
}

const REJECTED: &[ErrorCode] = &[ErrorCode::CiphertextRejected];

const REJECTED_OR_UNREADABLE: &[ErrorCode] =
    &[ErrorCode::CiphertextRejected, ErrorCode::InvalidRequest];

/// Refused for good: everything but `Unavailable` and `Unsupported`.
const ANY_REFUSAL: &[ErrorCode] = &[
    ErrorCode::CiphertextRejected,
    ErrorCode::InvalidRequest,
    ErrorCode::NotFound,
    ErrorCode::Denied,
    ErrorCode::KeyUnusable,
];
