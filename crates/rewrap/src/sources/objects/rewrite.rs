//! The bytes of an object that is replaced.

use std::{
    fs::File,
    io::{self, Cursor, Read as _, Seek as _, Write as _},
    sync::PoisonError,
};

use bytes::Bytes;
use claviger_envelope::{
    EnvelopeError, Header,
    file::{FileHeader, FileResealer, PAYLOAD_OFFSET, rewrap_file_header},
};
use object_store::PutPayload;
use rustix::fs::{MemfdFlags, memfd_create};

use crate::{Change, Content, New, SourceError, sources::blocking};

/// What is to stand there; `None` when it has to be looked at again; a reason when this one object stays.
type Rewritten = Result<Option<PutPayload>, String>;

/// `old` is the whole object, as it was when it was scanned.
pub(super) async fn rewritten(change: &Change, old: Bytes) -> Result<Rewritten, SourceError> {
    match (&change.new, &change.item.content) {
        (New::Bytes(new), Content::Bytes(_)) => {
            Ok(Ok(Some(PutPayload::from(Bytes::copy_from_slice(new)))))
        }
        (New::Header(new), Content::File(read)) => {
            let (new, read) = (new.clone(), read.clone());
            blocking(move || Ok(with_header(&old, &read, &new))).await
        }
        (New::Reseal(resealer), Content::File(_)) => {
            let taken = resealer.lock().unwrap_or_else(PoisonError::into_inner).take();
            // It was sealed anew by an earlier try, whose answer did not come.
            let Some(resealer) = taken else { return Ok(Ok(None)) };
            blocking(move || Ok(resealed(&old, *resealer))).await
        }
        _ => Err(SourceError::unusable("a change does not fit what the object holds")),
    }
}

/// Both slots as a file would have them; the payload's bytes are shared, not copied.
fn with_header(old: &Bytes, read: &FileHeader, new: &Header) -> Rewritten {
    let head = old.get(..PAYLOAD_OFFSET).unwrap_or_default();
    let mut file = in_memory(head).map_err(of_memory)?;
    rewrap_file_header(&mut file, read, new).map_err(|error| error.to_string())?;
    let head = content(file).map_err(of_memory)?;
    Ok(Some(PutPayload::from_iter([head, old.slice(PAYLOAD_OFFSET..)])))
}

fn resealed(old: &Bytes, resealer: FileResealer) -> Rewritten {
    let payload = Cursor::new(old.slice(PAYLOAD_OFFSET.min(old.len())..));
    let mut new = in_memory(&[]).map_err(of_memory)?;
    resealer.reseal(payload, &mut new).map_err(|error| match error {
        EnvelopeError::Rejected => "it was rejected: altered, or another context".to_owned(),
        error => error.to_string(),
    })?;
    Ok(Some(PutPayload::from(content(new).map_err(of_memory)?)))
}

/// A file without a name, in memory: what writes headers of files works on one.
fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("claviger-object", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file)
}

fn content(mut file: File) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(Bytes::from(bytes))
}

fn of_memory(error: io::Error) -> String {
    format!("writing it in memory failed: {error}")
}
