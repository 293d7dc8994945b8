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
    let operations = parts::open_operations(config).await?;
    let data = sockets::bind(&config.listen.data, config.listen.data_mode)?;
    let admin = sockets::bind(&config.listen.admin, config.listen.admin_mode)?;

    let (stop, stopping) = watch::channel(false);
    let limits = limits(config);
    let shutdown = |mut stopping: watch::Receiver<bool>| async move {
        // The sender lives until the end of this function, so this waits for the word.
        let _ = stopping.wait_for(|stop| *stop).await;
    };
    let data = tokio::spawn(serve(
        data,
        data_router(Arc::clone(&operations), limits),
        shutdown(stopping.clone()),
        limits,
    ));
    let admin = tokio::spawn(serve(
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
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: letting requests finish"),
        _ = interrupt.recv() => tracing::info!("SIGINT: letting requests finish"),
    }
    let _ = stop.send(true);
    for (name, listener) in [("data", data), ("admin", admin)] {
        listener.await.with_context(|| format!("the {name} listener"))??;
    }
    sweeper.abort();
    operations.stop().await;
    for socket in [&config.listen.data, &config.listen.admin] {
        let _ = std::fs::remove_file(socket);
    }
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
