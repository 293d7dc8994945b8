//! `clavigerd check`: whether this configuration would start. Changes nothing, logs in nowhere.

use std::{fs, path::Path, time::SystemTime};

use anyhow::{Context as _, Result, bail};
use claviger_service::{config::Config, descriptors, parts};

use crate::logging::answer;

pub(crate) fn run(config: &Path) -> Result<()> {
    let file = config;
    let config = Config::read(file)?;
    answer(format_args!("{}: read", file.display()));
    let policy = parts::read_policy(&config.policy.file)?;
    answer(format_args!("{}: policy {}", config.policy.file.display(), policy.hash()));
    config.token.check_files().context("the token")?;
    answer("token: module and PIN source are there");
    for (name, tls) in config.listen.tls_listeners() {
        let material = parts::read_tls(name, tls)?;
        let left = material.valid_until().duration_since(SystemTime::now()).unwrap_or_default();
        let days = left.as_secs() / 86_400;
        answer(format_args!("listen.{name}: the files belong together, {days} days are left"));
    }
    for (what, path) in [
        ("store.path", &config.store.path),
        ("audit.directory", &config.audit.directory),
        ("listen.data", &config.listen.data),
        ("listen.admin", &config.listen.admin),
    ] {
        let directory = path.parent().unwrap_or(Path::new("/"));
        let found = fs::metadata(directory)
            .with_context(|| format!("{what}: the directory {}", directory.display()))?;
        if !found.is_dir() {
            bail!("{what}: {} is not a directory", directory.display());
        }
        if rustix::fs::access(directory, rustix::fs::Access::WRITE_OK).is_err() {
            bail!("{what}: {} cannot be written by this user", directory.display());
        }
    }
    answer("directories: there and writable");
    if let Some(shortage) = descriptors::shortage(&config) {
        answer(format_args!("warning: {shortage}"));
    }
    answer(format_args!(
        "a reload (SIGHUP, `claviger reload`) takes: {}, and what these name: {}",
        Config::TAKEN_BY_RELOAD.join(", "),
        config.files_read_again().join(", ")
    ));
    answer("every other key needs a restart; a reload names those that changed");
    answer("the configuration is good");
    Ok(())
}
