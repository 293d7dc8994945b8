//! Standard input and output as files without a buffer of their own: Rust's `stdout` keeps what was
//! written in memory nobody wipes.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read},
    os::fd::AsFd,
};

use claviger_kms::{KmsError, SecretBytes};
use zeroize::Zeroizing;

use crate::{
    error::{CliError, Result},
    stop::{Stop, StoppableReader},
};

/// Where `-` reads from and writes to.
#[derive(Debug)]
pub(crate) struct Streams {
    /// Standard input.
    pub(crate) input: File,
    /// Standard output.
    pub(crate) output: File,
}

impl Streams {
    /// Those of this process.
    pub(crate) fn standard() -> io::Result<Self> {
        let own = |stream: &dyn AsFd| stream.as_fd().try_clone_to_owned().map(File::from);
        Ok(Self { input: own(&io::stdin())?, output: own(&io::stdout())? })
    }

    /// The same streams once more.
    pub(crate) fn share(&self) -> Result<Self> {
        let share = |file: &File| file.try_clone().map_err(CliError::file("sharing a stream"));
        Ok(Self { input: share(&self.input)?, output: share(&self.output)? })
    }

    pub(crate) fn output_is_terminal(&self) -> bool {
        self.output.is_terminal()
    }
}

/// Reads all of `input` into memory that is wiped; `None` when there are more than `most` bytes. Blocking.
pub(crate) fn read_value(input: File, stop: Stop, most: usize) -> Result<Option<SecretBytes>> {
    let mut input = StoppableReader::new(input, stop);
    let mut buffer = Zeroizing::new(vec![0; most.saturating_add(1)]);
    let mut length = 0;
    loop {
        let room = buffer.get_mut(length..).unwrap_or_default();
        match input.read(room) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(CliError::file("reading the standard input")(source)),
        }
    }
    // A full buffer means one byte more than allowed.
    Ok(buffer.get(..length).filter(|value| value.len() <= most).map(SecretBytes::copy_of))
}

/// Reads a whole envelope or ciphertext into memory. Blocking.
///
/// # Errors
/// [`KmsError::Invalid`] when it is longer than a record is allowed to be here, [`CliError::File`].
pub(crate) fn read_all(input: impl Read, name: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input
        .take(MOST_IN_MEMORY + 1)
        .read_to_end(&mut bytes)
        .map_err(CliError::file(format!("reading {name}")))?;
    if bytes.len() as u64 > MOST_IN_MEMORY {
        return Err(KmsError::invalid(format!(
            "{name} is no sealed file, and has more than {MOST_IN_MEMORY} bytes, the most that are \
             taken for a record"
        ))
        .into());
    }
    Ok(bytes)
}

/// Most bytes of a record: it is held in memory, sealed and opened.
const MOST_IN_MEMORY: u64 = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use super::*;

    fn input(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file
    }

    #[test]
    fn takes_the_most_and_refuses_one_byte_more() {
        let read = |length: usize| read_value(input(&vec![7; length]), Stop::new(), 100).unwrap();
        assert_eq!(read(0).unwrap().len(), 0);
        assert_eq!(read(100).unwrap().len(), 100);
        assert!(read(101).is_none());
        assert!(read(5000).is_none());
    }

    #[test]
    fn an_endless_input_is_refused_with_its_name() {
        let refused = read_all(io::repeat(7), "zeros").unwrap_err();
        assert!(refused.to_string().starts_with("zeros is no sealed file"), "{refused}");
    }
}
