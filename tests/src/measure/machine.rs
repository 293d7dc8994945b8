//! On what was measured, so that a figure can be judged.

use std::{fs, path::Path, process::Command, thread};

use super::{Table, bytes};

/// The machine, the tools and the source. Of what cannot be told it says so.
#[must_use]
pub fn machine(disk: &Path) -> Table {
    let mut table = Table::new(&["what", "is"]);
    let mut row = |what: &str, is: Option<String>| {
        table.row(vec![what.to_owned(), is.unwrap_or_else(|| "not known".to_owned())]);
    };
    row("date", said("date", &["-u", "-I"]));
    row("source", commit());
    row("processor", field("/proc/cpuinfo", "model name"));
    let cores = thread::available_parallelism().map(|cores| cores.to_string()).ok();
    let shared = field("/proc/cpuinfo", "flags").filter(|flags| flags.contains(" hypervisor"));
    row("cores", cores.map(|cores| cores + shared.map_or("", |_| ", of a virtual machine")));
    row("memory", memory());
    row("kernel", said("uname", &["-sr"]));
    let disk = disk.to_string_lossy();
    row(
        "file system",
        said("df", &["--output=fstype,source", &disk]).and_then(|text| last_line(&text)),
    );
    row("compiler", said("rustc", &["--version"]));
    row("SoftHSM", said("softhsm2-util", &["--version"]));
    row("age", said("age", &["--version"]));
    table
}

fn commit() -> Option<String> {
    let commit = said("git", &["rev-parse", "--short=12", "HEAD"])?;
    // The page with the figures may differ: it is written by the run.
    let changed = said("git", &["status", "--porcelain", "--", ".", ":!docs/performance.md"]);
    let note = if changed.is_some() { ", with changes" } else { "" };
    Some(format!("commit {commit}{note}"))
}

fn memory() -> Option<String> {
    let kibibytes: f64 = field("/proc/meminfo", "MemTotal")?.split(' ').next()?.parse().ok()?;
    Some(bytes(kibibytes * 1024.0))
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// What a program prints; `None` when that is nothing.
fn said(program: &str, words: &[&str]) -> Option<String> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let output = Command::new(program).args(words).current_dir(root).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

fn last_line(text: &str) -> Option<String> {
    Some(text.lines().last()?.split_whitespace().collect::<Vec<_>>().join(" on "))
}
