//! Faults no real disk shows on demand.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

/// An operation that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Allocate,
    Write,
    Sync,
}

/// What happens to one operation.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    Fails(io::ErrorKind),
    Hangs(Duration),
}

/// Faults that strike the next operations of their kind, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<VecDeque<(Operation, Fault)>>>);

impl Faults {
    pub(crate) fn add(&self, operation: Operation, fault: Fault) {
        self.0.lock().unwrap().push_back((operation, fault));
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    pub(crate) fn strike(&self, operation: Operation) -> io::Result<()> {
        let fault = {
            let mut waiting = self.0.lock().unwrap();
            match waiting.front() {
                Some((first, _)) if *first == operation => waiting.pop_front(),
                _ => None,
            }
        };
        match fault {
            None => Ok(()),
            Some((_, Fault::Fails(kind))) => Err(kind.into()),
            Some((_, Fault::Hangs(time))) => {
                std::thread::sleep(time);
                Ok(())
            }
        }
    }
}

mod faults;
mod schema;
