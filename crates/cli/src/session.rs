//! What every command works with: the key service, the streams, and how to speak.

use std::{io::Write as _, sync::Arc};

use claviger_kms::KeyManagementService;
use tokio::task::spawn_blocking;

use crate::{
    error::{CliError, Result},
    stop::Stop,
    streams::Streams,
};

/// The surroundings of one command.
pub(crate) struct Session {
    /// The key service.
    pub(crate) service: Arc<dyn KeyManagementService>,
    /// What `-` is.
    pub(crate) streams: Streams,
    /// Whether to end early.
    pub(crate) stop: Stop,
    /// JSON instead of text.
    pub(crate) json: bool,
    /// Nothing but results and errors.
    pub(crate) quiet: bool,
}

impl Session {
    /// Says something beside the result, on the standard error.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet && !self.json {
            // Nobody is there to be told when the standard error is closed.
            let _ = writeln!(std::io::stderr(), "claviger: {}", crate::reply::printable(text));
        }
    }
}

/// Runs blocking work without keeping a signal from being heard.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    spawn_blocking(work).await.map_err(|error| CliError::from(anyhow::Error::from(error)))?
}

/// A session over a key service in memory, whose streams are files.
#[cfg(test)]
pub(crate) mod tests {
    use std::io::{Read as _, Seek as _};

    use claviger_testkit::MemoryKms;

    use super::*;

    pub(crate) struct Bench {
        pub(crate) service: Arc<MemoryKms>,
        pub(crate) session: Session,
        pub(crate) folder: tempfile::TempDir,
    }

    impl Bench {
        /// With the key `eu/pay`, and `input` at the standard input.
        pub(crate) fn new(input: &[u8]) -> Self {
            let service = Arc::new(MemoryKms::with_keys(&["eu/pay"]).unwrap());
            let mut bench = Self {
                session: Session {
                    service: service.clone(),
                    streams: Streams {
                        input: tempfile::tempfile().unwrap(),
                        output: tempfile::tempfile().unwrap(),
                    },
                    stop: Stop::new(),
                    json: false,
                    quiet: true,
                },
                service,
                folder: tempfile::tempdir().unwrap(),
            };
            bench.set_input(input);
            bench
        }

        pub(crate) fn set_input(&mut self, bytes: &[u8]) {
            let mut input = tempfile::tempfile().unwrap();
            input.write_all(bytes).unwrap();
            input.rewind().unwrap();
            self.session.streams.input = input;
        }

        /// What was written to the standard output, which is empty afterwards.
        pub(crate) fn take_output(&mut self) -> Vec<u8> {
            let output = &mut self.session.streams.output;
            let mut bytes = Vec::new();
            output.rewind().unwrap();
            output.read_to_end(&mut bytes).unwrap();
            *output = tempfile::tempfile().unwrap();
            bytes
        }

        pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
            self.folder.path().join(name)
        }

        /// Names in the folder: nothing temporary may stay behind.
        pub(crate) fn names(&self) -> Vec<String> {
            let mut names: Vec<String> = std::fs::read_dir(self.folder.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }
}
