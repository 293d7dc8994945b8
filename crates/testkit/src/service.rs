//! A whole service in this process: SoftHSM token, ceremony, store, audit log, policy, both sockets.
//!
//! Everything is real and stands in a temporary folder. The token is one per process, so it is one
//! service per test process (what nextest makes of a test).

#![expect(clippy::unwrap_used, reason = "a test fails where its service does not start")]

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::Router;
use claviger_api::{Limits, Listener, admin_router, data_router, serve};
use claviger_audit::{AuditConfig, AuditLog};
use claviger_client::{Client, ClientConfig};
use claviger_hierarchy::{Hierarchy, HierarchyConfig, Pace, init_root};
use claviger_keystore::{KeyStore, SqliteStore};
use claviger_kms::Principal;
use claviger_operations::Operations;
use claviger_policy::Policy;
use claviger_root_key::{Pkcs11Token, Token};
use tempfile::TempDir;
use tokio::{net::UnixListener, sync::watch, task::JoinHandle};

use crate::SoftHsm;

/// A running service.
#[derive(Debug)]
pub struct Service {
    operations: Arc<Operations>,
    stop: watch::Sender<bool>,
    listeners: Vec<JoinHandle<std::io::Result<()>>>,
    folder: TempDir,
    token: SoftHsm,
}

impl Service {
    /// Starts a service that lets this user do everything.
    ///
    /// # Panics
    /// When any part of it does not start.
    pub async fn start() -> Self {
        Self::start_with(&Self::permissive_policy(), Limits::default()).await
    }

    /// Starts a service with this policy and these limits on both sockets.
    ///
    /// # Panics
    /// When any part of it does not start.
    pub async fn start_with(policy: &str, limits: Limits) -> Self {
        Self::start_at_pace(policy, limits, Pace::REAL).await
    }

    /// The same, with days of another length.
    ///
    /// # Panics
    /// When any part of it does not start.
    pub async fn start_at_pace(policy: &str, limits: Limits, pace: Pace) -> Self {
        let soft_hsm = SoftHsm::new();
        let folder = tempfile::Builder::new().prefix("claviger-service-").tempdir().unwrap();
        let config = soft_hsm.token_config();
        let open = tokio::task::spawn_blocking(move || Pkcs11Token::open(&config).unwrap());
        let token: Arc<dyn Token> = Arc::new(open.await.unwrap());
        let store = SqliteStore::open(&folder.path().join("keys.sqlite")).unwrap();
        let store: Arc<dyn KeyStore> = Arc::new(store);
        init_root(token.as_ref(), store.as_ref()).await.unwrap();

        let mut audit = AuditConfig::in_directory(folder.path().join("audit"));
        audit.segment_bytes = 4 << 20;
        audit.reserve_bytes = 1 << 20;
        let (audit, recovered) = AuditLog::open(audit).await.unwrap();
        let mut config = HierarchyConfig::default();
        config.require_locked = false;
        config.pace = pace;
        config.lowest_generation = recovered.highest_generation;
        let hierarchy = Hierarchy::open(token, store, config).await.unwrap();
        let policy = Policy::parse(policy).unwrap();
        let operations = Operations::start(hierarchy, policy, audit).await.unwrap();

        let (stop, _) = watch::channel(false);
        let data = data_router(Arc::clone(&operations), limits);
        let admin = admin_router(Arc::clone(&operations), limits, None);
        let listeners = Vec::new();
        let mut service = Self { operations, stop, listeners, folder, token: soft_hsm };
        for (path, router) in [(service.data_socket(), data), (service.admin_socket(), admin)] {
            service.listen(UnixListener::bind(path).unwrap().into(), router, limits);
        }
        service
    }

    /// Serves at one more listener, until the service stops.
    pub(crate) fn listen(&mut self, listener: Listener, router: Router, limits: Limits) {
        let mut stopped = self.stop.subscribe();
        let shutdown = async move { drop(stopped.wait_for(|stop| *stop).await) };
        self.listeners.push(tokio::spawn(serve(listener, router, shutdown, limits)));
    }

    /// The policy that lets this process's user, and [`Service::TLS_CALLER`], do everything.
    #[must_use]
    pub fn permissive_policy() -> String {
        format!(
            "[[rule]]\nname = \"all\"\nprincipals = [\"{}\", \"{}\"]\nactions = [\"*\"]\n\
             keys = [\"**\"]\n",
            Self::own_principal(),
            Self::TLS_CALLER
        )
    }

    /// What the service takes this process for.
    #[must_use]
    pub fn own_principal() -> Principal {
        Principal::of_uid(rustix::process::geteuid().as_raw())
    }

    /// A client of both sockets.
    #[must_use]
    pub fn client(&self) -> Client {
        let config = ClientConfig::new(self.data_socket()).with_admin_socket(self.admin_socket());
        Client::new(config)
    }

    /// Path of the data socket.
    #[must_use]
    pub fn data_socket(&self) -> PathBuf {
        self.folder.path().join(DATA)
    }

    /// Path of the admin socket.
    #[must_use]
    pub fn admin_socket(&self) -> PathBuf {
        self.folder.path().join(ADMIN)
    }

    /// The folder with store, audit log and sockets.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its token.
    #[must_use]
    pub fn token(&self) -> &SoftHsm {
        &self.token
    }

    /// What is behind its doors.
    #[must_use]
    pub fn operations(&self) -> &Arc<Operations> {
        &self.operations
    }

    /// Begins the shutdown without waiting for it.
    pub fn begin_shutdown(&self) {
        self.stop.send_replace(true);
    }

    /// Shuts it down as a service does: drains both listeners, closes the audit log, wipes the keys.
    ///
    /// # Panics
    /// When a listener failed.
    pub async fn stop(mut self) {
        self.begin_shutdown();
        for listener in self.listeners.drain(..) {
            listener.await.unwrap().unwrap();
        }
        self.operations.stop().await;
    }
}

const DATA: &str = "data.sock";
const ADMIN: &str = "admin.sock";
