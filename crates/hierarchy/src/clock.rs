//! The clock that expiry is counted on: time since boot, sleep included (`CLOCK_BOOTTIME`).

#![expect(unsafe_code, reason = "the standard library's clock stops while the machine sleeps")]

use std::time::Duration;

/// Time since the machine started, whatever the wall clock was set to meanwhile.
#[must_use]
pub fn since_boot() -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one timespec, which is ours.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) };
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_clock_goes_forward() {
        let before = super::since_boot();
        assert!(!before.is_zero());
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert!(super::since_boot() > before);
    }
}
