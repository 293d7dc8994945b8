//! What the command line must not open, or cannot write: the exit code says why, no output stays, the
//! input is as it was.

use std::{
    fs,
    process::{Command, Stdio},
};

use claviger_tests::{Running, Site, claviger, run};

const KEY: &str = "eu/pay";
const CONTEXT: [&str; 2] = ["--context", "file=report"];
/// Of a file's payload: salt and commitment, then chunks of 16 KiB and a tag.
const PAYLOAD: usize = 8192;
const START: usize = 56;
const CHUNK: usize = 16 * 1024 + 16;

struct Bench {
    site: Site,
    _service: Running,
    sealed: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        let site = Site::new();
        let service = site.start();
        service.create(&["eu", KEY]);
        let plain: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
        fs::write(site.work().join("report"), plain).unwrap();
        let words = ["seal", "--key", KEY, CONTEXT[0], CONTEXT[1], "report"];
        let _ = site.run_claviger(&words).succeeded();
        let sealed = fs::read(site.work().join("report.claviger")).unwrap();
        fs::remove_file(site.work().join("report")).unwrap();
        Self { site, _service: service, sealed }
    }

    /// Opens these bytes: refused with one of these codes, and nothing but the input stays.
    fn assert_refused(&self, sealed: &[u8], codes: &[i32], what: &str) {
        let input = self.site.work().join("report.claviger");
        fs::write(&input, sealed).unwrap();
        let words = ["open", CONTEXT[0], CONTEXT[1], "report.claviger"];
        let ran = self.site.run_claviger(&words);
        assert!(ran.code.is_some_and(|code| codes.contains(&code)), "{what}: {ran:?}");
        assert!(ran.said.starts_with("claviger: ") && ran.said.lines().count() == 1, "{ran:?}");
        assert_eq!(self.site.names_in_work(), ["report.claviger"], "{what}");
        assert!(fs::read(&input).unwrap() == sealed, "{what}: the input was changed");
    }

    fn assert_opens(&self) {
        let words = ["open", CONTEXT[0], CONTEXT[1], "report.claviger"];
        let _ = self.site.run_claviger(&words).succeeded();
        assert_eq!(fs::read(self.site.work().join("report")).unwrap().len(), 100_000);
    }
}

#[test]
fn a_truncated_file_is_rejected_wherever_it_ends() {
    let bench = Bench::new();
    let whole = &bench.sealed;
    for length in [0, 1, 100, 4096, PAYLOAD - 1] {
        bench.assert_refused(&whole[..length], &[4, 5], &format!("{length} bytes"));
    }
    let last_chunk = START + PAYLOAD + CHUNK * 6;
    for length in [PAYLOAD, PAYLOAD + START, PAYLOAD + START + CHUNK, last_chunk, whole.len() - 1] {
        bench.assert_refused(&whole[..length], &[5], &format!("{length} bytes"));
    }
    fs::write(bench.site.work().join("report.claviger"), whole).unwrap();
    bench.assert_opens();
}

#[test]
fn a_reordered_repeated_or_lengthened_file_is_rejected() {
    let bench = Bench::new();
    let chunk = |number: usize| {
        let start = PAYLOAD + START + number * CHUNK;
        start..(start + CHUNK).min(bench.sealed.len())
    };
    let with = |numbers: &[usize]| {
        let mut altered = bench.sealed[..PAYLOAD + START].to_vec();
        numbers.iter().for_each(|&number| altered.extend(&bench.sealed[chunk(number)]));
        altered
    };
    assert!(with(&[0, 1, 2, 3, 4, 5, 6]) == bench.sealed, "this test knows the layout");
    for order in [
        &[1, 0, 2, 3, 4, 5, 6][..],
        &[0, 1, 2, 3, 5, 4, 6],
        &[0, 0, 2, 3, 4, 5, 6],
        &[0, 1, 2, 3, 4, 6],
        &[0, 1, 2, 3, 4, 5, 5, 6],
        &[0, 1, 2, 3, 4, 5, 6, 6],
        &[6],
    ] {
        bench.assert_refused(&with(order), &[5], &format!("{order:?}"));
    }
    let longer = [bench.sealed.as_slice(), b"\0"].concat();
    bench.assert_refused(&longer, &[5], "a byte too long");
}

#[test]
fn no_flipped_bit_of_a_file_opens() {
    let bench = Bench::new();
    for at in [PAYLOAD, PAYLOAD + 30, PAYLOAD + START, 50_000, bench.sealed.len() - 1] {
        let mut flipped = bench.sealed.clone();
        flipped[at] ^= 1;
        bench.assert_refused(&flipped, &[5], &format!("payload byte {at}"));
    }
    // In both slots, or the whole one would do: magic, wrap, checksum.
    for at in [0, 15 + 30, 15 + 44, 15 + 100, 4090] {
        let mut flipped = bench.sealed.clone();
        flipped[at] ^= 1;
        flipped[4096 + at] ^= 1;
        bench.assert_refused(&flipped, &[4], &format!("slot byte {at}"));
    }
    // One slot alone is no loss.
    let mut torn = bench.sealed.clone();
    torn[..4096].fill(0);
    fs::write(bench.site.work().join("report.claviger"), torn).unwrap();
    bench.assert_opens();
}

#[test]
fn foreign_files_and_records_are_refused() {
    let bench = Bench::new();
    for (what, bytes) in [
        ("a text", b"Dear Sir or Madam,\n".repeat(1000)),
        ("zeros", vec![0; 20_000]),
        ("a beginning alone", b"CLVF".to_vec()),
        ("a record's beginning alone", b"CLVE\x01\x01".to_vec()),
    ] {
        bench.assert_refused(&bytes, &[4], what);
    }
    // Format 2, in both slots and with a good checksum nobody can know of: the magic comes first.
    let mut newer = b"CLVE\x02\x01".to_vec();
    newer.extend([0; 300]);
    bench.assert_refused(&newer, &[11], "a newer format");

    // Of another site: its key id is unknown here.
    let other = Bench::new();
    bench.assert_refused(&other.sealed, &[5], "another key service's");
    // Of this site, under another payload: two files' halves.
    let mut spliced = bench.sealed.clone();
    spliced[PAYLOAD..].copy_from_slice(&other.sealed[PAYLOAD..]);
    bench.assert_refused(&spliced, &[5], "another file's payload");
}

#[test]
fn another_context_is_rejected_as_if_the_file_were_altered() {
    let bench = Bench::new();
    let words: [&[&str]; 4] = [
        &["open", "report.claviger"],
        &["open", "--context", "file=Report", "report.claviger"],
        &["open", "--context", "other=report", "report.claviger"],
        &["open", "--context", "file=report", "--context", "more=1", "report.claviger"],
    ];
    let mut said = Vec::new();
    for words in words {
        let ran = bench.site.run_claviger(words);
        ran.assert_refused(5, &["rejected"]);
        said.push(ran.said);
        assert_eq!(bench.site.names_in_work(), ["report.claviger"]);
    }
    said.dedup();
    assert_eq!(said.len(), 1, "{said:?}");
    bench.assert_opens();
}

#[test]
fn keys_that_are_not_there_and_paths_that_are_none_are_named() {
    let bench = Bench::new();
    let many = vec!["a"; 300].join("/");
    let seal = |key: &str| bench.site.run_claviger(&["seal", "--key", key, "report.claviger"]);
    seal("eu/none").assert_refused(6, &["eu/none", "does not exist", "claviger key tree"]);
    for key in ["eu/../us", "..", "EU/pay", "eu//pay", "/eu", "eu/", "", &many] {
        seal(key).assert_refused(2, &["key"]);
        let create = bench.site.run_claviger(&["key", "create", key]);
        create.assert_refused(2, &["key"]);
    }
    assert_eq!(bench.site.names_in_work(), ["report.claviger"]);
    bench.assert_opens();
    // What exists is not replaced.
    let words = ["open", CONTEXT[0], CONTEXT[1], "report.claviger"];
    bench.site.run_claviger(&words).assert_refused(7, &["report", "exists", "--force"]);
}

/// The limit on a file's size stands for a full disk where nothing can be mounted.
#[test]
fn a_disk_that_fills_up_leaves_no_output_and_no_temporary_file() {
    let bench = Bench::new();
    let seal = "seal --key eu/pay report.claviger -O out";
    let open = "open --context file=report report.claviger -O out";
    for words in [seal, open] {
        // 50 KiB; ignored, the signal becomes an error of the write.
        let script = format!("trap '' XFSZ; ulimit -f 50; exec \"$0\" {words}");
        let mut command = shell_at(&bench.site, &script);
        run(&mut command, b"").assert_refused(10, &["writing", "large", "make room"]);
        assert_eq!(bench.site.names_in_work(), ["report.claviger"], "{words}");
    }
    let script = "mkdir disk && mount -t tmpfs -o size=64k none disk || exit 77; \
                  \"$0\" seal --key eu/pay report.claviger -O disk/out; code=$?; \
                  ls -A disk; umount disk; rmdir disk; exit $code";
    let mut apart = Command::new("unshare");
    apart.args(["--mount", "--map-root-user", "bash", "-c", script]).arg(claviger());
    let envs = bench.site.claviger();
    apart.envs(envs.get_envs().filter_map(|(name, value)| Some((name, value?))));
    apart.current_dir(bench.site.work());
    if Command::new("unshare")
        .args(["--mount", "--map-root-user", "true"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
    {
        let ran = run(&mut apart, b"");
        if ran.code != Some(77) {
            ran.assert_refused(10, &["writing", "No space left", "make room"]);
            assert_eq!(ran.text(), "", "something stays on the full disk");
            return bench.assert_opens();
        }
        let _ = fs::remove_dir(bench.site.work().join("disk"));
    }
    println!("SKIP a small disk cannot be mounted here; the limit on a file's size was tried");
    bench.assert_opens();
}

fn shell_at(site: &Site, script: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", script]).arg(claviger());
    let envs = site.claviger();
    command.envs(envs.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.current_dir(site.work());
    command
}
