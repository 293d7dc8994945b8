//! The PIN: from a file or a systemd credential straight into the binding's secret type.
//!
//! Invariant: the bytes stand only in buffers that are wiped. Refused: a file that others can read, an
//! empty one, one of several lines, one above 255 bytes; each refusal names the path and the remedy,
//! never the content.

use std::{
    env, fmt, fs,
    io::Read as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use cryptoki::types::RawAuthPin;
use rustix::fs::OFlags;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::{TokenError, config::misconfigured};

/// A PIN, wiped when dropped.
pub(crate) struct Pin(Zeroizing<Vec<u8>>);

impl Pin {
    /// As the binding takes it.
    pub(crate) fn for_login(&self) -> RawAuthPin {
        RawAuthPin::new(Box::new(self.0.to_vec()))
    }

    /// Whether both are the same PIN, in a time that depends on their lengths alone.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }

    #[cfg(feature = "testing")]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin")
    }
}

/// Where the PIN comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PinSource {
    /// A file that holds the PIN and nothing else.
    File(PathBuf),
    /// A systemd credential of this name, in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

impl PinSource {
    /// Whether the source makes sense; nothing is read.
    pub(crate) fn check(&self) -> Result<(), TokenError> {
        match self {
            Self::File(path) if !path.is_absolute() => misconfigured(format!(
                "token.pin-file = {path:?} is not an absolute path; write it in full"
            )),
            Self::Credential(name) if !is_credential_name(name) => misconfigured(format!(
                "token.pin-credential = {name:?} is not the name of a credential: letters, digits, dots, dashes and underscores, as in LoadCredential="
            )),
            Self::File(_) | Self::Credential(_) => Ok(()),
        }
    }

    /// Reads the PIN.
    ///
    /// # Errors
    /// [`TokenError::Misconfigured`] naming the path and the remedy.
    pub(crate) fn read(&self) -> Result<Pin, TokenError> {
        match self {
            Self::File(path) => read_pin(path, READABLE_BY_OTHERS).map(Pin),
            Self::Credential(name) => {
                let Some(directory) = env::var_os("CREDENTIALS_DIRECTORY") else {
                    return misconfigured(format!(
                        "token.pin-credential = {name:?}, but CREDENTIALS_DIRECTORY is not set: start the service by systemd with LoadCredential={name}:/path/of/the/pin, or use `pin-file`"
                    ));
                };
                // systemd gives a credential to its user by an access list, which shows as group bits.
                read_pin(&Path::new(&directory).join(name), READABLE_BY_THE_WORLD).map(Pin)
            }
        }
    }
}

fn read_pin(path: &Path, forbidden_mode: u32) -> Result<Zeroizing<Vec<u8>>, TokenError> {
    let shown = path.display();
    let failed = |source: std::io::Error| TokenError::Misconfigured {
        reason: format!("the PIN file {shown} cannot be read: {source}"),
    };
    // Non-blocking, so that a pipe in place of the file is refused instead of waited for.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let mut file =
        fs::OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return misconfigured(format!("the PIN file {shown} is not a regular file"));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & forbidden_mode != 0 {
        return misconfigured(format!(
            "the PIN file {shown} is open to others (mode {mode:04o}): run `chmod 600 {shown}`"
        ));
    }
    let mut buffer = Zeroizing::new([0_u8; LONGEST + 3]);
    let mut length = 0;
    while let Some(free) = buffer.get_mut(length..).filter(|free| !free.is_empty()) {
        match file.read(free).map_err(failed)? {
            0 => break,
            read => length += read,
        }
    }
    let read = buffer.get(..length).unwrap_or_default();
    let pin = read.strip_suffix(b"\n").unwrap_or(read);
    let pin = pin.strip_suffix(b"\r").unwrap_or(pin);
    if pin.is_empty() {
        return misconfigured(format!(
            "the PIN file {shown} is empty: write the PIN of the token's user into it"
        ));
    }
    if pin.len() > LONGEST {
        return misconfigured(format!(
            "the PIN file {shown} holds more than {LONGEST} bytes, more than any PIN has: it must hold the PIN and nothing else"
        ));
    }
    if pin.iter().any(|byte| matches!(byte, b'\n' | b'\r' | 0)) {
        return misconfigured(format!(
            "the PIN file {shown} has several lines or a zero byte: it must hold the PIN and nothing else"
        ));
    }
    Ok(Zeroizing::new(pin.to_vec()))
}

fn is_credential_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

const LONGEST: usize = 255;
const READABLE_BY_OTHERS: u32 = 0o077;
const READABLE_BY_THE_WORLD: u32 = 0o007;

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pin");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    fn refusal(content: &[u8], mode: u32) -> String {
        let (_directory, path) = file(content, mode);
        let error = PinSource::File(path.clone()).read().unwrap_err().to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
        error
    }

    fn length(content: &[u8]) -> usize {
        let (_directory, path) = file(content, 0o600);
        read_pin(&path, READABLE_BY_OTHERS).unwrap().len()
    }

    #[test]
    fn one_line_end_is_trimmed() {
        assert_eq!(length(b"1234"), 4);
        assert_eq!(length(b"1234\n"), 4);
        assert_eq!(length(b"1234\r\n"), 4);
        assert_eq!(length(&[b'1'; 255]), 255);
    }

    #[test]
    fn files_that_hold_no_pin_are_refused() {
        assert!(refusal(b"", 0o600).contains("is empty"));
        assert!(refusal(b"\n", 0o600).contains("is empty"));
        assert!(refusal(&[b'1'; 256], 0o600).contains("more than 255"));
        assert!(refusal(&[b'1'; 5000], 0o600).contains("more than 255"));
        assert!(refusal(b"1234\n5678\n", 0o600).contains("several lines"));
        assert!(refusal(b"12\x0034", 0o600).contains("zero byte"));
    }

    #[test]
    fn files_open_to_others_are_refused_with_the_remedy() {
        for mode in [0o640, 0o604, 0o660, 0o777, 0o610] {
            let error = refusal(b"13572468", mode);
            assert!(error.contains("chmod 600"), "{mode:o}: {error}");
            assert!(!error.contains("13572468"));
        }
    }

    #[test]
    fn missing_files_directories_and_pipes_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("none");
        let error = PinSource::File(missing.clone()).read().unwrap_err().to_string();
        assert!(error.contains(&missing.display().to_string()), "{error}");
        let error = PinSource::File(directory.path().to_owned()).read().unwrap_err().to_string();
        assert!(error.contains("not a regular file"), "{error}");
    }

    #[test]
    fn names_that_leave_the_credentials_directory_are_refused() {
        for name in ["", ".", "..", "../pin", "a/b", "a b"] {
            assert!(PinSource::Credential(name.to_owned()).check().is_err(), "{name:?}");
        }
        assert_eq!(PinSource::Credential("token-pin".to_owned()).check(), Ok(()));
        assert!(PinSource::File(PathBuf::from("pin")).check().is_err());
    }
}
