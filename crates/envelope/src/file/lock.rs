//! The cooperative lock of those who replace a file's header in place.
//!
//! Invariant: who holds a [`HeaderLock`] is the only one of all processes that keep to it. It is the kernel's
//! `flock` on the file itself, so it ends with its holder, however that ends. Readers need no lock: one slot is
//! whole at every moment.

use std::{
    fs::{File, TryLockError},
    thread,
    time::{Duration, Instant},
};

use claviger_kms::KmsError;

use crate::{EnvelopeError, Result};

/// Held while a header is replaced.
#[derive(Debug)]
pub(super) struct HeaderLock<'a>(&'a File);

impl<'a> HeaderLock<'a> {
    /// Waits for the lock, at most `longest`: its holder writes 8 KiB only. Blocking.
    ///
    /// # Errors
    /// [`EnvelopeError::Kms`] with `KmsError::Conflict` when somebody else holds it all the time;
    /// [`EnvelopeError::Io`] where the file system has no locks.
    pub(super) fn wait(file: &'a File, longest: Duration) -> Result<Self> {
        let started = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) if started.elapsed() < longest => {
                    thread::sleep(Duration::from_millis(10));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(EnvelopeError::from(KmsError::conflict(
                        "somebody else holds the file's lock; try again when he is done",
                    )));
                }
                Err(TryLockError::Error(source)) => {
                    return Err(EnvelopeError::io("locking the file")(source));
                }
            }
        }
    }
}

impl Drop for HeaderLock<'_> {
    fn drop(&mut self) {
        // Closing the file ends the lock too.
        let _ = self.0.unlock();
    }
}
