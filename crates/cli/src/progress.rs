//! The progress bar: on the standard error, on a terminal only, gone when the work is.

use std::io::{self, IsTerminal as _, Write as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar, or nothing. Removed from the terminal when dropped.
#[derive(Debug)]
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    /// A bar for `length` bytes, or of unknown length; nothing when `quiet` or nobody watches.
    pub(crate) fn new(name: &str, length: Option<u64>, quiet: bool) -> Self {
        if quiet || !io::stderr().is_terminal() {
            return Self(None);
        }
        let (template, length) = match length {
            Some(length) => (KNOWN, Some(length)),
            None => (UNKNOWN, None),
        };
        let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(crate::reply::printable(name));
        Self(Some(bar))
    }

    /// A bar for things to count, of a length still unknown.
    pub(crate) fn counting(name: &str, quiet: bool) -> Self {
        let progress = Self::new(name, None, quiet);
        if let (Some(bar), Ok(style)) = (&progress.0, ProgressStyle::with_template(COUNTED)) {
            bar.set_style(style);
        }
        progress
    }

    /// How much there is, once that is known.
    pub(crate) fn set_length(&self, length: Option<u64>) {
        if let (Some(bar), Some(length)) = (&self.0, length) {
            bar.set_length(length);
        }
    }

    /// Whether somebody sees the bar.
    pub(crate) fn is_shown(&self) -> bool {
        self.0.is_some()
    }

    /// So many more bytes are done.
    pub(crate) fn advance(&self, by: u64) {
        if let Some(bar) = &self.0 {
            bar.inc(by);
        }
    }

    /// Tells a line on the standard error, above the bar.
    pub(crate) fn tell(&self, text: &str) {
        let line = format!("claviger: {}", crate::reply::printable(text));
        // Nobody is there to be told when the standard error is closed.
        let write = || drop(writeln!(io::stderr(), "{line}"));
        match &self.0 {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// So many bytes are done.
    pub(crate) fn set(&self, done: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(done);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

const KNOWN: &str =
    "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}";
const COUNTED: &str = "{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}";
const UNKNOWN: &str = "{msg} {spinner} {binary_bytes} {binary_bytes_per_sec}";
