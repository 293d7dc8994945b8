//! File descriptors: as many as the system gives, and whether they are enough for the connections that the
//! configuration lets in. When they run out new connections wait, and so may the audit log's next segment.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// Raises the soft limit to the hard one. The usual soft limit of 1,024 protects programs that use `select`;
/// this one does not.
pub fn raise_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // If it is refused, `shortage` tells what that means.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// What to do when all connections that may come at once need more descriptors than there are.
#[must_use]
pub fn shortage(config: &Config) -> Option<String> {
    let limits = &config.limits;
    let unix = limits.connections.saturating_mul(2);
    let tls = limits.connections.saturating_add(limits.handshakes);
    let tls = tls.saturating_mul(config.listen.tls_listeners().count());
    let needed = unix.saturating_add(tls).saturating_add(OTHERS);
    let allowed = getrlimit(Resource::Nofile).current?;
    if u64::try_from(needed).is_ok_and(|needed| needed <= allowed) {
        return None;
    }
    Some(format!(
        "limits.connections = {} may need {needed} file descriptors on all listeners together, and the \
         system allows {allowed}: raise LimitNOFILE= in the systemd unit (ulimit -n in a shell), or lower \
         limits.connections",
        limits.connections
    ))
}

/// For the token, the store, the audit log, the runtime, and connections that are being turned away.
const OTHERS: usize = 128;
