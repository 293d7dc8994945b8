//! `clavigerd serve`: open everything, listen, and on SIGTERM or SIGINT let requests finish and stop.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use claviger_api::{Limits, admin_router, data_router, serve};
use claviger_operations::Operations;
use claviger_service::{config::Config, parts, sockets};
use tokio::{signal::unix::SignalKind, sync::watch};

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
    // Bound before anything is opened and recorded; callers who connect now wait until it is.
    let (data, _data_file) = sockets::bind(&config.listen.data, config.listen.data_mode)?;
    let (admin, _admin_file) = sockets::bind(&config.listen.admin, config.listen.admin_mode)?;
    let operations = parts::open_operations(config).await?;

    let (stop, stopping) = watch::channel(false);
    let limits = limits(config);
    let shutdown = |mut stopping: watch::Receiver<bool>| async move {
        // The sender lives until the end of this function, so this waits for the word.
        let _ = stopping.wait_for(|stop| *stop).await;
    };
    let mut data = tokio::spawn(serve(
        data,
        data_router(Arc::clone(&operations), limits),
        shutdown(stopping.clone()),
        limits,
    ));
    let mut admin = tokio::spawn(serve(
        admin,
        admin_router(Arc::clone(&operations), limits),
        shutdown(stopping),
        limits,
    ));
    let sweeper = tokio::spawn(sweep(Arc::clone(&operations)));

    let health = operations.status().hierarchy;
    tracing::info!(
        data = %config.listen.data.display(),
        admin = %config.listen.admin.display(),
        keys = health.keys,
        memory = ?health.memory,
        "ready"
    );
    let (mut data_end, mut admin_end) = (None, None);
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: letting requests finish"),
        _ = interrupt.recv() => tracing::info!("SIGINT: letting requests finish"),
        // A service without one of its doors is none: it stops, and whoever supervises it starts it anew.
        end = &mut data => data_end = Some(end),
        end = &mut admin => admin_end = Some(end),
    }
    let _ = stop.send(true);
    let data_end = match data_end {
        Some(end) => end,
        None => data.await,
    };
    let admin_end = match admin_end {
        Some(end) => end,
        None => admin.await,
    };
    sweeper.abort();
    operations.stop().await;
    data_end.context("the data listener")?.context("the data listener")?;
    admin_end.context("the admin listener")?.context("the admin listener")?;
    tracing::info!("stopped");
    Ok(())
}

fn limits(config: &Config) -> Limits {
    let mut limits = Limits::default();
    limits.max_connections = config.limits.connections;
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
