//! Ending early without leaving anything behind.
//!
//! Ctrl-C cannot kill this program at once: a temporary file would stay. Whoever holds one takes a
//! [`Cleanup`]; a signal asks it to stop, its next read fails, the file is removed as after any error, and the
//! program ends when no cleanup is outstanding. A second signal ends it without waiting.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::watch;

/// Whether to stop, shared by all who must know.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    requested: Arc<AtomicBool>,
    outstanding: watch::Sender<usize>,
}

impl Stop {
    pub(crate) fn new() -> Self {
        Self { requested: Arc::default(), outstanding: watch::Sender::new(0) }
    }

    /// Asks everybody to stop.
    pub(crate) fn request(&self) {
        self.requested.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_requested(&self) -> bool {
        self.requested.load(Ordering::SeqCst)
    }

    /// Makes the end of the program wait until the returned value is dropped.
    pub(crate) fn cleanup(&self) -> Cleanup {
        self.outstanding.send_modify(|count| *count += 1);
        Cleanup(self.outstanding.clone())
    }

    /// Waits until nothing is left to remove.
    pub(crate) async fn wait_until_clean(&self) {
        // The sender lives as long as this value, so waiting does not fail.
        let _ = self.outstanding.subscribe().wait_for(|count| *count == 0).await;
    }
}

/// Somebody has something to remove; dropped when it is gone or kept for good.
#[derive(Debug)]
#[must_use = "the program does not wait for what is dropped at once"]
pub(crate) struct Cleanup(watch::Sender<usize>);

impl Drop for Cleanup {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// A file or pipe whose reading fails soon after a stop was requested, also while nothing arrives.
#[derive(Debug)]
pub(crate) struct StoppableReader {
    file: File,
    stop: Stop,
}

impl StoppableReader {
    pub(crate) fn new(file: File, stop: Stop) -> Self {
        Self { file, stop }
    }
}

impl Read for StoppableReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.stop.is_requested() {
                return Err(io::Error::other("stopped by a signal"));
            }
            let mut ready = [PollFd::new(&self.file, PollFlags::IN)];
            match poll(&mut ready, Some(&LOOK_AGAIN)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return self.file.read(buffer),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl Seek for StoppableReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// How often a reader without input looks whether it must stop.
const LOOK_AGAIN: Timespec =
    Timespec { tv_sec: 0, tv_nsec: Duration::from_millis(100).subsec_nanos() as _ };

#[cfg(test)]
mod tests {
    use std::{io::Write as _, time::Instant};

    use super::*;

    fn pipe() -> (File, File) {
        let (reader, writer) = io::pipe().unwrap();
        let owned = |fd: std::os::fd::OwnedFd| File::from(fd);
        (owned(reader.into()), owned(writer.into()))
    }

    #[test]
    fn a_reader_without_input_stops_soon() {
        let (reader, _writer) = pipe();
        let stop = Stop::new();
        let mut reader = StoppableReader::new(reader, stop.clone());
        let reading = std::thread::spawn(move || reader.read(&mut [0; 10]));
        std::thread::sleep(Duration::from_millis(30));
        let asked = Instant::now();
        stop.request();
        assert!(reading.join().unwrap().is_err());
        assert!(asked.elapsed() < Duration::from_secs(2));
    }

    #[test]
    fn a_reader_with_input_stops_too() {
        let (reader, mut writer) = pipe();
        writer.write_all(b"hello").unwrap();
        let stop = Stop::new();
        let mut reader = StoppableReader::new(reader, stop.clone());
        assert_eq!(reader.read(&mut [0; 2]).unwrap(), 2);
        stop.request();
        assert!(reader.read(&mut [0; 2]).is_err());
    }

    #[tokio::test]
    async fn the_end_waits_for_what_must_be_removed() {
        let stop = Stop::new();
        stop.wait_until_clean().await;
        let (first, second) = (stop.cleanup(), stop.cleanup());
        let short = Duration::from_millis(20);
        drop(first);
        assert!(tokio::time::timeout(short, stop.wait_until_clean()).await.is_err());
        drop(second);
        stop.wait_until_clean().await;
    }
}
