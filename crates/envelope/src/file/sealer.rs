//! Sealing one file, from a stream to a stream or to a new file.

use std::{
    io::{BufWriter, Read, Write},
    path::Path,
};

use claviger_cobblestone::Writer;

use super::{
    Existing, HeaderSlot,
    new_file::NewFile,
    stream::{BUFFER, CopyError, copy},
};
use crate::{EnvelopeError, Header, Result, payload::PayloadKey};

/// The header and the data key of one new file. It is used up by sealing: one data key, one file.
#[derive(Debug)]
#[must_use = "nothing is sealed yet"]
pub struct FileSealer {
    header: Header,
    payload_key: PayloadKey,
}

impl FileSealer {
    pub(crate) fn new(header: Header, payload_key: PayloadKey) -> Self {
        Self { header, payload_key }
    }

    /// The header it will write.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Writes the header to `sealed`; what is then written to the returned writer is the plaintext. The file
    /// is complete only after the writer's `finish`.
    ///
    /// # Errors
    /// [`EnvelopeError::Io`].
    pub fn into_writer<W: Write>(self, mut sealed: W) -> Result<Writer<W>> {
        for sequence in [1, 2] {
            let slot = HeaderSlot::new(sequence, self.header.clone())?;
            sealed.write_all(&slot.to_bytes()).map_err(EnvelopeError::io(WRITING))?;
        }
        self.payload_key.writer(sealed)
    }

    /// Seals all of `plain` into `sealed`, with bounded memory. Blocking. Calls `progress` with the bytes of
    /// plaintext so far; gives the bytes of plaintext. After an error `sealed` holds a cut file that never
    /// opens.
    ///
    /// # Errors
    /// [`EnvelopeError::Io`], naming the side that failed.
    pub fn seal_stream(
        self,
        plain: impl Read,
        sealed: impl Write,
        progress: impl FnMut(u64),
    ) -> Result<u64> {
        let mut writer = self.into_writer(BufWriter::with_capacity(BUFFER, sealed))?;
        let total = copy(plain, &mut writer, progress).map_err(|error| match error {
            CopyError::Reading(source) => EnvelopeError::io("reading the plaintext")(source),
            CopyError::Writing(source) => EnvelopeError::of_payload(WRITING, source),
        })?;
        writer.finish().map_err(|error| EnvelopeError::of_payload(WRITING, error))?;
        Ok(total)
    }

    /// Seals all of `plain` into a new file at `output`, which appears there only when it is complete and on
    /// the disk; after an error nothing is left behind. The file is readable by its owner only, and has
    /// no other property of the input. Blocking; else as [`seal_stream`](Self::seal_stream).
    ///
    /// # Errors
    /// [`EnvelopeError::OutputExists`], [`EnvelopeError::Io`].
    pub fn seal_to_path(
        self,
        plain: impl Read,
        output: &Path,
        existing: Existing,
        progress: impl FnMut(u64),
    ) -> Result<u64> {
        self.seal_to(plain, NewFile::create(output, existing)?, progress)
    }

    /// The same into a file that is made already.
    ///
    /// # Errors
    /// As [`seal_to_path`](Self::seal_to_path).
    pub fn seal_to(
        self,
        plain: impl Read,
        mut output: NewFile,
        progress: impl FnMut(u64),
    ) -> Result<u64> {
        let total = self.seal_stream(plain, output.writer(), progress)?;
        output.keep()?;
        Ok(total)
    }
}

const WRITING: &str = "writing the envelope";
