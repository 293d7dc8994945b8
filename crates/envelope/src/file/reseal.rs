//! A sealed file sealed anew, in a stream: opened under the old data key, sealed under the new one, then opened
//! again and compared by hash.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek as _, SeekFrom, Write},
};

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{FileOpener, FileSealer, PAYLOAD_OFFSET, stream::BUFFER};
use crate::{EnvelopeError, Header, Result};

/// The old file's data key and the new one's.
#[derive(Debug)]
#[must_use = "nothing is sealed yet"]
pub struct FileResealer {
    opener: FileOpener,
    sealer: FileSealer,
    check: FileOpener,
}

impl FileResealer {
    pub(crate) fn new(opener: FileOpener, sealer: FileSealer, check: FileOpener) -> Self {
        Self { opener, sealer, check }
    }

    /// The header the new file will have.
    #[must_use]
    pub fn header(&self) -> &Header {
        self.sealer.header()
    }

    /// Seals what `sealed` holds, which stands at the payload, into `new`, an empty file open for reading and
    /// writing; then reads it back and compares. Blocking; gives the bytes written.
    ///
    /// # Errors
    /// [`EnvelopeError::Rejected`], [`EnvelopeError::Io`]; `new` must then not be used.
    pub fn reseal(self, sealed: impl Read, new: &mut File) -> Result<u64> {
        let old = self.opener.reader(BufReader::with_capacity(BUFFER, sealed))?;
        let buffered = BufWriter::with_capacity(BUFFER, &mut *new);
        let mut writer = self.sealer.into_writer(buffered)?;
        let written = hash(old, &mut writer)?;
        writer.finish().map_err(|error| EnvelopeError::of_payload(DOING, error))?;
        let payload = PAYLOAD_OFFSET as u64;
        new.seek(SeekFrom::Start(payload)).map_err(EnvelopeError::io(DOING))?;
        let again = self.check.reader(BufReader::with_capacity(BUFFER, &mut *new))?;
        if hash(again, io::sink())? != written {
            return Err(EnvelopeError::Rejected);
        }
        new.stream_position().map_err(EnvelopeError::io(DOING))
    }
}

/// Copies all, and gives the hash of what went by.
fn hash(mut from: impl Read, mut to: impl Write) -> Result<[u8; 32]> {
    let (mut hash, mut buffer) = (Sha256::new(), Zeroizing::new(vec![0; BUFFER]));
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(hash.finalize().into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(EnvelopeError::of_payload(DOING, source)),
        };
        let part = buffer.get(..count).unwrap_or_default();
        hash.update(part);
        to.write_all(part).map_err(EnvelopeError::io(DOING))?;
    }
}

const DOING: &str = "sealing the file anew";
