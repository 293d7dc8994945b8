//! What the process gives up before it reads a secret: core dumps, being traced, files for others, and
//! the words of a panic, which might hold a value.

use crate::logging;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit, umask,
};

/// `PR_SET_DUMPABLE` 0, no core file, new files and sockets for the owner only, panics by place alone.
pub(crate) fn process() {
    umask(rustix::fs::Mode::from_raw_mode(0o077));
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or("an unknown place".to_owned(), ToString::to_string);
        logging::complain(&anyhow::anyhow!("a defect: panicked at {place}"));
    }));
    // Each of the two is enough against a core file; the second one also keeps other processes of this
    // user from reading its memory.
    let no_core = setrlimit(Resource::Core, none).is_ok();
    let not_dumpable = set_dumpable_behavior(DumpableBehavior::NotDumpable).is_ok();
    if !no_core && !not_dumpable {
        logging::complain(&anyhow::anyhow!("core dumps could not be turned off"));
    }
}
