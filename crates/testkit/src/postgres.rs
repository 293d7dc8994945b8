//! A PostgreSQL server of a test's own, in a temporary folder, reached over its Unix socket.
//!
//! Made by `scripts/postgres`, which takes the installed one or unpacks Debian's packages. A machine where it cannot
//! be had prints `SKIP`; where `CLAVIGER_REQUIRE_POSTGRES=1` is set, as in `scripts/test`, that fails the test. Any
//! other failure to start fails it everywhere.

use std::{
    env,
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

/// A running server; stopped and removed when it is dropped. A killed test leaves it to stop by itself once its
/// folder is gone.
#[derive(Debug)]
pub struct Postgres {
    directory: TempDir,
    connection: String,
}

impl Postgres {
    /// Starts a server with an empty database. `None`, and a line `SKIP`, where there is no PostgreSQL.
    ///
    /// # Panics
    /// When there is one and it does not start; when there is none and `CLAVIGER_REQUIRE_POSTGRES` is `1`.
    #[must_use]
    pub fn start() -> Option<Self> {
        let directory = tempfile::Builder::new()
            .prefix("claviger-postgres-")
            .tempdir()
            .expect("a temporary folder");
        let output = script("start", directory.path());
        let words = String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(UNAVAILABLE) {
            let required = env::var(REQUIRED).is_ok_and(|value| value == "1");
            assert!(!required, "{REQUIRED} is set, and there is no PostgreSQL: {words}");
            skip(words.trim());
            return None;
        }
        assert!(output.status.success(), "scripts/postgres start failed: {words}");
        let connection = String::from_utf8(output.stdout).expect("the script prints text");
        Some(Self { directory, connection: connection.trim().to_owned() })
    }

    /// How to connect, in libpq's keywords: `host='…' user=… dbname=…`.
    #[must_use]
    pub fn connection_string(&self) -> &str {
        &self.connection
    }

    /// Starts it again with this certificate and key, PEM, and takes connections at 127.0.0.1 too, with TLS only;
    /// gives their port. The socket is another one then.
    ///
    /// # Panics
    /// When that fails.
    pub fn listen_tls(&mut self, certificate: &Path, key: &Path) -> u16 {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let output = run(&[
            "listen".as_ref(),
            self.directory.path(),
            port.to_string().as_ref(),
            certificate,
            key,
        ]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for action in ["stop", "start"] {
            let output = script(action, self.directory.path());
            let words = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "scripts/postgres {action} failed: {words}");
            self.connection = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        }
        port
    }

    /// Stops the server and starts it again on the same data, as an operator would.
    ///
    /// # Panics
    /// When either fails.
    pub fn restart(&self) {
        self.act(["stop", "start"]);
    }

    /// Kills the server and all its processes, and starts it again on the same data. It does not wait for the disk
    /// by itself: set `synchronous_commit` and `fsync` where an acknowledged commit has to be found again.
    ///
    /// # Panics
    /// When it does not start.
    pub fn crash_and_restart(&self) {
        self.act(["crash", "start"]);
    }

    fn act(&self, actions: [&str; 2]) {
        for action in actions {
            let output = script(action, self.directory.path());
            let words = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "scripts/postgres {action} failed: {words}");
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // At once, or it would write into its folder while that is removed.
        script("stop", self.directory.path());
    }
}

fn script(action: &str, directory: &Path) -> Output {
    run(&[action.as_ref(), directory])
}

fn run(arguments: &[&Path]) -> Output {
    Command::new("bash")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/postgres"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("bash runs scripts/postgres")
}

#[expect(
    clippy::print_stderr,
    reason = "whoever reads the test's output must see that it was skipped"
)]
pub(crate) fn skip(why: &str) {
    eprintln!("SKIP: {why}");
}

/// The script's status where PostgreSQL cannot be had.
const UNAVAILABLE: i32 = 77;
const REQUIRED: &str = "CLAVIGER_REQUIRE_POSTGRES";
