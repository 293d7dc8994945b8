//! Media that fail, messages that break off, callers that go on after an error.

use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};

use claviger_cobblestone::{CHUNK, Error, OVERHEAD, Reader, SeekReader, TAG, Writer, open, seal};

use crate::support::{key, pattern, read_by, seek_and_read, stream};

const KEY: [u8; 32] = [0x42; 32];
const SEALED_CHUNK: usize = CHUNK + TAG;

/// Works for so many bytes, then fails once, then works again.
struct FailsOnce<T> {
    inner: T,
    left: usize,
    kind: io::ErrorKind,
    failed: bool,
}

impl<T> FailsOnce<T> {
    fn after(left: usize, kind: io::ErrorKind, inner: T) -> Self {
        Self { inner, left, kind, failed: false }
    }

    fn allow(&mut self, wanted: usize) -> io::Result<usize> {
        if self.failed {
            return Ok(wanted);
        }
        if self.left == 0 {
            self.failed = true;
            return Err(self.kind.into());
        }
        let allowed = wanted.min(self.left);
        self.left -= allowed;
        Ok(allowed)
    }
}

impl<R: Read> Read for FailsOnce<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let allowed = self.allow(buffer.len())?;
        self.inner.read(&mut buffer[..allowed])
    }
}

impl<W: Write> Write for FailsOnce<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let allowed = self.allow(bytes.len())?;
        self.inner.write(&bytes[..allowed])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[test]
fn a_writer_that_is_dropped_leaves_a_message_that_never_opens() {
    for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
        let mut message = Vec::new();
        let mut writer = Writer::new(&mut message, &key(&KEY), b"").unwrap();
        writer.write_all(&pattern(length)).unwrap();
        drop(writer);
        assert!(matches!(open(&key(&KEY), b"", &message), Err(Error::Rejected)), "{length}");
        let (_, error) = stream(&key(&KEY), b"", &message, &[100_000], &[100_000]);
        assert!(matches!(error, Some(Error::Rejected)), "{length}");
        let (_, error) = seek_and_read(&key(&KEY), b"", &message, 0, &[100_000]);
        assert!(matches!(error, Some(Error::Rejected)), "{length}");
    }
}

#[test]
fn a_writer_on_a_full_disk_fails_for_ever() {
    let mut message = Vec::new();
    let room = OVERHEAD + SEALED_CHUNK + 100;
    let disk = FailsOnce::after(room, io::ErrorKind::StorageFull, &mut message);
    let mut writer = Writer::new(disk, &key(&KEY), b"").unwrap();
    let refused = writer.write_all(&pattern(3 * CHUNK)).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
    // The disk has room again, but what it holds is not the start of this message any more.
    assert!(writer.write_all(b"more").is_err());
    assert!(writer.flush().is_err());
    assert!(matches!(writer.finish(), Err(Error::Io { .. })));
    assert!(matches!(open(&key(&KEY), b"", &message), Err(Error::Rejected)));
}

#[test]
fn a_writer_says_when_not_even_the_header_or_the_last_chunk_is_taken() {
    let disk = FailsOnce::after(55, io::ErrorKind::StorageFull, Vec::new());
    assert!(matches!(Writer::new(disk, &key(&KEY), b""), Err(Error::Io { .. })));
    let disk = FailsOnce::after(OVERHEAD + 5, io::ErrorKind::StorageFull, Vec::new());
    let mut writer = Writer::new(disk, &key(&KEY), b"").unwrap();
    writer.write_all(b"small").unwrap();
    assert!(matches!(writer.finish(), Err(Error::Io { .. })));
}

#[test]
fn a_reader_keeps_refusing_after_it_has_refused() {
    // Chunk 1 stands there twice, altered and then as it was: the second must not be taken.
    let mut message = seal(&key(&KEY), b"", &pattern(4 * CHUNK)).unwrap();
    let chunk_1 = OVERHEAD + SEALED_CHUNK..OVERHEAD + 2 * SEALED_CHUNK;
    let mut altered = message[chunk_1.clone()].to_vec();
    altered[0] ^= 1;
    message.splice(chunk_1.start..chunk_1.start, altered);
    let mut reader = Reader::new(Cursor::new(message), &key(&KEY), b"").unwrap();
    let mut first = vec![0; CHUNK];
    reader.read_exact(&mut first).unwrap();
    assert!(first == pattern(CHUNK));
    for size in [CHUNK, 1, 100_000] {
        let refused = reader.read(&mut vec![0; size]).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        assert!(matches!(refused.downcast::<Error>(), Ok(Error::Rejected)));
    }
}

#[test]
fn a_reader_never_takes_a_failing_medium_for_a_bad_message_nor_goes_on_after_it() {
    let message = seal(&key(&KEY), b"", &pattern(2 * CHUNK)).unwrap();
    for left in [OVERHEAD, OVERHEAD + 100, OVERHEAD + SEALED_CHUNK, message.len() - 1] {
        let medium = FailsOnce::after(left, io::ErrorKind::TimedOut, &message[..]);
        let mut reader = Reader::new(medium, &key(&KEY), b"").unwrap();
        let (mut output, error) = read_by(&mut reader, &[100_000]);
        assert_eq!(error.unwrap().kind(), io::ErrorKind::TimedOut);
        let again = reader.read_to_end(&mut output).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::Other);
        assert!(pattern(2 * CHUNK).starts_with(&output));
    }
    let medium = FailsOnce::after(40, io::ErrorKind::TimedOut, &message[..]);
    assert!(matches!(Reader::new(medium, &key(&KEY), b""), Err(Error::Io { .. })));
}

#[test]
fn nothing_of_a_refused_chunk_reaches_the_caller() {
    let mut message = seal(&key(&KEY), b"", &[0x5A; CHUNK]).unwrap();
    message[OVERHEAD + CHUNK] ^= 1;
    let mut buffer = vec![0; 2 * CHUNK];
    Reader::new(&message[..], &key(&KEY), b"").unwrap().read(&mut buffer).unwrap_err();
    assert!(!buffer.contains(&0x5A));
    let mut reader = SeekReader::new(Cursor::new(message), 0, &key(&KEY), b"").unwrap();
    reader.read(&mut buffer).unwrap_err();
    assert!(!buffer.contains(&0x5A));
}

#[test]
fn a_seek_reader_verifies_the_last_chunk_before_it_tells_the_length() {
    let whole = seal(&key(&KEY), b"", &pattern(2 * CHUNK + 100)).unwrap();
    let open_at = |message: &[u8]| {
        SeekReader::new(Cursor::new(message.to_vec()), 0, &key(&KEY), b"").map(|r| r.len())
    };
    assert_eq!(open_at(&whole).unwrap(), 2 * CHUNK as u64 + 100);
    // Each of these lengths is one that a message can have.
    for length in [72, OVERHEAD + SEALED_CHUNK + TAG, whole.len() - 1] {
        assert!(matches!(open_at(&whole[..length]), Err(Error::Rejected)), "{length}");
    }
    let mut altered = whole.clone();
    *altered.last_mut().unwrap() ^= 1;
    assert!(matches!(open_at(&altered), Err(Error::Rejected)));
}

#[test]
fn a_seek_reader_refuses_the_bad_chunk_and_reads_the_others() {
    let plaintext = pattern(3 * CHUNK);
    let mut message = seal(&key(&KEY), b"", &plaintext).unwrap();
    message[OVERHEAD + SEALED_CHUNK + 7] ^= 1;
    let mut reader = SeekReader::new(Cursor::new(message), 0, &key(&KEY), b"").unwrap();
    let mut read_at = |position: usize, size: usize| {
        reader.seek(SeekFrom::Start(position as u64)).unwrap();
        let mut buffer = vec![0; size];
        reader.read_exact(&mut buffer).map(|()| buffer)
    };
    for size in [10, CHUNK] {
        assert!(read_at(0, size).unwrap() == plaintext[..size]);
        assert_eq!(read_at(CHUNK, size).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(read_at(2 * CHUNK, size).unwrap() == plaintext[2 * CHUNK..2 * CHUNK + size]);
        assert!(read_at(CHUNK - 5, 5).unwrap() == plaintext[CHUNK - 5..CHUNK]);
        assert!(read_at(CHUNK - 5, 6).is_err());
    }
}

#[test]
fn a_seek_reader_refuses_a_medium_that_shrinks_under_it() {
    let mut medium = tempfile::tempfile().unwrap();
    medium.write_all(&seal(&key(&KEY), b"", &pattern(3 * CHUNK)).unwrap()).unwrap();
    let mut reader = SeekReader::new(&medium, 0, &key(&KEY), b"").unwrap();
    medium.set_len((OVERHEAD + SEALED_CHUNK + 50) as u64).unwrap();
    let (output, error) = read_by(&mut reader, &[100_000]);
    assert!(output == pattern(CHUNK));
    assert!(matches!(Error::from(error.unwrap()), Error::Rejected));
}

#[test]
fn a_seek_reader_refuses_positions_before_the_start_and_offsets_past_the_end() {
    let message = seal(&key(&KEY), b"", b"twelve bytes").unwrap();
    let past = message.len() as u64 + 1;
    let medium = Cursor::new(message);
    for offset in [past, u64::MAX] {
        let refused = SeekReader::new(medium.clone(), offset, &key(&KEY), b"");
        assert!(matches!(refused, Err(Error::Rejected)));
    }
    let mut reader = SeekReader::new(medium, 0, &key(&KEY), b"").unwrap();
    for to in [SeekFrom::Current(-1), SeekFrom::End(-13), SeekFrom::End(i64::MIN)] {
        assert_eq!(reader.seek(to).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(reader.stream_position().unwrap(), 0);
    }
    reader.seek(SeekFrom::Start(u64::MAX)).unwrap();
    assert!(reader.seek(SeekFrom::Current(1)).is_err());
    assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn debug_shows_neither_key_nor_plaintext() {
    let message = seal(&key(&KEY), b"", b"BBBBBBBB").unwrap();
    let mut writer = Writer::new(Vec::new(), &key(&KEY), b"").unwrap();
    writer.write_all(b"BBBBBBBB").unwrap();
    let reader = Reader::new(&message[..], &key(&KEY), b"").unwrap();
    let seek_reader = SeekReader::new(Cursor::new(&message), 0, &key(&KEY), b"").unwrap();
    for text in [format!("{writer:?}"), format!("{reader:?}"), format!("{seek_reader:?}")] {
        assert!(!text.contains("66") && !text.contains("42, 42") && !text.contains("BB"), "{text}");
    }
}
