//! Opening one file, from a stream to a stream or to a new file, or at any position.

use std::{
    io::{BufReader, Read, Seek, SeekFrom, Write},
    path::Path,
};

use claviger_cobblestone::{Reader, SeekReader};

use super::{
    ByteRange, Existing, PAYLOAD_OFFSET,
    new_file::NewFile,
    stream::{BUFFER, CopyError, copy},
};
use crate::{EnvelopeError, Result, payload::PayloadKey};

/// The data key of one file whose header a key service has verified.
#[derive(Debug)]
pub struct FileOpener {
    payload_key: PayloadKey,
}

impl FileOpener {
    pub(crate) fn new(payload_key: PayloadKey) -> Self {
        Self { payload_key }
    }

    /// Reads the plaintext as a stream. `sealed` stands at the payload, as
    /// [`FileHeader::read_from`](super::FileHeader::read_from) leaves it. Each byte is verified before it is
    /// given out, that the file is complete only at its end.
    ///
    /// # Errors
    /// [`EnvelopeError::Rejected`], [`EnvelopeError::Io`].
    pub fn reader<R: Read>(&self, sealed: R) -> Result<Reader<R>> {
        self.payload_key.reader(sealed)
    }

    /// Reads the plaintext at any position. `sealed` is the whole file; that it is complete is verified here,
    /// what is read is verified as it is read.
    ///
    /// # Errors
    /// [`EnvelopeError::Rejected`], [`EnvelopeError::Io`].
    pub fn seek_reader<R: Read + Seek>(&self, sealed: R) -> Result<SeekReader<R>> {
        self.payload_key.seek_reader(sealed, PAYLOAD_OFFSET as u64)
    }

    /// Opens all of `sealed`, which stands at the payload, into `plain`, with bounded memory. Blocking. Calls
    /// `progress` with the bytes of plaintext so far; gives the bytes of plaintext. After an error `plain` may
    /// have received a part of the plaintext, verified but not the whole.
    ///
    /// # Errors
    /// [`EnvelopeError::Rejected`]; [`EnvelopeError::Io`], naming the side that failed.
    pub fn open_stream(
        &self,
        sealed: impl Read,
        mut plain: impl Write,
        progress: impl FnMut(u64),
    ) -> Result<u64> {
        let reader = self.reader(BufReader::with_capacity(BUFFER, sealed))?;
        let total = copy(reader, &mut plain, progress).map_err(of_copy)?;
        plain.flush().map_err(EnvelopeError::io(WRITING))?;
        Ok(total)
    }

    /// Opens all of `sealed`, which stands at the payload, into a new file at `output`, which appears there
    /// only when all of it is verified and on the disk; after an error nothing is left behind. The file is
    /// readable by its owner only. Blocking; else as [`open_stream`](Self::open_stream).
    ///
    /// # Errors
    /// [`EnvelopeError::Rejected`], [`EnvelopeError::OutputExists`], [`EnvelopeError::Io`].
    pub fn open_to_path(
        &self,
        sealed: impl Read,
        output: &Path,
        existing: Existing,
        progress: impl FnMut(u64),
    ) -> Result<u64> {
        self.open_to(sealed, NewFile::create(output, existing)?, progress)
    }

    /// The same into a file that is made already.
    ///
    /// # Errors
    /// As [`open_to_path`](Self::open_to_path).
    pub fn open_to(
        &self,
        sealed: impl Read,
        mut output: NewFile,
        progress: impl FnMut(u64),
    ) -> Result<u64> {
        let total = self.open_stream(sealed, output.writer(), progress)?;
        output.keep()?;
        Ok(total)
    }

    /// Opens a part of `sealed`, the whole file, into `plain`. That the file is complete is verified first, by
    /// its last chunk; then only the chunks that hold the part are read, each verified before it is given out.
    /// Blocking; `progress` and the result are as of [`open_stream`](Self::open_stream).
    ///
    /// # Errors
    /// [`EnvelopeError::Kms`] with `KmsError::Invalid` when the range begins past the end; else as
    /// [`open_stream`](Self::open_stream).
    pub fn open_range(
        &self,
        sealed: impl Read + Seek,
        range: ByteRange,
        mut plain: impl Write,
        progress: impl FnMut(u64),
    ) -> Result<u64> {
        let mut reader = self.seek_reader(sealed)?;
        let part = range.within(reader.len())?;
        reader.seek(SeekFrom::Start(part.start)).map_err(EnvelopeError::io(READING))?;
        let part = reader.take(part.end.saturating_sub(part.start));
        let total = copy(part, &mut plain, progress).map_err(of_copy)?;
        plain.flush().map_err(EnvelopeError::io(WRITING))?;
        Ok(total)
    }
}

fn of_copy(error: CopyError) -> EnvelopeError {
    match error {
        CopyError::Reading(source) => EnvelopeError::of_payload(READING, source),
        CopyError::Writing(source) => EnvelopeError::io(WRITING)(source),
    }
}

const READING: &str = "reading the envelope";
const WRITING: &str = "writing the plaintext";
