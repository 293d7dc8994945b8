//! `clavigerd dev`: a SoftHSM2 token, the ceremony, a policy that lets this user do anything, and the
//! running service, in one command. For trying only.
//!
//! Everything is in one directory and is kept between runs. The service itself is the ordinary one: this
//! command writes its configuration and becomes `clavigerd serve`.

mod second_person;

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::logging::answer;

/// Where to run.
#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// Directory for token, keys, audit log and sockets; made if missing.
    #[arg(long, value_name = "DIR", env = "CLAVIGER_DEV_DIRECTORY")]
    directory: Option<PathBuf>,
    /// Prepare everything, print the lines to try, and do not start the service.
    #[arg(long)]
    prepare_only: bool,
    /// Let days pass this many times as fast: rotation periods, soaks and delays of destruction. 86400 makes a
    /// day a second.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    time_scale: u32,
    /// Listen for a second person too, with TLS on this port of 127.0.0.1, and make his certificate: some steps
    /// need two persons.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    second_person: Option<u16>,
}

pub(crate) fn run(dev: &Dev) -> Result<()> {
    let directory = match &dev.directory {
        Some(directory) => directory.clone(),
        None => default_directory()?,
    };
    fs::create_dir_all(&directory)
        .with_context(|| format!("the directory {}", directory.display()))?;
    let directory = fs::canonicalize(&directory)?;
    let module = make_token(&directory)?;
    let config = write_configuration(&directory, &module, dev.second_person)?;
    hold_ceremony(&directory, &config)?;
    print_lines(&directory);
    if let Some(port) = dev.second_person {
        second_person::print_lines(&directory, port);
    }
    if dev.prepare_only {
        return Ok(());
    }
    let mut serve = clavigerd(&directory, &config)?;
    serve.arg("serve").arg("--time-scale").arg(dev.time_scale.to_string());
    let error = serve.exec();
    Err(error).context("clavigerd serve")
}

fn default_directory() -> Result<PathBuf> {
    let data = std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".local/share")));
    let Some(data) = data else { bail!("there is no home directory; give --directory") };
    Ok(data.join("claviger-dev"))
}

/// Runs `softhsm/init-token`, which this program carries, and returns the module's path.
fn make_token(directory: &Path) -> Result<PathBuf> {
    let scripts = directory.join("softhsm");
    fs::create_dir_all(&scripts)?;
    for (name, text) in SOFTHSM {
        fs::write(scripts.join(name), text)?;
    }
    let output = Command::new("bash")
        .arg(scripts.join("init-token"))
        .arg(directory.join("token"))
        .arg(LABEL)
        .output()
        .context("bash is needed to run softhsm/init-token")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let module = text.lines().find_map(|line| line.strip_prefix("module")).map(str::trim);
    let Some(module) = module else { bail!("softhsm/init-token named no module") };
    Ok(PathBuf::from(module))
}

fn write_configuration(
    directory: &Path,
    module: &Path,
    second_person: Option<u16>,
) -> Result<PathBuf> {
    let uid = rustix::process::getuid().as_raw();
    let config = directory.join("clavigerd.toml");
    let mut text = format!(
        "# Written anew by every `clavigerd dev`.\n\
         [token]\nmodule = {module:?}\nlabel = \"{LABEL}\"\npin-file = \"token/pin\"\n\n\
         [store]\npath = \"keys.db\"\n\n\
         [audit]\ndirectory = \"audit\"\nsegment-bytes = 4194304\nreserve-bytes = 1048576\n\n\
         [policy]\nfile = \"policy.toml\"\n\n\
         [listen]\ndata = \"data.sock\"\nadmin = \"admin.sock\"\n\n\
         [cache]\nrequire-locked = false\n"
    );
    if let Some(port) = second_person {
        text.push_str(&second_person::prepare(directory, port)?);
    }
    fs::write(&config, text).with_context(|| config.display().to_string())?;
    let policy = directory.join("policy.toml");
    if !policy.exists() {
        let text = format!(
            "# Lets one user do anything, and the second person of --second-person: for trying only.\n\
             [[rule]]\nname = \"developer\"\nprincipals = [\"uds:uid={uid}\", \"{}\"]\n\
             actions = [\"*\"]\nkeys = [\"**\"]\n",
            second_person::PRINCIPAL
        );
        fs::write(&policy, text).with_context(|| policy.display().to_string())?;
    }
    Ok(config)
}

fn hold_ceremony(directory: &Path, config: &Path) -> Result<()> {
    // A ceremony that was interrupted left an empty store; only a root that verifies is kept.
    if directory.join("keys.db").exists()
        && clavigerd(directory, config)?.args(["root", "verify"]).output()?.status.success()
    {
        return Ok(());
    }
    let status = clavigerd(directory, config)?.args(["root", "init"]).status()?;
    if !status.success() {
        bail!("the ceremony failed; its message is above");
    }
    Ok(())
}

/// This program, with the token's configuration in its environment.
fn clavigerd(directory: &Path, config: &Path) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env("SOFTHSM2_CONF", directory.join("token/softhsm2.conf"));
    command.arg("--config").arg(config);
    Ok(command)
}

fn print_lines(directory: &Path) {
    let shown = directory.display();
    answer(format_args!(
        "\nIn another terminal:\n\n  \
         export CLAVIGER_SOCKET={shown}/data.sock CLAVIGER_ADMIN_SOCKET={shown}/admin.sock\n  \
         claviger key create us-east-1\n  \
         claviger key create us-east-1/payments\n  \
         claviger key tree\n  \
         curl --unix-socket {shown}/data.sock http://localhost/v1/data-key \\\n       \
         --json '{{\"key\":\"us-east-1/payments\",\"binding\":{{\"context\":{{\"row\":\"17\"}}}}}}'\n  \
         claviger seal --key us-east-1/payments FILE\n\n\
         Everything is in {shown}. Ctrl-C stops the service; remove the directory to start afresh.\n"
    ));
}

/// The label of a developer's token.
pub(super) const LABEL: &str = "claviger-dev";

const SOFTHSM: [(&str, &str); 2] = [
    ("init-token", include_str!("../../../../softhsm/init-token")),
    ("softhsm2.conf.template", include_str!("../../../../softhsm/softhsm2.conf.template")),
];
