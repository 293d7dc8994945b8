//! Everything that runs: a service on a token, a database, an application that writes; what begins rotations
//! and campaigns, and what kills.

use std::{fs, path::PathBuf, process::Command, thread, time::Duration};

use claviger_testkit::Postgres;
use claviger_tests::{Running, Site};
use serde_json::Value;
use tokio::{runtime::Runtime, task::JoinHandle};

use crate::{
    chance::Chance,
    check::Known,
    process::Process,
    writer::{self, SharedLedger},
};

/// The key whose versions change.
pub(crate) const KEY: &str = "eu/cards";

/// What is dropped first runs first: the writer ends with the runtime.
pub(crate) struct Stage {
    pub(crate) runtime: Runtime,
    pub(crate) service: Option<Running>,
    pub(crate) database: Postgres,
    pub(crate) site: Site,
    pub(crate) chance: Chance,
    pub(crate) known: Known,
    pub(crate) ledger: SharedLedger,
    writer: Option<JoinHandle<()>>,
    started: u64,
}

/// A rotation, by whom and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rotation {
    /// An operator's.
    Planned,
    /// After a quarantine: nobody but a campaign opens what is under older versions.
    Emergency,
    /// After a quarantine that lets callers still open it.
    EmergencyDrained,
    /// By the service itself, at its start.
    Scheduled,
}

/// A campaign file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Campaign {
    Rewrap,
    Reencrypt,
    /// So slow that its record has a cursor when it is killed.
    SlowRewrap,
}

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Strike {
    Campaign,
    Service,
    ServiceAndCampaign,
    /// Every connection to the database, as `pg_terminate_backend` does it.
    Connections,
    /// The database with all its processes.
    Database,
}

impl Stage {
    /// `None` where there is no PostgreSQL and none is required.
    pub(crate) fn new(seed: u64) -> Option<Self> {
        let database = Postgres::start()?;
        let (runtime, site) = (Runtime::new().unwrap(), Site::of_developer());
        let service = site.start();
        service.create(&["eu", KEY]);
        // Due in a day, unless days pass faster.
        drop(site.run_claviger(&["key", "set-rotation", KEY, "--every", "1d"]).succeeded());
        let text = database.connection_string().to_owned();
        runtime.block_on(async {
            let client = writer::connect(&text).await.unwrap();
            for statement in DURABLE {
                client.batch_execute(statement).await.unwrap();
            }
        });
        fs::write(site.work().join("database"), &text).unwrap();
        for campaign in Campaign::ALL {
            fs::write(site.work().join(campaign.file()), campaign.text()).unwrap();
        }
        let ledger = SharedLedger::default();
        let writing = writer::write(ledger.clone(), text, site.data_socket(), seed ^ 1);
        Some(Self {
            writer: Some(runtime.spawn(writing)),
            runtime,
            service: Some(service),
            database,
            site,
            chance: Chance::new(seed),
            known: Known::default(),
            ledger,
            started: 0,
        })
    }

    /// Begins a rotation that somebody asks for; the name makes a repeated one the same.
    pub(crate) fn begin_rotation(&mut self, rotation: Rotation, name: &str) -> Process {
        let words: &[&str] = match rotation {
            Rotation::Planned => &["rotate"],
            Rotation::Emergency => &["quarantine", "--reason", "misuse-suspected"],
            Rotation::EmergencyDrained => {
                &["quarantine", "--reason", "misuse-suspected", "--drain"]
            }
            Rotation::Scheduled => unreachable!("nobody asks for it"),
        };
        self.claviger(&[&["key"], words, &[KEY, "--idempotency-key", name]].concat())
    }

    /// Begins a campaign, or goes on with one.
    pub(crate) fn begin_campaign(&mut self, campaign: Campaign) -> Process {
        self.claviger(&["campaign", "run", campaign.file()])
    }

    /// Puts one in the service's place for which a day is a millisecond, so that the key is due in its first round
    /// and, the next being five seconds later, in no other while it lives. Killed after its start only: SoftHSM
    /// writes the token's file anew at every login, and a kill in its midst leaves no token.
    pub(crate) fn start_hasty_service(&mut self) {
        self.kill_service();
        let hasty = |command: &mut Command| {
            command.args(["--time-scale", "86400000"]);
        };
        self.service = Some(self.site.start_in(hasty));
    }

    fn claviger(&mut self, words: &[&str]) -> Process {
        self.started += 1;
        let mut command = self.site.claviger();
        command.args(words).args(["-o", "json"]);
        Process::start(command, self.site.folder().join(format!("claviger-{}", self.started)))
    }

    /// Kills the service, which is left away.
    pub(crate) fn kill_service(&mut self) {
        self.service.take().unwrap().kill();
    }

    /// Starts the service if it is away.
    pub(crate) fn restore_service(&mut self) {
        if self.service.is_none() {
            self.service = Some(self.site.start());
        }
    }

    /// Cuts every connection to the database but the one that does it.
    pub(crate) fn cut_connections(&self) {
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
        self.runtime.block_on(async {
            let client = writer::connect(self.database.connection_string()).await.unwrap();
            client.batch_execute(cut).await.unwrap();
        });
    }

    /// What the service says of itself.
    pub(crate) fn look(&self, target: &str) -> Value {
        self.service.as_ref().unwrap().look(target).json()
    }

    /// Lets the writer end what it has begun, so that it writes under the present primary version from then on.
    /// Fails if it has given up.
    pub(crate) fn let_the_writer_finish(&mut self) {
        if self.writer.as_ref().is_some_and(JoinHandle::is_finished) {
            let ended = self.writer.take().map(|writer| self.runtime.block_on(writer));
            panic!("the writer gave up: {ended:?}");
        }
        drop(self.runtime.block_on(self.ledger.lock()));
    }

    /// Waits until the application has written this much.
    pub(crate) fn wait_for_writes(&mut self, number: u64) {
        loop {
            self.let_the_writer_finish();
            let written = self.runtime.block_on(self.ledger.lock()).written.acknowledged();
            if written >= number {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Rotation {
    /// Those that somebody asks for.
    pub(crate) const ASKED: [Self; 3] = [Self::Planned, Self::Emergency, Self::EmergencyDrained];
}

impl Campaign {
    pub(crate) const ALL: [Self; 3] = [Self::Rewrap, Self::Reencrypt, Self::SlowRewrap];

    fn file(self) -> &'static str {
        match self {
            Self::Rewrap => "rewrap.toml",
            Self::Reencrypt => "reencrypt.toml",
            Self::SlowRewrap => "slow-rewrap.toml",
        }
    }

    fn text(self) -> String {
        let (mode, rate) = match self {
            Self::Rewrap => ("rewrap", ""),
            Self::Reencrypt => ("reencrypt", ""),
            Self::SlowRewrap => ("rewrap", "rate = 50\n"),
        };
        format!(
            "name = \"{}\"\nkey = \"{KEY}\"\nmode = \"{mode}\"\n{rate}batch = 10\nconcurrency = 2\n\
             passes = 50\nbackoff-milliseconds = 20\n\
             [[source]]\nname = \"cards\"\nkind = \"postgres\"\nconnection-file = \"database\"\n\
             table = \"cards\"\nkey-columns = [\"id\"]\nenvelope-column = \"number\"\n\
             context = {{ table = \"cards\", column = \"number\", row = \"{{id}}\" }}\n",
            PathBuf::from(self.file()).file_stem().unwrap().display(),
        )
    }
}

impl Strike {
    pub(crate) fn hits_service(self) -> bool {
        matches!(self, Self::Service | Self::ServiceAndCampaign)
    }

    pub(crate) fn hits_campaign(self) -> bool {
        matches!(self, Self::Campaign | Self::ServiceAndCampaign)
    }
}

/// What is acknowledged is on the disk, as in earnest.
const DURABLE: [&str; 5] = [
    "ALTER SYSTEM SET fsync = on",
    "ALTER SYSTEM SET synchronous_commit = on",
    "ALTER SYSTEM SET full_page_writes = on",
    "SELECT pg_reload_conf()",
    "CREATE TABLE cards (id bigint PRIMARY KEY, number bytea NOT NULL)",
];
