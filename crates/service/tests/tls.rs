//! `clavigerd` itself with TLS: checked, served, its certificates renewed by a signal, and stopped.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use claviger_client::{Client, ClientConfig, Tls, TlsFiles};
use claviger_kms::{CreateKey, KeyManagementService as _, ListKeys};
use claviger_testkit::{
    SoftHsm,
    certificates::{Authority, Wanted},
    endpoint,
};
use rustix::process::{Pid, Signal, kill_process};

const CALLER: &str = "spiffe://claviger.test/tester";

struct Bench {
    hsm: SoftHsm,
    folder: tempfile::TempDir,
    authority: Authority,
    data: SocketAddr,
    admin: SocketAddr,
}

impl Bench {
    /// A configuration with both TLS listeners, and the ceremony held.
    fn new() -> Self {
        let hsm = SoftHsm::new();
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("the authority");
        let (data, admin) = (free_address(), free_address());
        let bench = Self { hsm, folder, authority, data, admin };
        bench.write_files();
        let made = bench.run(&["root", "init"]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_files(&self) {
        let folder = self.folder.path();
        self.authority.write(&self.path("ca.pem"));
        drop(self.authority.issue(folder, "server", &Wanted::server()));
        fs::write(self.path("ca.crl"), self.authority.revoke(&[], 2100)).unwrap();
        let policy = format!(
            "[[rule]]\nname = \"all\"\nprincipals = [\"{CALLER}\"]\nactions = [\"*\"]\nkeys = [\"**\"]\n"
        );
        fs::write(self.path("policy.toml"), policy).unwrap();
        let tls = "certificate = \"server.pem\"\nkey = \"server.key\"\nclient-ca = \"ca.pem\"\n\
                   crl = [\"ca.crl\"]\ntrust-domains = [\"claviger.test\"]\n";
        let text = format!(
            "[token]\nmodule = {:?}\nlabel = {:?}\npin-file = {:?}\n\
             [store]\npath = \"keys.db\"\n\
             [audit]\ndirectory = \"audit\"\nsegment-bytes = 4194304\nreserve-bytes = 1048576\n\
             [policy]\nfile = \"policy.toml\"\n\
             [cache]\nrequire-locked = false\n\
             [listen]\ndata = \"data.sock\"\nadmin = \"admin.sock\"\n\
             [listen.tls]\naddress = \"{}\"\n{tls}\
             [listen.admin-tls]\naddress = \"{}\"\n{tls}",
            self.hsm.module(),
            SoftHsm::LABEL,
            self.hsm.pin_file(),
            self.data,
            self.admin,
        );
        fs::write(self.path("clavigerd.toml"), text).unwrap();
    }

    fn clavigerd(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clavigerd"));
        command.arg("--config").arg(self.path("clavigerd.toml"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.clavigerd().args(arguments).output().unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Starts it and waits until it is ready.
    fn serve(&self) -> Running {
        let log = fs::File::create(self.path("log")).unwrap();
        let child = self.clavigerd().arg("serve").stderr(log).stdout(Stdio::null()).spawn();
        let running = Running(child.unwrap());
        self.wait_for("ready");
        running
    }

    fn wait_for(&self, word: &str) {
        let begun = Instant::now();
        while !self.log().contains(word) {
            assert!(begun.elapsed() < Duration::from_secs(15), "no {word:?} in {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn client(&self, ca: &Path) -> Client {
        let caller = self.authority.issue(self.folder.path(), "caller", &Wanted::caller(CALLER));
        let files = TlsFiles {
            certificate: caller.certificate,
            key: caller.key,
            ca: ca.to_owned(),
            server_name: None,
        };
        let config = ClientConfig::at([endpoint(self.data)]).with_admin([endpoint(self.admin)]);
        Client::new(config.with_tls(Tls::read(files).unwrap()))
    }
}

/// Killed if the test ends before it did.
struct Running(Child);

impl Running {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn serves_over_tls_and_a_hang_up_renews_certificates_and_policy_or_nothing() {
    let bench = Bench::new();
    let mut running = bench.serve();
    let client = bench.client(&bench.path("ca.pem"));
    client.create_key(CreateKey::at("eu".parse().unwrap())).await.unwrap();

    // The service's certificate now comes from another authority.
    let next = Authority::new("the next authority");
    next.write(&bench.path("next-ca.pem"));
    drop(next.issue(bench.folder.path(), "server", &Wanted::server()));
    fs::write(bench.path("ca.crl"), "").unwrap();
    // A good policy that lets nobody do anything; it must not be taken without the rest.
    let policy = fs::read(bench.path("policy.toml")).unwrap();
    fs::write(bench.path("policy.toml"), "").unwrap();
    running.signal(Signal::HUP);
    bench.wait_for("nothing is reloaded");
    let old = bench.client(&bench.path("ca.pem"));
    let seen = old.list_keys(ListKeys::default()).await.unwrap();
    assert_eq!(seen.keys.len(), 1, "the policy was taken without the certificates");

    fs::write(bench.path("policy.toml"), policy).unwrap();
    fs::write(bench.path("ca.crl"), bench.authority.revoke(&[], 2100)).unwrap();
    running.signal(Signal::HUP);
    bench.wait_for("listen.admin-tls");
    let new = bench.client(&bench.path("next-ca.pem"));
    new.list_keys(ListKeys::default()).await.unwrap();
    let old = bench.client(&bench.path("ca.pem"));
    assert!(old.list_keys(ListKeys::default()).await.is_err());

    running.signal(Signal::TERM);
    assert!(running.0.wait().unwrap().success(), "{}", bench.log());
    assert!(!bench.log().contains("PRIVATE"), "{}", bench.log());
}

#[test]
fn check_and_serve_refuse_files_that_do_not_belong_together_and_say_what_to_do() {
    let bench = Bench::new();
    let good = bench.run(&["check"]);
    let said = String::from_utf8_lossy(&good.stdout).into_owned();
    assert!(good.status.success() && said.contains("listen.admin-tls: the files belong"), "{said}");
    assert!(said.contains("a reload (SIGHUP, `claviger reload`) takes: log.level"), "{said}");
    assert!(said.contains("every other key needs a restart"), "{said}");
    let folder = bench.folder.path();
    let spoil: [(&str, &dyn Fn()); 3] = [
        ("has expired", &|| {
            drop(bench.authority.issue(
                folder,
                "server",
                &Wanted { until: 2021, ..Wanted::server() },
            ));
        }),
        ("does not belong to", &|| {
            let other = bench.authority.issue(folder, "other", &Wanted::server());
            fs::copy(other.key, bench.path("server.key")).unwrap();
        }),
        ("chmod 600", &|| {
            use std::os::unix::fs::PermissionsExt as _;
            let exposed = fs::Permissions::from_mode(0o644);
            fs::set_permissions(bench.path("server.key"), exposed).unwrap();
        }),
    ];
    for (says, spoil) in spoil {
        spoil();
        for command in ["check", "serve"] {
            let refused = bench.run(&[command]);
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(!refused.status.success() && said.contains(says), "{command} {says}: {said}");
            assert!(said.contains("listen.tls"), "{said}");
        }
        drop(bench.authority.issue(folder, "server", &Wanted::server()));
    }
}
