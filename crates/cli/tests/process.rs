//! The program as a process: pipes, signals, exit codes as shells expect them, what it leaves behind.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod door;

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use door::Door;
use rustix::process::{Pid, Signal, kill_process};

fn claviger() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
    command
        .env("CLAVIGER_SOCKET", "/nonexistent/data.sock")
        .env("CLAVIGER_ADMIN_SOCKET", "/nonexistent/admin.sock")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Waits, but not for ever: a program that does not end is the failure these tests look for.
fn end_of(child: &mut Child) -> ExitStatus {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(10) {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    panic!("the program did not end");
}

/// The program is reading its input when the bytes written to it are gone from the pipe.
fn wait_until_read(input: &impl std::os::fd::AsFd) {
    let started = Instant::now();
    while rustix::io::ioctl_fionread(input).unwrap() > 0 {
        assert!(started.elapsed() < Duration::from_secs(10), "the program does not read");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The program, with the service of this door.
fn claviger_at(door: &Door) -> Command {
    let mut command = claviger();
    command.env("CLAVIGER_SOCKET", &door.socket).current_dir(door.folder.path());
    command
}

fn names_in(door: &Door) -> Vec<String> {
    let entries = std::fs::read_dir(door.folder.path()).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != "data.sock");
    names.sort();
    names
}

/// Runs the program with this at its standard input; exit code, standard output, standard error.
fn run_with(mut command: Command, input: &[u8]) -> (Option<i32>, Vec<u8>, String) {
    let mut child = command.spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    let feeding = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    feeding.join().unwrap();
    (output.status.code(), output.stdout, String::from_utf8(output.stderr).unwrap())
}

fn plaintext() -> Vec<u8> {
    (0..1_000_000_u32).map(|n| (n % 251) as u8).collect()
}

fn sealed(door: &Door) -> Vec<u8> {
    let mut command = claviger_at(door);
    command.args(["seal", "--key", "eu/pay", "--context", "file=report", "-"]);
    let (code, sealed, said) = run_with(command, &plaintext());
    assert_eq!((code, said.as_str()), (Some(0), ""));
    sealed
}

fn open_pipe(door: &Door, context: &str) -> Command {
    let mut command = claviger_at(door);
    command.args(["open", "--context", context, "-"]);
    command
}

#[test]
fn a_pipe_is_sealed_and_opened_and_nothing_is_said() {
    let door = Door::open();
    let (code, opened, said) = run_with(open_pipe(&door, "file=report"), &sealed(&door));
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert!(opened == plaintext());
}

#[test]
fn a_pipe_that_was_cut_ends_with_5_after_a_true_beginning() {
    let door = Door::open();
    let sealed = sealed(&door);
    let cut = &sealed[..sealed.len() - 100_000];
    let (code, opened, said) = run_with(open_pipe(&door, "file=report"), cut);
    assert_eq!(code, Some(5));
    assert!(plaintext().starts_with(&opened) && !opened.is_empty());
    assert!(said.contains(&format!("after {} bytes", opened.len())), "{said}");
}

#[test]
fn files_come_and_go_in_place_and_are_not_overwritten() {
    let door = Door::open();
    std::fs::write(door.folder.path().join("report"), plaintext()).unwrap();
    let seal = || {
        let mut command = claviger_at(&door);
        command.args(["seal", "--key", "eu/pay", "report", "-o", "json"]);
        run_with(command, b"")
    };
    let (code, facts, said) = seal();
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let facts: serde_json::Value = serde_json::from_slice(&facts).unwrap();
    assert_eq!(facts["plaintext_length"], 1_000_000);
    assert_eq!(seal().0, Some(7));

    std::fs::remove_file(door.folder.path().join("report")).unwrap();
    let mut command = claviger_at(&door);
    command.args(["open", "report.claviger"]);
    let (code, output, said) = run_with(command, b"");
    assert_eq!((code, output.len()), (Some(0), 0), "{said}");
    assert_eq!(said, "claviger: opened report.claviger into report, 1,000,000 bytes\n");
    assert!(std::fs::read(door.folder.path().join("report")).unwrap() == plaintext());
    assert_eq!(names_in(&door), ["report", "report.claviger"]);
}

/// Interrupted in the middle, with the temporary file there and the input silent.
#[test]
fn a_signal_while_sealing_or_opening_removes_the_temporary_file() {
    let door = Door::open();
    let half = &sealed(&door)[..500_000];
    let context = ["--context", "file=report"];
    for words in [&["seal", "--key", "eu/pay"][..], &["open"]] {
        for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
            let mut command = claviger_at(&door);
            command.args(words).args(context).args(["-", "-O", "output"]);
            let mut child = command.spawn().unwrap();
            let mut input = child.stdin.take().unwrap();
            input.write_all(half).unwrap();
            wait_until_read(&input);
            assert_eq!(names_in(&door).len(), 1, "no temporary file to remove");
            kill_process(Pid::from_child(&child), signal).unwrap();
            assert_eq!(end_of(&mut child).code(), Some(code), "{words:?}");
            assert_eq!(names_in(&door), [""; 0], "{words:?}");
        }
    }
}

#[test]
fn a_signal_ends_a_program_that_waits_for_input_with_the_signals_code() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let mut child = claviger().args(["encrypt", "eu/pay"]).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(b"half a val").unwrap();
        wait_until_read(&input);
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(end_of(&mut child).code(), Some(code));
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(said, "");
    }
}

#[test]
fn opening_into_a_reader_that_went_away_is_met_with_silence() {
    let door = Door::open();
    let sealed = sealed(&door);
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let mut command = open_pipe(&door, "file=report");
    command.stdout(writer);
    let (code, _, said) = run_with(command, &sealed);
    assert_eq!((code, said.as_str()), (Some(141), ""));
}

#[test]
fn a_reader_that_went_away_is_met_with_silence() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    for words in [&["explain"][..], &["help"]] {
        let output = claviger().args(words).stdout(writer.try_clone().unwrap()).output().unwrap();
        assert_eq!(output.status.code(), Some(141), "{words:?}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    }
}

#[test]
fn an_output_that_is_full_is_an_error_of_the_file() {
    let full = File::create("/dev/full").unwrap();
    let output = claviger().arg("explain").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(10));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("No space left"), "{said}");
}
