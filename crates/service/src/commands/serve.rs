//! `clavigerd serve`: open everything, listen, reload on SIGHUP, and on SIGTERM or SIGINT let requests finish
//! and stop.

mod reload;
mod supervision;

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use axum::Router;
use clap::Args;
use claviger_api::{Limits, Listener, TlsMaterial, admin_router, data_router, serve};
use claviger_hierarchy::Pace;
use claviger_operations::{Asked, Operations, Reload};
use claviger_service::{
    config::{Config, ListenConfig},
    descriptors, parts, sockets,
};
use tokio::{
    signal::unix::SignalKind,
    sync::{Mutex, watch},
    task::JoinSet,
};

use self::reload::Reloader;
use crate::{
    commands::dev,
    logging::{self, Level},
};

/// How to run.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Days pass this many times as fast: see `clavigerd dev --time-scale`.
    #[arg(long, hide = true, default_value_t = 1)]
    time_scale: u32,
}

pub(crate) fn run(how: &Serve, file: &Path) -> Result<()> {
    let mut config = Config::read(file)?;
    if how.time_scale != 1 {
        if config.token.label.as_deref() != Some(dev::LABEL) {
            bail!(
                "a time scale is for `clavigerd dev` only: on any other token it would shorten soaks and the delay of \
                 destructions"
            );
        }
        config.pace = Pace::faster(how.time_scale);
    }
    let level = logging::start(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve_until_told(file, config, level))
}

async fn serve_until_told(file: &Path, config: Config, level: Level) -> Result<()> {
    // Registered first: a signal during the start stops the service as soon as it is up.
    let mut terminate = tokio::signal::unix::signal(SignalKind::terminate())?;
    let mut interrupt = tokio::signal::unix::signal(SignalKind::interrupt())?;
    let mut hang_up = tokio::signal::unix::signal(SignalKind::hangup())?;
    let listen = &config.listen;
    if let Some(shortage) = descriptors::shortage(&config) {
        tracing::warn!("{shortage}");
    }
    // Bound before anything is opened and recorded; callers who connect now wait until it is.
    let tls = read_tls(listen)?;
    let (data, _data_file) = sockets::bind(&listen.data, listen.data_mode)?;
    let (admin, _admin_file) = sockets::bind(&listen.admin, listen.admin_mode)?;
    let mut bound: Vec<(&str, Listener)> = vec![("data", data.into()), ("admin", admin.into())];
    for (name, address, material) in &tls {
        let socket = sockets::bind_tcp(*address).await?;
        bound.push((name, Listener::tls(socket, Arc::clone(material))));
    }
    let (operations, token) = parts::open_operations(&config).await?;

    let (stop, stopping) = watch::channel(false);
    let limits = limits(&config);
    let reloader: Arc<dyn Reload> = Arc::new(Reloader {
        file: file.to_owned(),
        running: config.clone(),
        operations: Arc::clone(&operations),
        token,
        tls: tls.into_iter().map(|(name, _, material)| (name, material)).collect(),
        level,
        one_at_a_time: Mutex::new(()),
    });
    let mut listeners = JoinSet::new();
    for (name, listener) in bound {
        let router: Router = match name {
            "data" | "tls" => data_router(Arc::clone(&operations), limits),
            _ => admin_router(Arc::clone(&operations), limits, Some(Arc::clone(&reloader))),
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
    let mut at_work = JoinSet::new();
    at_work.spawn(keep_up(Arc::clone(&operations)));
    at_work.spawn(supervision::keep_alive(Arc::clone(&operations)));
    at_work.spawn(supervision::keep_status(Arc::clone(&operations)));

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
    supervision::ready();
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
            _ = hang_up.recv() => {
                let reloader = Arc::clone(&reloader);
                // Beside this loop, which must hear SIGTERM while a file hangs. The log says what it came to.
                tokio::spawn(async move { reloader.reload(Asked::BySignal).await });
            }
            // A service without one of its doors is none: it stops, and whoever supervises it starts
            // it anew.
            Some(end) = listeners.join_next() => {
                ends.push(end);
                break;
            }
        }
    }
    supervision::stopping();
    let _ = stop.send(true);
    while let Some(end) = listeners.join_next().await {
        ends.push(end);
    }
    at_work.shutdown().await;
    operations.stop().await;
    for end in ends {
        end.context("a listener")??;
    }
    tracing::info!("stopped");
    Ok(())
}

/// What the TLS listeners use, by their names in the configuration.
fn read_tls(config: &ListenConfig) -> Result<Vec<(&'static str, SocketAddr, Arc<TlsMaterial>)>> {
    config
        .tls_listeners()
        .map(|(name, tls)| Ok((name, tls.address, parts::read_tls(name, tls)?)))
        .collect()
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

async fn keep_up(operations: Arc<Operations>) {
    let mut every = tokio::time::interval(Duration::from_secs(5));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        if let Err(error) = operations.keep_up().await {
            tracing::warn!(%error, "upkeep");
        }
    }
}
