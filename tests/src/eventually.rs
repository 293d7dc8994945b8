//! Waiting for what must come.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Asks until the answer is yes.
///
/// # Panics
/// When that does not come within `patience`, naming `what` was waited for.
pub fn eventually(what: &str, patience: Duration, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < patience, "{what}: not within {patience:?}");
        thread::sleep(Duration::from_millis(50));
    }
}
