//! The file the next segment will be, and how it becomes one.
//!
//! The spare is what keeps room for emergencies when the disk is full, so one that an earlier run left
//! is taken over, never given up and asked for again.

use std::fs::{self, File};

use sha2::{Digest as _, Sha256};

use crate::{
    Header,
    directory::Directory,
    disk::{Disk, is_full},
    line,
    segment::{Failure, Segment, length},
};

/// The file the next segment will be: empty, allocated, under a name that is no segment's.
pub(crate) fn make_spare(
    disk: &Disk,
    directory: &Directory,
    size: u64,
) -> Result<(File, bool), Failure> {
    let path = directory.spare();
    let failed = |error: std::io::Error| match is_full(&error) {
        true => Failure::Full,
        false => Failure::Disk(format!("{}: {error}", path.display())),
    };
    // One that was left by an earlier run keeps its room, which might not be had a second time.
    let left = disk.open(&path).and_then(|file| Ok((file.metadata()?, file)));
    let file = match left {
        Ok((metadata, file)) if metadata.is_file() && metadata.len() == 0 => file,
        _ => disk.create(&path).map_err(failed)?,
    };
    let preallocated = disk.allocate(&file, size).map_err(|error| {
        // Nothing half allocated is left to take the room from others.
        let _ = fs::remove_file(&path);
        failed(error)
    })?;
    Ok((file, preallocated))
}

/// Makes the spare file a segment: header first, name second, each durable before the next step.
pub(crate) fn activate(
    disk: &Disk,
    directory: &Directory,
    spare: File,
    header: &Header,
    size: u64,
) -> Result<Segment, Failure> {
    let path = directory.segment(header.first_sequence);
    let bytes = line::encode(header).map_err(Failure::Disk)?;
    let named = disk
        .write(&spare, &bytes, 0)
        .and_then(|()| disk.sync(&spare))
        .and_then(|()| fs::rename(directory.spare(), &path))
        .and_then(|()| disk.sync_directory(directory.path()));
    match named {
        Ok(()) => {
            let hasher = Sha256::new_with_prefix(&bytes);
            Ok(Segment::new(path, spare, header, length(&bytes), hasher, size))
        }
        Err(error) if is_full(&error) => Err(Failure::Full),
        Err(error) => Err(Failure::Disk(format!("{}: {error}", path.display()))),
    }
}
