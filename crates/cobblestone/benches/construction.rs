//! One round of measuring the construction beside the bare cipher it is made of, under the library this
//! build has. Prints `OPERATION BYTES NANOSECONDS`, a line each: the time of one operation.
//!
//! `scripts/bench first` builds it once with each library and runs the two in turns. The argument is the
//! time for each line in milliseconds (default 100); a gibibyte is done once whatever it takes.
//! The bare cipher has its key set up before and no salt, commitment or allocation: it is the floor.

#![expect(clippy::unwrap_used, reason = "a measurement that fails has no result")]
#![expect(clippy::print_stdout, reason = "the results are what it prints")]

use std::{
    env,
    hint::black_box,
    io::{Read as _, Write as _},
    time::{Duration, Instant},
};

use claviger_cobblestone::{CHUNK, Reader, TAG, Writer, open, seal};
use claviger_kms::SecretKey;

const CONTEXT: &[u8] = b"users/ssn/17";
const GIBIBYTE: usize = 1 << 30;
/// What a program gives a stream at once.
const PIECE: usize = 1 << 16;

fn main() {
    // Cargo adds words of its own, such as `--bench`.
    let time = env::args().find_map(|word| word.parse().ok()).unwrap_or(100);
    let time = Duration::from_millis(time);
    let key = SecretKey::make_random().unwrap();
    let bare = bare::Cipher::new();
    for length in [32, 1 << 10, 1 << 16] {
        let plain = vec![7; length];
        let message = seal(&key, CONTEXT, &plain).unwrap();
        let mut to = vec![0; length + TAG];
        print("seal", length, mean(time, || seal(&key, CONTEXT, black_box(&plain)).unwrap()));
        print("bare-seal", length, mean(time, || bare.seal(black_box(&plain), &mut to)));
        print("open", length, mean(time, || open(&key, CONTEXT, black_box(&message)).unwrap()));
        let mut opened = vec![0; length];
        print("bare-open", length, mean(time, || bare.open(black_box(&to), &mut opened)));
        assert_eq!(opened, plain);
    }
    streams(&key, &bare);
}

/// A gibibyte, in the pieces in which a program has it.
fn streams(key: &SecretKey, bare: &bare::Cipher) {
    let plain = vec![7; PIECE];
    let pieces = GIBIBYTE / PIECE;
    // The memory is written to once before, so that the kernel's giving it out is not measured.
    let mut message = vec![1; GIBIBYTE + GIBIBYTE / 512];
    message.clear();
    let seal_all = |to: &mut Vec<u8>| {
        let mut writer = Writer::new(to, key, CONTEXT).unwrap();
        (0..pieces).for_each(|_| writer.write_all(black_box(&plain)).unwrap());
        writer.finish().unwrap();
    };
    print("seal", GIBIBYTE, once(|| seal_all(&mut message)));
    let mut buffer = vec![0; PIECE];
    let open_all = |buffer: &mut [u8]| {
        let mut reader = Reader::new(message.as_slice(), key, CONTEXT).unwrap();
        let mut length = 0;
        loop {
            match reader.read(buffer).unwrap() {
                0 => break length,
                read => length += read,
            }
        }
    };
    print("open", GIBIBYTE, once(|| assert_eq!(open_all(&mut buffer), GIBIBYTE)));

    // The floor: the same chunks from and to the same memory.
    let sealed_chunk = CHUNK + TAG;
    let (plain, _) = plain.as_chunks::<CHUNK>();
    message.resize(GIBIBYTE / CHUNK * sealed_chunk, 0);
    let floor = || {
        for (sealed, plain) in message.chunks_exact_mut(sealed_chunk).zip(plain.iter().cycle()) {
            bare.seal(black_box(plain), sealed);
        }
    };
    print("bare-seal", GIBIBYTE, once(floor));
    let opened = buffer.first_chunk_mut::<CHUNK>().unwrap();
    let floor = || message.chunks_exact(sealed_chunk).for_each(|sealed| bare.open(sealed, opened));
    print("bare-open", GIBIBYTE, once(floor));
}

/// The mean time of one operation, over `time`, after a tenth of it to warm up.
fn mean<T>(time: Duration, mut operation: impl FnMut() -> T) -> f64 {
    let mut run = |time: Duration| {
        let begun = Instant::now();
        let mut count = 0_u32;
        while begun.elapsed() < time {
            // The clock is not read for each: it takes as long as a small message.
            for _ in 0..32 {
                black_box(operation());
            }
            count += 32;
        }
        begun.elapsed().as_secs_f64() * 1e9 / f64::from(count)
    };
    run(time / 10);
    run(time)
}

fn once(operation: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    operation();
    begun.elapsed().as_secs_f64() * 1e9
}

fn print(operation: &str, bytes: usize, nanoseconds: f64) {
    println!("{operation} {bytes} {nanoseconds:.1}");
}

#[cfg(feature = "aws-lc")]
mod bare {
    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

    use super::TAG;

    /// The cipher of `aws-lc-rs`, as the library itself offers it.
    pub(super) struct Cipher(LessSafeKey);

    impl Cipher {
        pub(super) fn new() -> Self {
            Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[3; 32]).unwrap()))
        }

        pub(super) fn seal(&self, plain: &[u8], sealed: &mut [u8]) {
            let (body, tag) = sealed.split_last_chunk_mut::<TAG>().unwrap();
            let nonce = Nonce::assume_unique_for_key([0; 12]);
            self.0.seal_out_of_place_scatter(nonce, Aad::empty(), plain, body, &[], tag).unwrap();
        }

        pub(super) fn open(&self, sealed: &[u8], plain: &mut [u8]) {
            let (body, tag) = sealed.split_last_chunk::<TAG>().unwrap();
            let nonce = Nonce::assume_unique_for_key([0; 12]);
            self.0.open_separate_gather(nonce, Aad::empty(), body, tag, plain).unwrap();
        }
    }
}

#[cfg(not(feature = "aws-lc"))]
mod bare {
    use aes_gcm::{Aes256Gcm, KeyInit as _, aead::AeadInOut as _, aead::inout::InOutBuf};

    use super::TAG;

    /// The cipher of `aes-gcm`, as the library itself offers it.
    pub(super) struct Cipher(Aes256Gcm);

    impl Cipher {
        pub(super) fn new() -> Self {
            Self(Aes256Gcm::new(&[3; 32].into()))
        }

        pub(super) fn seal(&self, plain: &[u8], sealed: &mut [u8]) {
            let (body, tag) = sealed.split_last_chunk_mut::<TAG>().unwrap();
            let buffers = InOutBuf::new(plain, body).unwrap();
            let made = self.0.encrypt_inout_detached(&[0; 12].into(), &[], buffers).unwrap();
            *tag = made.into();
        }

        pub(super) fn open(&self, sealed: &[u8], plain: &mut [u8]) {
            let (body, tag) = sealed.split_last_chunk::<TAG>().unwrap();
            let buffers = InOutBuf::new(body, plain).unwrap();
            self.0.decrypt_inout_detached(&[0; 12].into(), &[], buffers, tag.into()).unwrap();
        }
    }
}
