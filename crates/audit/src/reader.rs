//! Reads one segment, record by record.
//!
//! Each line's checksum and number are verified; the chain between segments is the business of
//! whoever reads several. A reader never changes a file and may run beside the writer: then the last
//! line can be incomplete and is reported as damage.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use crate::{AuditError, Header, Record, line, line::MAX_LINE};

/// Opens a segment and reads its header.
///
/// # Errors
/// [`AuditError::Unusable`] when the file cannot be read, [`AuditError::Damaged`] when its first line
/// is no header of a known format.
pub fn read_segment(path: impl AsRef<Path>) -> Result<SegmentReader, AuditError> {
    let path = path.as_ref().to_owned();
    let file =
        File::open(&path).map_err(|source| AuditError::Unusable { path: path.clone(), source })?;
    let mut lines = Lines { path, reader: BufReader::new(file), line: 0, bytes: 0 };
    let first = lines.next_line()?.unwrap_or_default();
    let header: Header = lines.decode(&first)?;
    if header.format != Header::FORMAT {
        let what = format!("format {} is not known here, only {}", header.format, Header::FORMAT);
        return Err(lines.damage(what));
    }
    let next = header.first_sequence.number();
    Ok(SegmentReader { lines, header, next, failed: false })
}

/// The records of one segment, in order. After an error it ends.
#[derive(Debug)]
pub struct SegmentReader {
    lines: Lines,
    header: Header,
    next: u64,
    failed: bool,
}

impl SegmentReader {
    /// The segment's header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Bytes read so far, from the file's beginning to the end of the last line returned.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.lines.bytes
    }

    fn read(&mut self) -> Result<Option<Record>, AuditError> {
        let Some(text) = self.lines.next_line()? else { return Ok(None) };
        let record: Record = self.lines.decode(&text)?;
        let number = record.sequence.number();
        if number != self.next {
            return Err(self.lines.damage(gap(number, self.next)));
        }
        self.next = number.saturating_add(1);
        Ok(Some(record))
    }
}

impl Iterator for SegmentReader {
    type Item = Result<Record, AuditError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let item = self.read().transpose();
        self.failed = matches!(item, Some(Err(_)));
        item
    }
}

pub(crate) fn gap(found: u64, expected: u64) -> String {
    format!("record {found} stands where record {expected} belongs")
}

/// The lines of a file with their numbers, each at most [`MAX_LINE`] bytes.
#[derive(Debug)]
struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    line: u64,
    bytes: u64,
}

impl Lines {
    /// The next line with its newline, or `None` at the end.
    fn next_line(&mut self) -> Result<Option<Vec<u8>>, AuditError> {
        self.line += 1;
        let mut text = Vec::with_capacity(1024);
        let most = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
        std::io::Read::take(&mut self.reader, most)
            .read_until(b'\n', &mut text)
            .map_err(|source| AuditError::Unusable { path: self.path.clone(), source })?;
        self.bytes = self.bytes.saturating_add(u64::try_from(text.len()).unwrap_or(u64::MAX));
        Ok((!text.is_empty()).then_some(text))
    }

    fn decode<T: serde::de::DeserializeOwned>(&self, text: &[u8]) -> Result<T, AuditError> {
        let whole = text.strip_suffix(b"\n").ok_or("the line does not end".to_owned());
        whole.and_then(line::decode).map_err(|what| self.damage(what))
    }

    fn damage(&self, what: String) -> AuditError {
        AuditError::Damaged { file: self.path.clone(), line: self.line, what }
    }
}
