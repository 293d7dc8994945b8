//! A SoftHSM 2 token of a test's own, in a temporary folder.
//!
//! Made by `softhsm/init-token`, so that the script is tested too. The module reads `SOFTHSM2_CONF` from
//! the environment of its process, so there is one token per process and one test per process (what
//! nextest does). A machine without SoftHSM fails the test and says how to get it; nothing is skipped.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use claviger_root_key::{ObjectId, TokenConfig, testing};
use tempfile::TempDir;

/// A private token; its folder is removed with it.
#[derive(Debug)]
pub struct SoftHsm {
    directory: TempDir,
    module: PathBuf,
}

impl SoftHsm {
    /// The token's label.
    pub const LABEL: &'static str = "claviger-test";

    /// Makes a fresh token and points this process at it.
    ///
    /// # Panics
    /// When SoftHSM is not installed or the token cannot be made.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "making a token is an act, not a default")]
    pub fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("claviger-softhsm-")
            .tempdir()
            .expect("a temporary folder");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../softhsm/init-token");
        let output = Command::new("bash")
            .arg(&script)
            .arg(directory.path())
            .arg(Self::LABEL)
            .output()
            .expect("bash runs softhsm/init-token");
        assert!(
            output.status.success(),
            "softhsm/init-token failed; `scripts/test` installs SoftHSM 2 where it is missing. It said: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let printed = String::from_utf8(output.stdout).expect("the script prints text");
        let module = printed
            .lines()
            .find_map(|line| line.strip_prefix("module "))
            .expect("the script names the module");
        let token = Self { module: PathBuf::from(module.trim()), directory };
        token.point_this_process_here();
        token
    }

    /// Path of the PKCS#11 module.
    #[must_use]
    pub fn module(&self) -> &Path {
        &self.module
    }

    /// The folder with the configuration, the PINs and the token's files.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The file with the user PIN.
    #[must_use]
    pub fn pin_file(&self) -> PathBuf {
        self.directory.path().join("pin")
    }

    /// What `SOFTHSM2_CONF` must be for another process to see this token.
    #[must_use]
    pub fn conf_path(&self) -> PathBuf {
        self.directory.path().join("softhsm2.conf")
    }

    /// The configuration that leads to this token by its label and PIN file.
    #[must_use]
    pub fn token_config(&self) -> TokenConfig {
        TokenConfig::by_label(&self.module, Self::LABEL, &self.pin_file())
    }

    /// Makes another token beside it, with the same PIN.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn add_token(&self, label: &str) {
        let pin = fs::read_to_string(self.pin_file()).expect("the PIN file");
        let output = Command::new("softhsm2-util")
            .env("SOFTHSM2_CONF", self.conf_path())
            .args(["--init-token", "--free", "--label", label, "--so-pin", &pin, "--pin", &pin])
            .output()
            .expect("softhsm2-util runs");
        assert!(output.status.success(), "softhsm2-util could not make a second token");
    }

    /// Gives the token's user this PIN, as an operator does with the vendor's tool; the PIN file stays.
    ///
    /// # Panics
    /// When the token refuses.
    pub fn change_pin(&self, new: &str) {
        testing::set_pin(&self.token_config(), new).expect("the token takes a new PIN");
    }

    /// Plants a second secret key with this id and the root's label, as whoever has the PIN can.
    ///
    /// # Panics
    /// When the token refuses.
    pub fn plant_duplicate(&self, id: ObjectId) {
        testing::plant_duplicate(&self.token_config(), id).expect("the token takes a second key");
    }

    /// Takes the token's files away, as an outage would.
    ///
    /// # Panics
    /// When they are away already.
    pub fn take_away(&self) {
        fs::rename(self.tokens(), self.away()).expect("the token's files are there");
    }

    /// Brings the token's files back.
    ///
    /// # Panics
    /// When they are not away.
    pub fn bring_back(&self) {
        fs::rename(self.away(), self.tokens()).expect("the token's files are away");
    }

    /// Does `kill`, which may hit processes in the midst of a login, and puts the token's own file back if it was cut
    /// short: SoftHSM empties it and writes it anew at every login, and without it there is no token. Keys stand in
    /// files of their own, which stay as the kill left them.
    ///
    /// # Panics
    /// When the token has no such file or it cannot be written.
    pub fn survive<T>(&self, kill: impl FnOnce() -> T) -> T {
        let files: Vec<_> = fs::read_dir(self.tokens())
            .expect("the token's files are there")
            .map(|entry| entry.expect("a token's folder").path().join("token.object"))
            .map(|path| (fs::read(&path).expect("the token's own file"), path))
            .collect();
        let killed = kill();
        for (kept, path) in files {
            if fs::read(&path).expect("the token's own file").len() < kept.len() {
                fs::write(&path, kept).expect("the token's own file is put back");
            }
        }
        killed
    }

    fn tokens(&self) -> PathBuf {
        self.directory.path().join("tokens")
    }

    fn away(&self) -> PathBuf {
        self.directory.path().join("tokens.away")
    }

    #[expect(
        unsafe_code,
        reason = "the module reads its configuration's path from the environment"
    )]
    fn point_this_process_here(&self) {
        // SAFETY: a test makes its token first, in a process of its own, before it starts threads that
        // read the environment.
        unsafe { env::set_var("SOFTHSM2_CONF", self.conf_path()) };
    }
}
