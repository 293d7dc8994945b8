//! The two calls that sealing and opening make, served on a Unix socket from a key service in memory: just
//! enough of the wire to run the real program. What the real service does is tested with the real service.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::Arc,
};

use claviger_kms::{Decrypt, GenerateDataKey, KeyManagementService as _};
use claviger_testkit::MemoryKms;

/// A socket in a folder of its own, served until the test ends.
pub(crate) struct Door {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) socket: PathBuf,
}

impl Door {
    /// With the key `eu/pay`.
    pub(crate) fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("data.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let service = Arc::new(MemoryKms::with_keys(&["eu/pay"]).unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let service = Arc::clone(&service);
                std::thread::spawn(move || answer_all(&service, stream.unwrap()));
            }
        });
        Self { folder, socket }
    }
}

fn answer_all(service: &MemoryKms, stream: UnixStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some((path, body)) = read_request(&mut reader) {
        let reply = answer(service, &path, &body);
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            reply.len()
        );
        writer.write_all(head.as_bytes()).unwrap();
        writer.write_all(&reply).unwrap();
    }
}

fn read_request(reader: &mut BufReader<UnixStream>) -> Option<(String, Vec<u8>)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path, body))
}

fn answer(service: &MemoryKms, path: &str, body: &[u8]) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    match path {
        "/v1/data-key" => {
            let request: GenerateDataKey = serde_json::from_slice(body).unwrap();
            let reply = runtime.block_on(service.generate_data_key(request)).unwrap();
            serde_json::to_vec(&reply).unwrap()
        }
        "/v1/decrypt" => {
            let request: Decrypt = serde_json::from_slice(body).unwrap();
            let reply = runtime.block_on(service.decrypt(request)).unwrap();
            serde_json::to_vec(&reply).unwrap()
        }
        other => panic!("nobody serves {other} here"),
    }
}
