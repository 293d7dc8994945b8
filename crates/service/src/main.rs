//! `clavigerd`: arguments, hardening, and one file for each command.

mod commands;
mod harden;
mod logging;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use claviger_root_key::TokenError;
use claviger_service::descriptors;

/// Claviger, a key service under a root key that never leaves its PKCS#11 token.
#[derive(Debug, Parser)]
#[command(name = "clavigerd", version, after_help = EXAMPLES)]
struct Arguments {
    /// The configuration file.
    #[arg(
        short,
        long,
        global = true,
        value_name = "FILE",
        env = "CLAVIGERD_CONFIG",
        default_value = "/etc/claviger/clavigerd.toml"
    )]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service until SIGTERM or SIGINT; SIGHUP reloads it.
    Serve(commands::serve::Serve),
    /// Check the configuration, the policy and what they name, without starting or changing anything.
    Check,
    /// The root key in the token.
    #[command(subcommand)]
    Root(commands::root::Root),
    /// Run everything on a SoftHSM2 token of your own, with a policy that lets you do anything.
    Dev(commands::dev::Dev),
    /// Print the completion script of a shell.
    Completion(commands::completion::Completion),
    /// Print the manual page, or write the pages of all commands to a directory.
    Man(commands::completion::Man),
}

const EXAMPLES: &str = "Examples:\n  clavigerd dev\n  clavigerd check --config /etc/claviger/clavigerd.toml\n  \
                        clavigerd root init\n  clavigerd serve";

/// Exit code when the token refused the PIN (`EX_NOPERM`), so that a supervisor does not start the service again:
/// each start is one attempt, and tokens lock.
const PIN_REFUSED: u8 = 77;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    harden::process();
    descriptors::raise_limit();
    // The process's one TLS provider, before anything could choose another; a second try changes nothing.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let outcome = match &arguments.command {
        Command::Serve(serve) => commands::serve::run(serve, &arguments.config),
        Command::Check => commands::check::run(&arguments.config),
        Command::Root(root) => commands::root::run(root, &arguments.config),
        Command::Dev(dev) => commands::dev::run(dev),
        Command::Completion(completion) => commands::completion::completion(completion),
        Command::Man(man) => commands::completion::man(man),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logging::complain(&error);
            match error.downcast_ref() {
                Some(TokenError::PinRefused { .. }) => ExitCode::from(PIN_REFUSED),
                _ => ExitCode::FAILURE,
            }
        }
    }
}
