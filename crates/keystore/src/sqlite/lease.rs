//! Leases of the embedded store.
//!
//! They end by the wall clock. That is enough here: one process has the store, so all holders read one
//! clock, and a clock that jumps makes work be done twice or late, never wrongly, because every write
//! is a compare-and-swap. A lease that ends further ahead than any term was written by a clock that has
//! gone back since, and counts as ended. For the same reason every lease ends with the process that has the
//! store open: who opens it next waits for nobody.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params};

use crate::sqlite::failure::Failure;

/// Takes, renews or (term zero) gives up a lease; whether `holder` has it now or has given it up.
pub(super) fn lease(
    connection: &Connection,
    name: &str,
    holder: &str,
    term: Duration,
) -> Result<bool, Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let expires_at = now.saturating_add(term.min(LONGEST));
    let changed = connection
        .prepare_cached(
            "INSERT INTO lease (name, holder, expires_at_ms) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET holder = excluded.holder,
                 expires_at_ms = excluded.expires_at_ms
             WHERE holder = excluded.holder OR expires_at_ms <= ?4
                 OR expires_at_ms > ?5",
        )?
        .execute(params![
            name,
            holder,
            milliseconds(expires_at),
            milliseconds(now),
            milliseconds(now.saturating_add(LONGEST))
        ])?;
    Ok(changed == 1)
}

/// Ends what a process that was killed still held. Called under the store's lock.
pub(super) fn end_all(connection: &Connection) -> Result<(), Failure> {
    connection.execute("DELETE FROM lease", [])?;
    Ok(())
}

fn milliseconds(since_epoch: Duration) -> i64 {
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

/// The longest term.
const LONGEST: Duration = Duration::from_secs(3600);
