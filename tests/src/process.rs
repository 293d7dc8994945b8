//! Runs a program to its end, within a time.

use std::{
    io::{Read as _, Seek as _, Write as _},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// What a program did.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to the standard output.
    pub output: Vec<u8>,
    /// What it wrote to the standard error.
    pub said: String,
}

impl Ran {
    /// The standard output as text.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.output).unwrap()
    }

    /// The same, if it ended well.
    ///
    /// # Panics
    /// When it did not, with what it said.
    #[must_use]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.said);
        self
    }

    /// Fails unless it ended with this code and said each of these.
    ///
    /// # Panics
    /// When it did not.
    pub fn assert_refused(&self, code: i32, says: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.said);
        for part in says {
            assert!(self.said.contains(part), "{part:?} is not in: {}", self.said);
        }
    }
}

/// Runs it with this standard input.
///
/// # Panics
/// When it does not start, or does not end within a minute.
#[must_use]
pub fn run(command: &mut Command, input: &[u8]) -> Ran {
    // Files, not pipes: nobody has to read while it runs.
    let mut files = [(); 3].map(|()| tempfile::tempfile().unwrap());
    files[0].write_all(input).unwrap();
    files[0].rewind().unwrap();
    let of = |index: usize| Stdio::from(files[index].try_clone().unwrap());
    let mut child = command.stdin(of(0)).stdout(of(1)).stderr(of(2)).spawn().unwrap();
    let status = end_of(&mut child, Duration::from_secs(60));
    let [_, mut output, mut said] = files;
    let mut read = (Vec::new(), Vec::new());
    output.rewind().unwrap();
    output.read_to_end(&mut read.0).unwrap();
    said.rewind().unwrap();
    said.read_to_end(&mut read.1).unwrap();
    let said = String::from_utf8_lossy(&read.1).into_owned();
    Ran { code: status.code(), output: read.0, said }
}

/// What a program took that ended well.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// From its start to its end.
    pub seconds: f64,
    /// Most resident memory at once. Never less than this process had when it started the program: the
    /// kernel counts the moment before the program was loaded.
    pub peak_bytes: u64,
}

/// Runs it without input to its end, which must be a good one.
///
/// # Panics
/// When it is not.
#[must_use]
#[expect(clippy::zombie_processes, reason = "waited for by wait4, which tells the memory too")]
pub fn cost_of(command: &mut Command) -> Cost {
    let begun = Instant::now();
    let child = command.stdin(Stdio::null()).spawn().unwrap();
    let pid = libc::pid_t::try_from(child.id()).unwrap();
    let mut status = 0;
    #[expect(unsafe_code, reason = "the standard library waits without telling the memory")]
    // SAFETY: the child is ours and nobody else waits for it; both places are ours and large enough,
    // and zeros are a valid `rusage`.
    let (waited, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::wait4(pid, &raw mut status, 0, &raw mut usage), usage)
    };
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!((waited, status), (pid, 0), "{command:?} did not end well");
    Cost { seconds, peak_bytes: u64::try_from(usage.ru_maxrss).unwrap() * 1024 }
}

/// Waits for the end of a child and kills it when that does not come.
pub(crate) fn end_of(child: &mut Child, patience: Duration) -> ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if begun.elapsed() > patience {
            let _ = child.kill();
            let _ = child.wait();
            panic!("process {} did not end within {patience:?}", child.id());
        }
        thread::sleep(Duration::from_millis(2));
    }
}
