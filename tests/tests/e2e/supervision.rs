//! What the service tells systemd, over a real notification socket.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use claviger_tests::{Site, clavigerd};

use crate::hanging_disk::HangingDisk;

/// The supervisor's end of the socket.
struct Supervisor {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Supervisor {
    fn new(site: &Site) -> Self {
        let path = site.folder().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Self { socket, path }
    }

    /// The next message within this time.
    fn next(&self, patience: Duration) -> Option<String> {
        let mut buffer = [0; 4096];
        self.socket.set_read_timeout(Some(patience)).unwrap();
        let length = self.socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
    }

    /// Waits for a message with this line and gives it.
    fn wait_for(&self, line: &str) -> String {
        let begun = Instant::now();
        loop {
            let message = self.next(Duration::from_secs(20)).unwrap_or_default();
            if message.lines().any(|found| found.starts_with(line)) {
                return message;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "no {line}");
        }
    }

    /// Whether this line comes within this time.
    fn hears(&self, line: &str, time: Duration) -> bool {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|t| !t.is_zero()) {
            if self.next(left).is_some_and(|message| message.lines().any(|found| found == line)) {
                return true;
            }
        }
        false
    }
}

const NOT_LONG: Duration = Duration::from_secs(3);

#[test]
fn ready_reloading_and_stopping_are_said_each_in_its_time() {
    let site = Site::new();
    let supervisor = Supervisor::new(&site);
    let service = site.start_in(|command| {
        command.env("NOTIFY_SOCKET", &supervisor.path);
    });
    let _ = supervisor.wait_for("READY=1");
    let log = fs::read_to_string(site.log()).unwrap();
    assert!(log.contains("\"ready\"") && site.data_socket().exists(), "{log}");

    service.tell_to_reload();
    let reloading = supervisor.wait_for("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    let _ = supervisor.wait_for("READY=1");
    // A refused reload ends too: systemd would wait for it.
    site.write_policy("broken");
    service.tell_to_reload();
    let _ = supervisor.wait_for("RELOADING=1");
    let _ = supervisor.wait_for("READY=1");

    // Nobody asked for a watchdog.
    assert!(!supervisor.hears("WATCHDOG=1", NOT_LONG));
    service.tell_to_stop();
    let _ = supervisor.wait_for("STOPPING=1");
    assert!(service.end().success());
    assert!(!supervisor.hears("READY=1", Duration::from_millis(200)));
}

#[test]
fn a_service_that_does_not_start_never_says_that_it_is_ready() {
    let site = Site::new();
    let supervisor = Supervisor::new(&site);
    site.write_policy("broken");
    let status = Command::new(clavigerd())
        .env("NOTIFY_SOCKET", &supervisor.path)
        .env("SOFTHSM2_CONF", site.token().conf_path())
        .arg("--config")
        .arg(site.config())
        .arg("serve")
        .status()
        .unwrap();
    assert!(!status.success());
    assert!(!supervisor.hears("READY=1", Duration::from_millis(200)));
}

#[test]
fn the_watchdog_is_told_while_the_disk_answers_and_not_while_it_hangs() {
    let site = Site::new();
    let supervisor = Supervisor::new(&site);
    let disk = HangingDisk::new(&site);
    let mut environment = disk.environment().to_vec();
    environment.push(("NOTIFY_SOCKET", &supervisor.path));
    environment.push(("WATCHDOG_USEC", Path::new("1000000")));
    let service = site.start_in(|command| {
        command.envs(environment);
    });
    for _ in 0..3 {
        let _ = supervisor.wait_for("WATCHDOG=1");
    }
    disk.hang();
    // One may have been under way.
    let _ = supervisor.hears("no such line", Duration::from_secs(1));
    assert!(!supervisor.hears("WATCHDOG=1", NOT_LONG), "told while the audit log's disk hangs");
    disk.go_on();
    let _ = supervisor.wait_for("WATCHDOG=1");
    service.stop();
}

/// While the token is away the keys in memory serve, and a restart would lose them.
#[test]
fn a_token_that_is_away_is_said_in_the_status_and_does_not_stop_the_watchdog() {
    let site = Site::new();
    let supervisor = Supervisor::new(&site);
    let service = site.start_in(|command| {
        command.env("NOTIFY_SOCKET", &supervisor.path).env("WATCHDOG_USEC", "1000000");
    });
    service.create(&["eu"]);
    let sealed = service.encrypt("eu", "1", b"precious");
    let _ = supervisor.wait_for("STATUS=ready");
    site.token().take_away();
    let _ = supervisor.wait_for("STATUS=not ready: token");
    for _ in 0..3 {
        let _ = supervisor.wait_for("WATCHDOG=1");
    }
    assert_eq!(service.decrypt(&sealed, "1"), b"precious");
    site.token().bring_back();
    let _ = supervisor.wait_for("STATUS=ready");
    service.stop();
}

#[test]
fn the_sample_unit_is_one_that_systemd_takes() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/clavigerd.service");
    let text = fs::read_to_string(sample).unwrap();
    assert!(text.contains("Type=notify-reload") && text.contains("RestartPreventExitStatus=77"));
    let Ok(version) = Command::new("systemd-analyze").arg("--version").output() else {
        println!("SKIP: systemd-analyze is not installed");
        return;
    };
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let number = version.split_whitespace().nth(1).and_then(|n| n.parse::<u32>().ok());
    let site = Site::without_ceremony();
    let unit = site.folder().join("clavigerd.service");
    let mut text = text.replace("/usr/local/bin/clavigerd", &clavigerd().display().to_string());
    if number.is_none_or(|number| number < 253) {
        println!("SKIP: this systemd is older than Type=notify-reload (253); the rest is verified");
        text = text.replace("Type=notify-reload", "Type=notify");
    }
    fs::write(&unit, text).unwrap();
    let ran =
        Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    let ours: Vec<_> = said.lines().filter(|line| line.contains("clavigerd.service")).collect();
    assert!(ours.is_empty(), "{said}");
}
