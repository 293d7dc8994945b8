//! What the disk takes to make a record durable: the floor of every reply.

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use claviger_tests::measure::Case;
use rustix::fs::FallocateFlags;

/// A record as long as the audit log's, made durable behind the one before, in space that is allocated:
/// what the log does. The file grows with each.
pub(crate) fn append(folder: &Path) -> Case {
    let file = File::create_new(folder.join("append")).unwrap();
    rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, 0, ROOM).unwrap();
    case("append and fdatasync", file)
}

/// The same over bytes that stand there already: nothing but the data has to be written.
pub(crate) fn overwrite(folder: &Path) -> Case {
    let file = File::create_new(folder.join("overwrite")).unwrap();
    let room = usize::try_from(ROOM).unwrap();
    file.write_all_at(&vec![1; room], 0).unwrap();
    file.sync_all().unwrap();
    case("overwrite and fdatasync", file)
}

fn case(name: &str, file: File) -> Case {
    let (file, place) = (Arc::new(file), Arc::new(AtomicU64::new(0)));
    Case::new(&[name, "1", "–"], 1, 1, std::process::id(), move |_| {
        let (file, place) = (Arc::clone(&file), Arc::clone(&place));
        async move {
            let at = place.fetch_add(RECORD, Relaxed) % (ROOM - RECORD);
            file.write_all_at(&[b'x'; RECORD as usize], at).unwrap();
            file.sync_data().unwrap();
        }
    })
}

/// Bytes of an audit record of a data key.
const RECORD: u64 = 700;
/// As much as a segment of the site's audit log.
const ROOM: u64 = 64 << 20;
