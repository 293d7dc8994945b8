//! `clavigerd serve`: open everything, listen, on SIGHUP read certificates again, and on
//! SIGTERM or SIGINT let requests finish and stop.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use axum::Router;
use claviger_api::{Limits, Listener, TlsMaterial, admin_router, data_router, serve};
use claviger_operations::Operations;
use claviger_service::{
    config::{Config, ListenConfig},
    descriptors, parts, sockets,
};
use tokio::{signal::unix::SignalKind, sync::watch, task::JoinSet};

use crate::logging;

pub(crate) fn run(config: &Path) -> Result<()> {
    let config = Config::read(config)?;
    logging::start(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve_until_told(&config))
}

async fn serve_until_told(config: &Config) -> Result<()> {
    // Registered first: a signal during the start stops the service as soon as it is up.
    let mut terminate = tokio::signal::unix::signal(SignalKind::terminate())?;
    let mut interrupt = tokio::signal::unix::signal(SignalKind::interrupt())?;
    let mut hang_up = tokio::signal::unix::signal(SignalKind::hangup())?;
    let listen = &config.listen;
    if let Some(shortage) = descriptors::shortage(config) {
        tracing::warn!("{shortage}");
    }
    // Bound before anything is opened and recorded; callers who connect now wait until it is.
    let tls = Tls::read(listen)?;
    let (data, _data_file) = sockets::bind(&listen.data, listen.data_mode)?;
    let (admin, _admin_file) = sockets::bind(&listen.admin, listen.admin_mode)?;
    let mut bound: Vec<(&str, Listener)> = vec![("data", data.into()), ("admin", admin.into())];
    for (name, address, material) in &tls.0 {
        let socket = sockets::bind_tcp(*address).await?;
        bound.push((name, Listener::tls(socket, Arc::clone(material))));
    }
    let operations = parts::open_operations(config).await?;

    let (stop, stopping) = watch::channel(false);
    let limits = limits(config);
    let mut listeners = JoinSet::new();
    for (name, listener) in bound {
        let router: Router = match name {
            "data" | "tls" => data_router(Arc::clone(&operations), limits),
            _ => admin_router(Arc::clone(&operations), limits),
        };
        let mut stopping = stopping.clone();
        // The sender lives until the end of this function, so this waits for the word.
        let shutdown = async move { drop(stopping.wait_for(|stop| *stop).await) };
        let name = name.to_owned();
        listeners.spawn(async move {
            let end = serve(listener, router, shutdown, limits).await;
            end.with_context(|| format!("the {name} listener"))
        });
    }
    let sweeper = tokio::spawn(sweep(Arc::clone(&operations)));

    let health = operations.status().hierarchy;
    tracing::info!(
        data = %listen.data.display(),
        admin = %listen.admin.display(),
        tls = listen.tls.as_ref().map(|tls| tls.address.to_string()),
        admin_tls = listen.admin_tls.as_ref().map(|tls| tls.address.to_string()),
        keys = health.keys,
        memory = ?health.memory,
        "ready"
    );
    let mut ends = Vec::new();
    loop {
        tokio::select! {
            _ = terminate.recv() => {
                tracing::info!("SIGTERM: letting requests finish");
                break;
            }
            _ = interrupt.recv() => {
                tracing::info!("SIGINT: letting requests finish");
                break;
            }
            _ = hang_up.recv() => tls.reload(),
            // A service without one of its doors is none: it stops, and whoever supervises it starts
            // it anew.
            Some(end) = listeners.join_next() => {
                ends.push(end);
                break;
            }
        }
    }
    let _ = stop.send(true);
    while let Some(end) = listeners.join_next().await {
        ends.push(end);
    }
    sweeper.abort();
    operations.stop().await;
    for end in ends {
        end.context("a listener")??;
    }
    tracing::info!("stopped");
    Ok(())
}

/// What the TLS listeners use, by their names in the configuration.
struct Tls(Vec<(&'static str, SocketAddr, Arc<TlsMaterial>)>);

impl Tls {
    fn read(config: &ListenConfig) -> Result<Self> {
        let read = config
            .tls_listeners()
            .map(|(name, tls)| Ok((name, tls.address, parts::read_tls(name, tls)?)));
        read.collect::<Result<_>>().map(Self)
    }

    /// Reads the files of all listeners again: all are taken, or none.
    fn reload(&self) {
        let mut prepared = Vec::new();
        for (name, _, material) in &self.0 {
            match material.prepare() {
                Ok(ready) => prepared.push((material, ready)),
                Err(error) => {
                    tracing::error!(
                        listener = name,
                        %error,
                        "SIGHUP: nothing is reloaded, the old certificates stay"
                    );
                    return;
                }
            }
        }
        let listeners = prepared.len();
        for (material, ready) in prepared {
            material.install(ready);
        }
        tracing::info!(listeners, "SIGHUP: certificates, CAs and revocation lists are read again");
    }
}

fn limits(config: &Config) -> Limits {
    let mut limits = Limits::default();
    limits.max_connections = config.limits.connections;
    limits.max_handshakes = config.limits.handshakes;
    limits.handshake_timeout = Duration::from_secs(config.limits.handshake_seconds);
    limits.connection_age = Duration::from_secs(config.limits.connection_seconds);
    limits.request_timeout = Duration::from_secs(config.limits.request_seconds);
    limits.grace = Duration::from_secs(config.limits.drain_seconds);
    limits
}

async fn sweep(operations: Arc<Operations>) {
    let mut every = tokio::time::interval(Duration::from_secs(10));
    loop {
        every.tick().await;
        operations.sweep();
    }
}
