//! A `claviger` that runs while something happens to the others. Killed when dropped.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// What it writes, and what it says.
    streams: [PathBuf; 2],
    begun: Instant,
}

/// How one ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
    #[expect(dead_code, reason = "shown where a test fails")]
    pub(crate) said: String,
    pub(crate) took: Duration,
}

impl Process {
    /// Starts it; its streams go to files beside this one.
    pub(crate) fn start(mut command: Command, streams: PathBuf) -> Self {
        let streams = ["out", "err"].map(|which| streams.with_extension(which));
        let [output, said] = streams.each_ref().map(|path| File::create(path).unwrap());
        let child = command.stdin(Stdio::null()).stdout(output).stderr(said).spawn().unwrap();
        Self { child, streams, begun: Instant::now() }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// SIGKILL, unless it has ended.
    pub(crate) fn kill(mut self) -> Ended {
        self.child.kill().unwrap();
        self.end()
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            let took = self.begun.elapsed();
            assert!(took < PATIENCE, "it did not end: {}", self.said());
            thread::sleep(Duration::from_millis(1));
        };
        let took = self.begun.elapsed();
        let output = fs::read_to_string(&self.streams[0]).unwrap();
        Ended { status, output, said: self.said(), took }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.streams[1]).unwrap()
    }
}

impl Ended {
    /// Its answer, if it ended well.
    pub(crate) fn answer(&self) -> Value {
        assert!(self.status.success(), "{self:?}");
        serde_json::from_str(&self.output).unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Longer than a campaign waits for what is away.
const PATIENCE: Duration = Duration::from_secs(120);
