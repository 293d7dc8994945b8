//! A large file by the command lines of Claviger and `age`, in turns, on the same file system.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use claviger_tests::{
    cost_of,
    measure::{Figure, Pace, Table, Usage, bytes, time},
    run,
};
use tempfile::TempDir;

use crate::{
    place::{KEY, Place},
    say,
};

/// A program at work on one file system.
struct Job {
    labels: [&'static str; 3],
    command: Box<dyn Fn() -> Command>,
    output: PathBuf,
    /// Whether the output has to be made durable here, since the program does not.
    sync: bool,
    seconds: Figure,
    peak: Figure,
}

pub(crate) fn measure(place: &Place, pace: Pace) -> String {
    say("files");
    let disk = place.site.work();
    let memory = TempDir::with_prefix_in("claviger-bench-", "/dev/shm").unwrap();
    let own_peak = Usage::own().peak_bytes;
    let mut jobs = Vec::new();
    for (name, folder) in [("memory", memory.path()), ("disk", disk.as_path())] {
        jobs.extend(jobs_in(place, name, folder, pace.file));
    }
    for round in 0..=pace.rounds {
        for job in &mut jobs {
            job.run(round > 0);
        }
    }

    let mut table = Table::new(&[
        "operation",
        "output in",
        "by",
        "time",
        "MB/s",
        "most memory",
        "time / age's",
    ]);
    for (at, job) in jobs.iter().enumerate() {
        // Each of ours is followed by the same by age.
        let age = &jobs[at | 1].seconds;
        let mut cells: Vec<String> = job.labels.iter().map(ToString::to_string).collect();
        cells.push(job.seconds.spread(|seconds| time(seconds * 1e9)));
        cells.push(format!("{:.0}", pace.file as f64 / 1e6 / job.seconds.median()));
        cells.push(bytes(job.peak.median()));
        cells.push(job.seconds.over(age).ratio());
        table.row(cells);
    }
    let size = bytes(pace.file as f64);
    let title = TITLE.replace("SIZE", &size).replace("FLOOR", &bytes(own_peak as f64));
    format!("{title}\n{table}\n")
}

/// Sealing and opening by both; ours and age's in turns.
fn jobs_in(place: &Place, name: &'static str, folder: &Path, length: u64) -> [Job; 4] {
    let plain = folder.join("plain");
    fill(&plain, length);
    let identity = folder.join("identity");
    let made = run(Command::new("age-keygen").arg("-o").arg(&identity), b"").succeeded();
    let recipient = made.said.trim().rsplit(' ').next().unwrap().to_owned();

    let path = |name: &str| folder.join(name);
    let (sealed, opened) = (path("plain.claviger"), path("opened"));
    let (age_sealed, age_opened) = (path("plain.age"), path("age-opened"));
    let claviger = |words: Vec<PathBuf>| {
        let template = place.site.claviger();
        let variables: Vec<_> = template
            .get_envs()
            .map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned)))
            .collect();
        let program = template.get_program().to_owned();
        move || {
            let mut command = Command::new(&program);
            for (name, value) in &variables {
                match value {
                    Some(value) => command.env(name, value),
                    None => command.env_remove(name),
                };
            }
            command.args(&words);
            command
        }
    };
    let age = |words: Vec<PathBuf>| {
        move || {
            let mut command = Command::new("age");
            command.args(&words);
            command
        }
    };
    let words =
        |words: &[&dyn AsRef<Path>]| words.iter().map(|word| word.as_ref().to_owned()).collect();
    let sync = name == "disk";
    let job = |labels, command: Box<dyn Fn() -> Command>, output: &Path, sync| Job {
        labels,
        command,
        output: output.to_owned(),
        sync,
        seconds: Figure::default(),
        peak: Figure::default(),
    };
    [
        job(
            ["seal", name, "claviger"],
            Box::new(claviger(words(&[
                &"--quiet", &"seal", &"--force", &"--key", &KEY, &plain, &"-O", &sealed,
            ]))),
            &sealed,
            false,
        ),
        job(
            ["seal", name, "age"],
            Box::new(age(words(&[&"-r", &recipient, &"-o", &age_sealed, &plain]))),
            &age_sealed,
            sync,
        ),
        job(
            ["open", name, "claviger"],
            Box::new(claviger(words(&[&"--quiet", &"open", &"--force", &sealed, &"-O", &opened]))),
            &opened,
            false,
        ),
        job(
            ["open", name, "age"],
            Box::new(age(words(&[&"-d", &"-i", &identity, &"-o", &age_opened, &age_sealed]))),
            &age_opened,
            sync,
        ),
    ]
}

impl Job {
    /// Once; without counting it, what came out is compared with what should.
    fn run(&mut self, counts: bool) {
        // A file that is replaced costs its blocks' release: nobody pays that here.
        let _ = fs::remove_file(&self.output);
        let begun = Instant::now();
        let cost = cost_of((self.command)().stdout(Stdio::null()));
        if self.sync {
            File::open(&self.output).unwrap().sync_all().unwrap();
        }
        let seconds = begun.elapsed().as_secs_f64();
        if counts {
            self.seconds.add(seconds);
            self.peak.add(cost.peak_bytes as f64);
        } else if self.labels[0] == "open" {
            assert!(
                is_same(&self.output, &self.output.with_file_name("plain")),
                "{:?}",
                self.labels
            );
        }
    }
}

/// Bytes that do not repeat, so that nothing on the way can make them fewer.
fn fill(path: &Path, length: u64) {
    let mut file = File::create_new(path).unwrap();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut block = vec![0; 1 << 20];
    for _ in 0..length >> 20 {
        for word in block.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        file.write_all(&block).unwrap();
    }
    file.sync_all().unwrap();
}

fn is_same(one: &Path, other: &Path) -> bool {
    let read = |file: &mut File, buffer: &mut Vec<u8>| -> io::Result<usize> {
        buffer.clear();
        file.take(1 << 20).read_to_end(buffer)
    };
    let (mut one, mut other) = (File::open(one).unwrap(), File::open(other).unwrap());
    let (mut left, mut right) = (Vec::new(), Vec::new());
    loop {
        read(&mut one, &mut left).unwrap();
        read(&mut other, &mut right).unwrap();
        if left != right || left.is_empty() {
            break left == right;
        }
    }
}

const TITLE: &str = "\
### Files, beside age

One file of SIZE, read from the page cache. It is not the same job: `claviger` asks the service for the file's
data key, seals with AES-256-GCM and a commitment, makes the output durable and only then gives it its name; `age`
wraps the file's key itself under an X25519 recipient, seals with ChaCha20-Poly1305, and leaves the output to the
kernel. On the disk, age's time has an `fsync` of its output added; \"memory\" is `/dev/shm`. Start of the program and
all is counted. Of a program that took less memory than the measuring one, the kernel tells the latter's: FLOOR.
";
