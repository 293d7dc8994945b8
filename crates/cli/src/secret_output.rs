//! The only way out for plaintext and data keys that the user asked for: to a stream, or to a new file that
//! only its owner can read.
//!
//! Invariants: every buffer made here is wiped, and none is written before the whole secret is there.

#![expect(
    clippy::disallowed_methods,
    reason = "writes the plaintext or data key that the user asked for"
)]

use std::{fs::File, io::Write, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use claviger_envelope::file::Existing;
use claviger_kms::{DataKey, SecretBytes, SecretKey, WipedBuffer};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{
    error::{CliError, Result},
    files::write_new_file,
};

/// Writes the secret as it is. Blocking.
pub(crate) fn write_plain(secret: &SecretBytes, mut output: &File) -> Result<()> {
    secret.with_bytes(|bytes| output.write_all(bytes)).map_err(CliError::output)
}

/// Writes a reply that holds a secret as one JSON object and a newline. Blocking.
pub(crate) fn write_json(reply: &impl Serialize, mut output: &File) -> Result<()> {
    let mut buffer = WipedBuffer::with_capacity(1024);
    serde_json::to_writer_pretty(&mut buffer, reply).map_err(anyhow::Error::from)?;
    buffer.extend(b"\n");
    output.write_all(buffer.as_ref()).map_err(CliError::output)
}

/// Writes a data key as two lines of base64: wrapped, then plain. Blocking.
pub(crate) fn write_data_key(data_key: &DataKey, mut output: &File) -> Result<()> {
    let mut buffer = WipedBuffer::with_capacity(1024);
    buffer.extend(STANDARD.encode(&data_key.wrapped.ciphertext).as_bytes());
    buffer.extend(b"\n");
    let plain = data_key.plaintext.with_bytes(|key| Zeroizing::new(STANDARD.encode(key)));
    buffer.extend(plain.as_bytes());
    buffer.extend(b"\n");
    output.write_all(buffer.as_ref()).map_err(CliError::output)
}

/// Writes the 32 bytes of a data key to a new file, readable by its owner only. Blocking.
///
/// # Errors
/// [`CliError::OutputExists`], [`CliError::File`]; then nothing is left behind.
pub(crate) fn write_key_file(key: &SecretKey, path: &Path) -> Result<()> {
    write_new_file(path, Existing::Refuse, |file| key.with_bytes(|bytes| file.write_all(bytes)))
}

/// Writes an opened record to a new file, readable by its owner only. Blocking.
///
/// # Errors
/// As [`write_key_file`].
pub(crate) fn write_file(plain: &SecretBytes, path: &Path, existing: Existing) -> Result<()> {
    write_new_file(path, existing, |file| plain.with_bytes(|bytes| file.write_all(bytes)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::problem::Problem;

    fn key() -> SecretKey {
        SecretKey::make_with(|key| {
            key.fill(7);
            Ok::<_, CliError>(())
        })
        .unwrap()
    }

    #[test]
    fn a_key_file_is_its_owners_only_and_never_overwrites() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        write_key_file(&key(), &path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [7; 32]);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);

        std::fs::write(&path, "precious").unwrap();
        let refused = write_key_file(&key(), &path).unwrap_err();
        assert_eq!(refused.problem(), Problem::OutputExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_file_does_not_follow_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("key");
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &link).unwrap();
        assert!(write_key_file(&key(), &link).is_err());
        assert!(!folder.path().join("elsewhere").exists());
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let refused = write_key_file(&key(), Path::new("/nonexistent/key")).unwrap_err();
        assert!(refused.to_string().contains("/nonexistent/key"), "{refused}");
    }
}
