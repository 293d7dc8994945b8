//! Sockets. Unix sockets are bound with the modes the configuration names, never over somebody else's.
//!
//! Invariant: a socket file that another process answers on is left alone; one that nobody answers on is
//! what a crash left, and is replaced. The store's lock, taken before, keeps two services apart.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _},
        net::UnixStream,
    },
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use tokio::net::{TcpListener, UnixListener};

use crate::config::SocketMode;

/// The file of a bound socket: removed when this is dropped.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // If it is gone already, that is what was wanted.
        let _ = fs::remove_file(&self.0);
    }
}

/// Binds a Unix socket. The process's umask must let nobody in until the mode is set.
///
/// # Errors
/// When the directory is missing, the path is not a socket, or another process listens there.
pub fn bind(path: &Path, mode: SocketMode) -> Result<(UnixListener, SocketFile)> {
    let shown = path.display();
    remove_stale(path)?;
    let listener = UnixListener::bind(path).with_context(|| {
        format!(
            "the socket {shown} cannot be made; does its directory exist and may we write there?"
        )
    })?;
    let file = SocketFile(path.to_owned());
    fs::set_permissions(path, fs::Permissions::from_mode(mode.bits()))
        .with_context(|| format!("the mode of the socket {shown} cannot be set"))?;
    Ok((listener, file))
}

/// Binds a TCP socket.
///
/// # Errors
/// When the address is not this machine's, is in use, or needs a privilege.
pub async fn bind_tcp(address: SocketAddr) -> Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.with_context(|| format!("the address {address} cannot be listened on"))
}

fn remove_stale(path: &Path) -> Result<()> {
    let shown = path.display();
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("the socket {shown}")),
        Ok(found) if !found.file_type().is_socket() => {
            bail!("{shown} exists and is not a socket; it is left alone: choose another path");
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => bail!("another process listens on {shown}; stop it first"),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)
            .with_context(|| format!("the socket {shown}, left by a crash, cannot be removed")),
        Err(error) => Err(error).with_context(|| format!("the socket {shown}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(text: &str) -> SocketMode {
        SocketMode::try_from(text.to_owned()).unwrap()
    }

    #[tokio::test]
    async fn a_socket_gets_its_mode_and_a_stale_one_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let (listener, file) = bind(&path, mode("0600")).unwrap();
        // As after a crash: nobody answers, and the file is there.
        std::mem::forget(file);
        drop(listener);
        let (_listener, file) = bind(&path, mode("0660")).unwrap();
        let bits = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(bits, 0o660);
        drop(file);
        assert!(!path.exists(), "the socket's file stayed");
    }

    #[tokio::test]
    async fn refuses_a_socket_that_is_answered_and_a_file_that_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let _bound = bind(&path, mode("0600")).unwrap();
        assert!(bind(&path, mode("0600")).unwrap_err().to_string().contains("another process"));
        let file = directory.path().join("f");
        fs::write(&file, "precious").unwrap();
        assert!(bind(&file, mode("0600")).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
        assert!(bind(&directory.path().join("no/s"), mode("0600")).is_err());
    }
}
