//! Properties: the writer, both readers and the one-shot functions are the same construction.

use std::io::{Cursor, Read, Seek, SeekFrom, Write};

use claviger_cobblestone::{
    CHUNK, Error, OVERHEAD, SeekReader, TAG, Writer, open, salt_of, seal, seal_derived,
    sealed_length,
};
use proptest::{collection::vec, prelude::*, sample::Index};

use crate::support::{Trickle, key, pattern, plain, read_by, seek_and_read, stream};

const KEY: [u8; 32] = [0x42; 32];

/// Lengths up to five chunks, many of them close to a full chunk.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![
        2 => 0..200_usize,
        2 => 0..5 * CHUNK,
        3 => (0..5_usize, 0..40_usize).prop_map(|(k, n)| (k * CHUNK + n).saturating_sub(20)),
    ]
}

/// Sizes of reads or writes, used in turn.
fn sizes() -> impl Strategy<Value = Vec<usize>> {
    let size = prop_oneof![1..100_usize, 100..3 * CHUNK, CHUNK - 2..CHUNK + 3, Just(CHUNK + TAG)];
    // One size that is not small, for otherwise a case takes long and shows little.
    (vec(size, 1..6), 1000..2 * CHUNK).prop_map(|(mut sizes, large)| {
        sizes.push(large);
        sizes
    })
}

fn write_by(plaintext: &[u8], context: &[u8], sizes: &[usize], medium: &[usize]) -> Vec<u8> {
    let medium = Trickle::new(Vec::new(), medium);
    let mut writer = Writer::new(medium, &key(&KEY), context).unwrap();
    let (mut rest, mut turn) = (plaintext, sizes.iter().cycle());
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.len().min(*turn.next().unwrap()));
        writer.write_all(now).unwrap();
        rest = later;
    }
    writer.finish().unwrap().into_inner()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_written_message_is_the_one_shot_message(
        length in length(), context in vec(any::<u8>(), 0..50), writes in sizes(), medium in sizes(),
    ) {
        let plaintext = pattern(length);
        let message = write_by(&plaintext, &context, &writes, &medium);
        let salt = salt_of(&message).unwrap();
        let once = seal_derived(key(&KEY), salt, &context, &plaintext).unwrap();
        prop_assert!(message == once);
        prop_assert_eq!(sealed_length(length as u64), Some(message.len() as u64));
    }

    #[test]
    fn every_reader_gives_the_plaintext_whatever_the_sizes(
        length in length(), context in vec(any::<u8>(), 0..50), reads in sizes(), medium in sizes(),
    ) {
        let plaintext = pattern(length);
        let message = seal(&key(&KEY), &context, &plaintext).unwrap();
        prop_assert!(plain(&open(&key(&KEY), &context, &message).unwrap()) == plaintext);
        for (output, error) in [
            stream(&key(&KEY), &context, &message, &medium, &reads),
            seek_and_read(&key(&KEY), &context, &message, length % 7, &reads),
        ] {
            prop_assert!(error.is_none(), "{:?}", error);
            prop_assert!(output == plaintext);
        }
    }

    #[test]
    fn reading_at_any_position_is_slicing(
        length in length(), moves in vec((any::<Index>(), 0..3_u8, 0..3 * CHUNK), 1..12),
    ) {
        let plaintext = pattern(length);
        let message = seal(&key(&KEY), b"", &plaintext).unwrap();
        let mut reader = SeekReader::new(Cursor::new(message), 0, &key(&KEY), b"").unwrap();
        let mut model = Cursor::new(&plaintext);
        for (index, origin, size) in moves {
            // Up to 20 bytes past the end.
            let target = index.index(length + 20) as i64;
            let to = match origin {
                0 => SeekFrom::Start(target as u64),
                1 => SeekFrom::Current(target - model.position() as i64),
                _ => SeekFrom::End(target - length as i64),
            };
            prop_assert_eq!(reader.seek(to).unwrap(), model.seek(to).unwrap());
            let (mut got, mut expected) = (Vec::new(), Vec::new());
            reader.by_ref().take(size as u64).read_to_end(&mut got).unwrap();
            model.by_ref().take(size as u64).read_to_end(&mut expected).unwrap();
            prop_assert!(got == expected);
            prop_assert_eq!(reader.stream_position().unwrap(), model.position());
        }
    }

    #[test]
    fn any_flipped_bit_is_refused_everywhere(length in length(), at in any::<Index>(), bit in 0..8_u8) {
        let plaintext = pattern(length);
        let mut message = seal(&key(&KEY), b"", &plaintext).unwrap();
        let at = at.index(message.len());
        message[at] ^= 1 << bit;
        refused_everywhere(&message, &plaintext)?;
    }

    #[test]
    fn any_truncation_is_refused_everywhere(length in length(), at in any::<Index>()) {
        let plaintext = pattern(length);
        let message = seal(&key(&KEY), b"", &plaintext).unwrap();
        refused_everywhere(&message[..at.index(message.len())], &plaintext)?;
    }

    #[test]
    fn any_trailing_bytes_are_refused_everywhere(length in length(), more in vec(any::<u8>(), 1..99)) {
        let plaintext = pattern(length);
        let mut message = seal(&key(&KEY), b"", &plaintext).unwrap();
        message.extend(more);
        refused_everywhere(&message, &plaintext)?;
    }

    #[test]
    fn arbitrary_bytes_are_refused_everywhere(bytes in vec(any::<u8>(), 0..3 * CHUNK)) {
        refused_everywhere(&bytes, &[])?;
    }
}

/// Nothing opens it, and what a reader gave out before it refused is the start of the plaintext.
fn refused_everywhere(message: &[u8], plaintext: &[u8]) -> Result<(), TestCaseError> {
    prop_assert!(matches!(open(&key(&KEY), b"", message), Err(Error::Rejected)));
    for (output, error) in [
        stream(&key(&KEY), b"", message, &[message.len() + 1], &[3 * CHUNK]),
        stream(&key(&KEY), b"", message, &[7000], &[100, CHUNK]),
        seek_and_read(&key(&KEY), b"", message, 0, &[3 * CHUNK]),
        seek_and_read(&key(&KEY), b"", message, 5, &[100, CHUNK]),
    ] {
        prop_assert!(matches!(error, Some(Error::Rejected)), "{:?}", error);
        prop_assert!(plaintext.starts_with(&output));
    }
    Ok(())
}

#[test]
fn a_flush_in_the_middle_does_not_end_the_message() {
    let mut writer = Writer::new(Vec::new(), &key(&KEY), b"").unwrap();
    for part in [&b"one "[..], b"two "] {
        writer.write_all(part).unwrap();
        writer.flush().unwrap();
    }
    let message = writer.finish().unwrap();
    assert_eq!(plain(&open(&key(&KEY), b"", &message).unwrap()), b"one two ");
}

#[test]
fn the_same_plaintext_is_sealed_under_a_new_salt_every_time() {
    let seal_once = || seal(&key(&KEY), b"", b"again").unwrap();
    let (a, b) = (seal_once(), seal_once());
    assert_ne!(salt_of(&a).unwrap(), salt_of(&b).unwrap());
    assert_ne!(a[OVERHEAD..], b[OVERHEAD..]);
    let written = |sizes| write_by(b"again", b"", sizes, &[9]);
    assert_ne!(salt_of(&written(&[1])).unwrap(), salt_of(&written(&[1])).unwrap());
}

#[test]
fn a_message_is_read_from_its_offset_to_the_end_of_the_medium() {
    let message = seal(&key(&KEY), b"", b"inside").unwrap();
    for (before, offset, opens) in
        [(0, 0, true), (4096, 4096, true), (4096, 4095, false), (1, 0, false)]
    {
        let medium = [&vec![0; before], &message[..]].concat();
        let reader = SeekReader::new(Cursor::new(medium), offset, &key(&KEY), b"");
        assert_eq!(reader.is_ok(), opens);
        if let Ok(reader) = reader {
            assert_eq!(reader.len(), 6);
            assert_eq!(read_by(reader, &[100]).0, b"inside");
        }
    }
}
