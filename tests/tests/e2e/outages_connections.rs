//! Connections that do nothing: how many there may be, what they cost, and that they end.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use claviger_tests::{Running, Site, eventually, http};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

const IDLE: usize = 10_000;
/// For each idle connection; measured: see `docs/outages.md`.
const MOST_KIB_EACH: usize = 16;
/// Descriptors that come and go: connections of other requests that are just being closed.
const FEW: usize = 10;
/// What a caller waits at most while they are there.
const IN_TIME: Duration = Duration::from_secs(1);

#[test]
fn ten_thousand_idle_connections_cost_little_memory_hold_nobody_up_and_end_by_themselves() {
    let Some(hard) = getrlimit(Resource::Nofile).maximum.or(Some(u64::MAX)) else { return };
    if hard < 11_000 {
        println!("SKIP: at most {hard} file descriptors are allowed here");
        return;
    }
    let site = Site::new();
    site.change_config("[cache]", "[limits]\nconnections = 11000\n\n[cache]");
    // As a login shell starts it.
    allow_descriptors(1024);
    let service = site.start();
    allow_descriptors(hard);
    service.create(&["eu"]);
    let sealed = service.encrypt("eu", "1", b"precious");

    let (memory, descriptors) = (resident_kib(&service), descriptors(&service));
    let begun = Instant::now();
    let mut idle: Vec<_> =
        (0..IDLE).map(|_| UnixStream::connect(site.data_socket()).unwrap()).collect();
    // Some were used once.
    for stream in idle.iter_mut().take(500) {
        ask_alive(stream);
    }
    // The last ones may still be in the kernel's queue.
    let all_open = || self::descriptors(&service) + FEW >= descriptors + IDLE;
    eventually("all are open", Duration::from_secs(5), all_open);
    let each = (resident_kib(&service) - memory) / IDLE;
    println!("{each} KiB each, {:?} to open", begun.elapsed());
    assert!(each <= MOST_KIB_EACH, "{each} KiB for each idle connection");

    let asked = Instant::now();
    assert_eq!(service.decrypt(&sealed, "1"), b"precious");
    assert!(asked.elapsed() < IN_TIME, "{:?}", asked.elapsed());
    let asked = Instant::now();
    service.create(&["us"]);
    assert_eq!(service.look("/readyz").status, 200);
    assert!(asked.elapsed() < IN_TIME, "{:?}", asked.elapsed());

    let ended = || self::descriptors(&service) <= descriptors + FEW;
    eventually("they end", Duration::from_secs(15), ended);
    drop(idle);
    assert_eq!(service.decrypt(&sealed, "1"), b"precious");
    site.assert_log(&[]);
    service.stop();
}

#[test]
fn one_connection_too_many_is_told_so_and_harms_neither_the_others_nor_the_admin_socket() {
    allow_descriptors(getrlimit(Resource::Nofile).maximum.unwrap_or(65_536));
    let site = Site::new();
    let service = site.start();
    service.create(&["eu"]);
    // One has been at work before, and goes on.
    let mut working = UnixStream::connect(site.data_socket()).unwrap();
    ask_alive(&mut working);
    let open = descriptors(&service);
    let mut idle: Vec<_> =
        (1..1024).map(|_| UnixStream::connect(site.data_socket()).unwrap()).collect();
    eventually("all are open", Duration::from_secs(5), || {
        descriptors(&service) + FEW >= open + 1023
    });

    for _ in 0..3 {
        let mut refused = String::new();
        let mut stream = UnixStream::connect(site.data_socket()).unwrap();
        stream.read_to_string(&mut refused).unwrap();
        assert!(
            refused.starts_with("HTTP/1.1 503 ") && refused.contains("retry-after: 1"),
            "{refused}"
        );
        assert!(refused.contains("too many connections"), "{refused}");
        ask_alive(&mut working);
        let asked = Instant::now();
        assert_eq!(service.look("/readyz").status, 200);
        let _ = service.manage("/v1/rotate", &json!({"key": "eu"})).json();
        assert!(asked.elapsed() < IN_TIME, "{:?}", asked.elapsed());
    }
    // One place is enough.
    drop(idle.pop());
    let let_in = || http::get(&site.data_socket(), "/livez").status == 200;
    eventually("one is let in", Duration::from_secs(2), let_in);
    site.assert_log(&["too many connections"]);
    service.stop();
}

#[test]
fn check_and_serve_say_when_descriptors_are_too_few_for_the_connections() {
    let site = Site::new();
    let says = ["limits.connections", "LimitNOFILE="];
    let enough = site.clavigerd(&["check"]).succeeded();
    let allowed = getrlimit(Resource::Nofile).maximum;
    if allowed.is_none_or(|allowed| allowed > 4096) {
        assert!(!enough.text().contains("warning"), "{}", enough.text());
    }
    // Not to be taken back in this process.
    let few = Some(500);
    setrlimit(Resource::Nofile, Rlimit { current: few, maximum: few }).unwrap();
    let warned = site.clavigerd(&["check"]).succeeded();
    assert!(says.iter().all(|part| warned.text().contains(part)), "{}", warned.text());
    site.start().stop();
    site.assert_log(&says);
}

/// One request on a connection that stays.
fn ask_alive(stream: &mut UnixStream) {
    stream.set_read_timeout(Some(IN_TIME)).unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut reply = [0; 1024];
    let length = stream.read(&mut reply).unwrap();
    assert!(reply[..length].starts_with(b"HTTP/1.1 200 "), "{:?}", &reply[..length]);
}

fn allow_descriptors(most: u64) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum }).unwrap();
}

fn descriptors(service: &Running) -> usize {
    let folder = format!("/proc/{}/fd", service.pid());
    fs::read_dir(Path::new(&folder)).unwrap().count()
}

/// What the process holds of the machine's memory.
fn resident_kib(service: &Running) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", service.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
