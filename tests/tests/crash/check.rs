//! What must be true after every kill.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use claviger_envelope::{EnvelopeError, Envelopes, SealedColumn};
use claviger_kms::KmsError;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::{
    stage::{KEY, Stage},
    writer::{self, Ledger},
};

/// The key as it was seen last.
#[derive(Debug, Default, Clone)]
pub(crate) struct Known {
    pub(crate) primary: u64,
    /// States by version.
    versions: BTreeMap<u64, String>,
    /// Callers may still open what is quarantined.
    drained: bool,
}

/// What was found.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Found {
    /// A quarantine had stopped the key, and there was no new primary version yet.
    pub(crate) without_primary: bool,
    /// Rows, those under older versions, and those of them that callers may not open.
    pub(crate) rows: usize,
    pub(crate) behind: usize,
    pub(crate) stopped: usize,
    /// An open campaign has a cursor.
    pub(crate) cursor: bool,
}

impl Stage {
    /// Fails unless the key has one primary version and has only gone forward, and every row holds what the
    /// application wrote last, and opens unless its version is stopped.
    pub(crate) fn check(&mut self) -> Found {
        self.let_the_writer_finish();
        let without_primary = self.check_key();
        let found = self.check_rows();
        let campaigns = self.look("/v1/campaigns");
        let open = campaigns["campaigns"].as_array().unwrap().iter();
        let open = open.filter(|campaign| campaign["state"] == "open");
        let cursor = open.flat_map(|open| open["sources"].as_object().unwrap().values());
        let cursor = cursor.clone().any(|source| !source["cursor"].is_null());
        Found { without_primary, cursor, ..found }
    }

    /// As [`check`](Self::check), after a campaign that has ended well: every row is under the primary version.
    pub(crate) fn check_settled(&mut self) {
        let found = self.check();
        assert_eq!((found.behind, found.stopped), (0, 0), "{found:?} after a complete campaign");
    }

    /// Whether the service had still to make a new primary version.
    fn check_key(&mut self) -> bool {
        let target = format!("/v1/keys/{KEY}");
        let (begun, mut without_primary) = (Instant::now(), false);
        loop {
            let key = self.look(&target);
            let now = Known::of(&key);
            now.assert_follows(&self.known, &key);
            self.known = now;
            if self.known.primary > 0 {
                return without_primary;
            }
            without_primary = true;
            assert!(begun.elapsed() < UPKEEP, "the service made no new primary version: {key}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn check_rows(&mut self) -> Found {
        let socket = self.site.data_socket();
        self.runtime.block_on(async {
            let client = writer::connect(self.database.connection_string()).await.unwrap();
            let ledger = self.ledger.lock().await;
            let rows = client.query("SELECT id, number FROM cards", &[]).await.unwrap();
            let rows: BTreeMap<i64, SealedColumn> =
                rows.iter().map(|row| (row.get(0), row.get(1))).collect();
            compare_presence(&ledger, &rows);
            let envelopes = std::sync::Arc::new(writer::envelopes(socket));
            let mut opening = JoinSet::new();
            for (id, sealed) in rows {
                let envelopes = envelopes.clone();
                opening.spawn(async move { look_into(&envelopes, id, sealed).await });
            }
            let mut found = Found { rows: opening.len(), ..Found::default() };
            for (id, version, opened) in opening.join_all().await {
                found.behind += usize::from(version < self.known.primary);
                match (opened, self.known.is_stopped(version)) {
                    (Ok(value), false) => {
                        let row = &ledger.rows[&id];
                        assert!(row.possible.contains(&Some(value.clone())), "{value:?}: {row:?}");
                    }
                    (Err(EnvelopeError::Kms { source: KmsError::KeyUnusable { .. } }), true) => {
                        found.stopped += 1;
                    }
                    (opened, stopped) => {
                        panic!("row {id}, version {version}, stopped: {stopped}: {opened:?}")
                    }
                }
            }
            found
        })
    }
}

/// No row is gone, and none is back.
fn compare_presence(ledger: &Ledger, rows: &BTreeMap<i64, SealedColumn>) {
    for (id, row) in &ledger.rows {
        let may_be_away = row.possible.contains(&None);
        assert!(may_be_away || rows.contains_key(id), "row {id} is gone: {row:?}");
    }
    for id in rows.keys() {
        assert!(ledger.rows.contains_key(id), "row {id} is back, and was deleted");
    }
}

async fn look_into(
    envelopes: &Envelopes,
    id: i64,
    sealed: SealedColumn,
) -> (i64, u64, Result<String, EnvelopeError>) {
    let (_, version) = sealed.key_version().unwrap();
    (id, u64::from(version.number()), writer::opened(envelopes, id, &sealed).await)
}

impl Known {
    fn of(key: &Value) -> Self {
        let versions = key["versions"].as_array().unwrap().iter();
        let versions: BTreeMap<u64, String> = versions
            .map(|version| {
                let state = version["state"].as_str().unwrap().to_owned();
                (version["version"].as_u64().unwrap(), state)
            })
            .collect();
        let drained = key["quarantine"]["drain"].as_bool().unwrap_or_default();
        Self { primary: key["primary"].as_u64().unwrap_or_default(), versions, drained }
    }

    /// At most one primary version, the one that is named; none is gone, and none went back.
    fn assert_follows(&self, before: &Self, key: &Value) {
        let primary = self.versions.iter().filter(|(_, state)| *state == "primary");
        let primary: Vec<u64> = primary.map(|(version, _)| *version).collect();
        let named: Vec<u64> = (self.primary > 0).then_some(self.primary).into_iter().collect();
        assert_eq!(primary, named, "{key}");
        assert!(self.primary == 0 || self.primary >= before.primary, "{key}");
        for (version, state) in &before.versions {
            let now = self.versions.get(version).map(|state| rank(state));
            assert!(now >= Some(rank(state)), "version {version} was {state}: {key}");
        }
    }

    fn is_stopped(&self, version: u64) -> bool {
        !self.drained && self.versions[&version] == "quarantined"
    }

    /// How many there are.
    pub(crate) fn number(&self) -> usize {
        self.versions.len()
    }
}

/// The states that rotations and quarantines lead through, in their order.
fn rank(state: &str) -> usize {
    let order = ["pending", "primary", "enabled", "quarantined", "disabled", "destroyed"];
    order.iter().position(|known| *known == state).unwrap()
}

/// The service looks after itself every five seconds.
const UPKEEP: Duration = Duration::from_secs(30);
