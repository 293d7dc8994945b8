//! A machine as an operator sets it up: a token, a configuration, a policy, a place for store and log.
//!
//! All of it is in temporary folders and goes with the value. `clavigerd` runs on it as a process, as often
//! as a test likes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use claviger_testkit::SoftHsm;
use tempfile::TempDir;

use crate::{Ran, Running, claviger, clavigerd, run};

/// Token, configuration, policy, store, audit log, sockets.
#[derive(Debug)]
pub struct Site {
    token: SoftHsm,
    folder: TempDir,
}

impl Site {
    /// A site on which the ceremony was held.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let site = Self::without_ceremony();
        drop(site.clavigerd(&["root", "init"]).succeeded());
        site
    }

    /// As [`new`](Self::new), on a developer's token: days may pass faster there (`serve --time-scale`).
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn of_developer() -> Self {
        const LABEL: &str = "claviger-dev";
        let site = Self::without_ceremony();
        site.token.add_token(LABEL);
        site.change_config(SoftHsm::LABEL, LABEL);
        drop(site.clavigerd(&["root", "init"]).succeeded());
        site
    }

    /// A site with a token that holds nothing, and no store.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn without_ceremony() -> Self {
        let folder = tempfile::Builder::new().prefix("claviger-site-").tempdir().unwrap();
        let site = Self { token: SoftHsm::new(), folder };
        let (module, label, pin) = (site.token.module(), SoftHsm::LABEL, site.token.pin_file());
        let config = format!(
            "[token]\nmodule = {module:?}\nlabel = \"{label}\"\npin-file = {pin:?}\n\n\
             [store]\npath = \"keys.db\"\n\n\
             [audit]\ndirectory = \"audit\"\nsegment-bytes = 4194304\nreserve-bytes = 1048576\n\n\
             [policy]\nfile = \"policy.toml\"\n\n\
             [listen]\ndata = \"data.sock\"\nadmin = \"admin.sock\"\n\n\
             [cache]\nrequire-locked = false\n\n\
             [log]\nlevel = \"info\"\nformat = \"json\"\n"
        );
        fs::write(site.config(), config).unwrap();
        site.write_policy(&format!(
            "[[rule]]\nname = \"all\"\nprincipals = [\"{}\"]\nactions = [\"*\"]\nkeys = [\"**\"]\n",
            Self::own_principal()
        ));
        fs::create_dir(site.work()).unwrap();
        site
    }

    /// What a service takes this process for.
    #[must_use]
    pub fn own_principal() -> String {
        format!("uds:uid={}", rustix::process::geteuid().as_raw())
    }

    /// Replaces the policy.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write_policy(&self, text: &str) {
        fs::write(self.folder.path().join("policy.toml"), text).unwrap();
    }

    /// Replaces a text of the configuration, which must be there.
    ///
    /// # Panics
    /// When it is not.
    pub fn change_config(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.config()).unwrap();
        assert!(text.contains(from), "{from:?} is not in the configuration");
        fs::write(self.config(), text.replace(from, to)).unwrap();
    }

    /// Runs `clavigerd` with these words, to its end.
    #[must_use]
    pub fn clavigerd(&self, words: &[&str]) -> Ran {
        run(&mut self.clavigerd_command(words), b"")
    }

    /// `clavigerd` with these words, not yet started.
    #[must_use]
    pub fn clavigerd_command(&self, words: &[&str]) -> Command {
        let mut command = self.command(clavigerd());
        command.arg("--config").arg(self.config()).args(words);
        command
    }

    /// Starts `clavigerd serve`, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    #[must_use]
    pub fn start(&self) -> Running {
        self.try_start().unwrap_or_else(|log| panic!("{log}"))
    }

    /// As [`start`](Self::start), where it may refuse.
    ///
    /// # Errors
    /// The log of a service that did not become ready.
    pub fn try_start(&self) -> Result<Running, String> {
        Running::start(self.serve(), self)
    }

    /// As [`start`](Self::start), in an environment that is prepared first.
    ///
    /// # Panics
    /// When it does not become ready.
    #[must_use]
    pub fn start_in(&self, prepare: impl FnOnce(&mut Command)) -> Running {
        let mut command = self.serve();
        prepare(&mut command);
        Running::start(command, self).unwrap_or_else(|log| panic!("{log}"))
    }

    /// Waits until the log has this text after its first `from` bytes.
    ///
    /// # Panics
    /// When it does not come.
    pub fn wait_for_log(&self, from: usize, text: &str) {
        let begun = Instant::now();
        loop {
            let log = fs::read_to_string(self.log()).unwrap();
            if log.get(from..).is_some_and(|new| new.contains(text)) {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "no {text:?} in {log}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// How long the log is.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn log_length(&self) -> usize {
        fs::read_to_string(self.log()).unwrap().len()
    }

    /// `clavigerd serve` where it must refuse to start; what it said is in the result.
    #[must_use]
    pub fn refused_start(&self) -> Ran {
        self.clavigerd(&["serve"])
    }

    /// `claviger`, pointed at this site's sockets, in the folder [`work`](Self::work).
    #[must_use]
    pub fn claviger(&self) -> Command {
        let mut command = self.command(claviger());
        command
            .env("CLAVIGER_SOCKET", self.data_socket())
            .env("CLAVIGER_ADMIN_SOCKET", self.admin_socket())
            .current_dir(self.work());
        command
    }

    /// Runs `claviger` with these words, to its end.
    #[must_use]
    pub fn run_claviger(&self, words: &[&str]) -> Ran {
        run(self.claviger().args(words), b"")
    }

    /// The folder of everything but the token.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A folder for the files that users seal.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// Names in the users' folder: nothing temporary may stay behind.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn names_in_work(&self) -> Vec<String> {
        let entries = fs::read_dir(self.work()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("clavigerd.toml")
    }

    /// The key store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.folder.path().join("keys.db")
    }

    /// The audit log's directory.
    #[must_use]
    pub fn audit(&self) -> PathBuf {
        self.folder.path().join("audit")
    }

    /// What every run of the service wrote to its standard streams.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("clavigerd.log")
    }

    /// Fails unless the log has all of this, and no word of a defect.
    ///
    /// # Panics
    /// When it has not.
    pub fn assert_log(&self, says: &[&str]) {
        let log = fs::read_to_string(self.log()).unwrap();
        for part in says {
            assert!(log.contains(part), "{part:?} is not in: {log}");
        }
        assert!(!log.contains("panicked") && !log.contains("a defect"), "{log}");
    }

    /// The data socket.
    #[must_use]
    pub fn data_socket(&self) -> PathBuf {
        self.folder.path().join("data.sock")
    }

    /// The admin socket.
    #[must_use]
    pub fn admin_socket(&self) -> PathBuf {
        self.folder.path().join("admin.sock")
    }

    /// The token.
    #[must_use]
    pub fn token(&self) -> &SoftHsm {
        &self.token
    }

    fn serve(&self) -> Command {
        let mut command = self.command(clavigerd());
        command.arg("--config").arg(self.config()).arg("serve");
        command
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("SOFTHSM2_CONF", self.token.conf_path()).env_remove("CLAVIGERD_CONFIG");
        // Of whoever runs the tests under a supervisor.
        for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] {
            command.env_remove(name);
        }
        command
    }
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}
