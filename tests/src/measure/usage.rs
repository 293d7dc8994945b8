//! What a process has used, as the kernel counts it.

use std::{fs, process};

/// What a process has used so far.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Processor time in user and kernel mode together, of all its threads, in steps of 10 ms.
    pub seconds: f64,
    /// Most resident memory at once.
    pub peak_bytes: u64,
}

impl Usage {
    /// Of this process.
    #[must_use]
    pub fn own() -> Self {
        Self::of(process::id())
    }

    /// Of a process.
    ///
    /// # Panics
    /// When it is gone.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        // The name, in brackets, may hold spaces. After it, fields 14 and 15 of proc(5) are 11 and 12.
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks = fields.split(' ').skip(11).take(2);
        let ticks: f64 = ticks.map(|ticks| ticks.parse::<f64>().unwrap()).sum();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kibibytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        Self { seconds: ticks / TICKS_PER_SECOND, peak_bytes: kibibytes * 1024 }
    }

    /// Seconds of processor time used since.
    #[must_use]
    pub fn since(self, earlier: Self) -> f64 {
        self.seconds - earlier.seconds
    }
}

/// `USER_HZ`: the same on every Linux this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_process_that_works_is_seen_to_have_worked() {
        let (before, begun) = (Usage::own(), Instant::now());
        while Usage::own().since(before) < 0.05 {
            assert!(begun.elapsed() < Duration::from_secs(60), "{before:?}");
        }
        assert!(before.peak_bytes > 1 << 18);
    }
}
