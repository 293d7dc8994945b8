//! `clavigerd serve` as a process, and the calls that every test makes of it.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{
    Site,
    http::{self, Reply},
    process::end_of,
};

/// A service that answers. Killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    data: PathBuf,
    admin: PathBuf,
}

impl Running {
    /// The error is the log.
    pub(crate) fn start(mut command: Command, site: &Site) -> Result<Self, String> {
        let log = File::options().create(true).append(true).open(site.log()).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut running = Self { child, data: site.data_socket(), admin: site.admin_socket() };
        let begun = Instant::now();
        // The admin socket is the last that a service opens.
        while http::get(&running.admin, "/readyz").status != 200 {
            let ended = running.child.try_wait().unwrap();
            if ended.is_some() || begun.elapsed() > Duration::from_secs(30) {
                let log = fs::read_to_string(site.log()).unwrap();
                return Err(format!("{log}\nclavigerd is not ready ({ended:?})"));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(running)
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `POST` to the data socket.
    #[must_use]
    pub fn use_key(&self, target: &str, body: &Value) -> Reply {
        http::post(&self.data, target, body)
    }

    /// `POST` to the admin socket.
    #[must_use]
    pub fn manage(&self, target: &str, body: &Value) -> Reply {
        http::post(&self.admin, target, body)
    }

    /// `GET` from the admin socket.
    #[must_use]
    pub fn look(&self, target: &str) -> Reply {
        http::get(&self.admin, target)
    }

    /// Makes these keys.
    ///
    /// # Panics
    /// When one is refused.
    pub fn create(&self, keys: &[&str]) {
        for key in keys {
            let _ = self.manage("/v1/keys", &json!({"key": key})).json();
        }
    }

    /// Rotates a key.
    ///
    /// # Panics
    /// When it is refused.
    pub fn rotate(&self, key: &str) {
        let _ = self.manage("/v1/rotate", &json!({"key": key})).json();
    }

    /// Encrypts a value with the row `row` in its context; gives the ciphertext as base64.
    ///
    /// # Panics
    /// When it is refused.
    #[must_use]
    pub fn encrypt(&self, key: &str, row: &str, value: &[u8]) -> String {
        let body = json!({"key": key, "plaintext": STANDARD.encode(value), "binding": in_row(row)});
        self.use_key("/v1/encrypt", &body).json()["ciphertext"].as_str().unwrap().to_owned()
    }

    /// Asks for 256 values to be encrypted.
    #[must_use]
    pub fn try_encrypt_256(&self, key: &str) -> Reply {
        let item = json!({"key": key, "plaintext": ""});
        self.use_key("/v1/batch/encrypt", &json!({"items": vec![item; 256]}))
    }

    /// Asks for the value of a ciphertext.
    #[must_use]
    pub fn try_decrypt(&self, ciphertext: &str, row: &str) -> Reply {
        self.use_key("/v1/decrypt", &json!({"ciphertext": ciphertext, "binding": in_row(row)}))
    }

    /// The value of a ciphertext.
    ///
    /// # Panics
    /// When it is refused.
    #[must_use]
    pub fn decrypt(&self, ciphertext: &str, row: &str) -> Vec<u8> {
        let reply = self.try_decrypt(ciphertext, row).json();
        STANDARD.decode(reply["plaintext"].as_str().unwrap()).unwrap()
    }

    /// A data key, plain, and its ciphertext as base64.
    ///
    /// # Panics
    /// When it is refused.
    #[must_use]
    pub fn data_key(&self, key: &str, row: &str) -> (Vec<u8>, String) {
        let body = json!({"key": key, "binding": in_row(row)});
        let made = self.use_key("/v1/data-key", &body).json();
        let plain = STANDARD.decode(made["plaintext"].as_str().unwrap()).unwrap();
        (plain, made["ciphertext"].as_str().unwrap().to_owned())
    }

    /// Sends SIGTERM.
    ///
    /// # Panics
    /// When it is gone.
    pub fn tell_to_stop(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends SIGHUP.
    ///
    /// # Panics
    /// When it is gone.
    pub fn tell_to_reload(&self) {
        self.signal(Signal::HUP);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for its end.
    #[must_use]
    pub fn end(mut self) -> ExitStatus {
        end_of(&mut self.child, Duration::from_secs(30))
    }

    /// Stops it as an operator does.
    ///
    /// # Panics
    /// When it does not end well.
    pub fn stop(self) {
        self.tell_to_stop();
        let status = self.end();
        assert!(status.success(), "{status}");
    }

    /// SIGKILL.
    ///
    /// # Panics
    /// When it was gone.
    pub fn kill(mut self) {
        assert!(self.child.try_wait().unwrap().is_none(), "it had ended by itself");
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn in_row(row: &str) -> Value {
    json!({"context": {"row": row}})
}
