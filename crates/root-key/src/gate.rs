//! The gate every call into the module goes through.
//!
//! Invariant: whoever is let in alone ([`Gate::enter_alone`]) finds no call in flight and lets none
//! start: finalising a module under a running call crashes some of them. A call that hangs keeps the
//! gate, so waiting to be alone has an end.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Lets calls in side by side, or one at a time, or one alone.
#[derive(Debug)]
pub(crate) struct Gate {
    most: usize,
    inside: Mutex<Inside>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inside {
    calls: usize,
    /// Someone is alone inside or waits to be: no new call is let in.
    reserved: bool,
}

impl Gate {
    /// A gate for one call at a time (`serialize`) or for any number.
    pub(crate) fn new(serialize: bool) -> Self {
        let most = if serialize { 1 } else { usize::MAX };
        Self { most, inside: Mutex::default(), changed: Condvar::new() }
    }

    /// Waits until a call may start.
    pub(crate) fn enter(&self) -> Pass<'_> {
        let inside = self.lock();
        let mut inside = self
            .changed
            .wait_while(inside, |inside| inside.reserved || inside.calls >= self.most)
            .unwrap_or_else(PoisonError::into_inner);
        inside.calls += 1;
        Pass { gate: self, alone: false }
    }

    /// Waits until no call is in flight, at most for `patience`.
    pub(crate) fn enter_alone(&self, patience: Duration) -> Option<Pass<'_>> {
        let end = Instant::now() + patience;
        let mut inside = self.wait_until(self.lock(), end, |inside| !inside.reserved)?;
        inside.reserved = true;
        let waited = self.wait_until(inside, end, |inside| inside.calls == 0);
        let pass = Pass { gate: self, alone: true };
        // Dropping the pass takes the reservation back.
        waited.is_some().then_some(pass)
    }

    fn wait_until<'a>(
        &'a self,
        inside: MutexGuard<'a, Inside>,
        end: Instant,
        ready: impl Fn(&Inside) -> bool,
    ) -> Option<MutexGuard<'a, Inside>> {
        let patience = end.saturating_duration_since(Instant::now());
        let (inside, timeout) = self
            .changed
            .wait_timeout_while(inside, patience, |inside| !ready(inside))
            .unwrap_or_else(PoisonError::into_inner);
        (!timeout.timed_out()).then_some(inside)
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to be inside, given back when dropped.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    gate: &'a Gate,
    alone: bool,
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut inside = self.gate.lock();
        if self.alone {
            inside.reserved = false;
        } else {
            inside.calls = inside.calls.saturating_sub(1);
        }
        drop(inside);
        self.gate.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        thread,
    };

    use super::*;

    const SOON: Duration = Duration::from_millis(30);

    #[test]
    fn nobody_is_alone_while_a_call_is_in_flight() {
        let gate = Gate::new(false);
        let call = gate.enter();
        assert!(gate.enter_alone(SOON).is_none());
        drop(call);
        assert!(gate.enter_alone(SOON).is_some());
    }

    #[test]
    fn giving_up_lets_calls_in_again() {
        let gate = Gate::new(false);
        let _call = gate.enter();
        assert!(gate.enter_alone(SOON).is_none());
        let _second = gate.enter();
    }

    #[test]
    fn no_call_starts_while_someone_is_alone() {
        let gate = Gate::new(false);
        let alone = gate.enter_alone(SOON).unwrap();
        assert!(gate.enter_alone(SOON).is_none());
        let started = AtomicUsize::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                let _call = gate.enter();
                started.fetch_add(1, Ordering::SeqCst);
            });
            thread::sleep(SOON);
            assert_eq!(started.load(Ordering::SeqCst), 0);
            drop(alone);
        });
        assert_eq!(started.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_serial_gate_lets_one_call_in_at_a_time() {
        let gate = Gate::new(true);
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _call = gate.enter();
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(most.load(Ordering::SeqCst), 1);
    }
}
