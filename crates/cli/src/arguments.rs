//! The command line: global options and the commands, each command's own in its file.

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{Exit, commands, reach::Reach};

/// Keys, data keys and sealed files under a Claviger key service
#[derive(Debug, Parser)]
#[command(
    name = "claviger",
    version,
    max_term_width = 100,
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{}", Exit::table())
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    #[command(flatten)]
    pub(crate) reach: Reach,
    /// How results and errors are written
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value_t,
        help_heading = GLOBAL
    )]
    pub(crate) output: Format,
    /// No progress bar and no remarks; results and errors only
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub(crate) quiet: bool,
    /// Longest time to wait for one answer of the service, in seconds
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        default_value = "10",
        value_parser = clap::value_parser!(u64).range(1..=3600),
        help_heading = GLOBAL
    )]
    timeout: u64,
}

impl Global {
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

/// How to write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs: one JSON value on the standard output, errors as JSON on the standard error too
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make, see and rotate keys
    #[command(subcommand, after_help = commands::key::EXAMPLES)]
    Key(commands::key::KeyCommand),
    Approve(commands::key_lifecycle::ApproveArguments),
    DataKey(commands::data_key::DataKeyArguments),
    Encrypt(commands::encrypt::EncryptArguments),
    Decrypt(commands::decrypt::DecryptArguments),
    Seal(commands::seal::SealArguments),
    Open(commands::open::OpenArguments),
    Cat(commands::cat::CatArguments),
    Inspect(commands::inspect::InspectArguments),
    Rewrap(commands::rewrap::RewrapArguments),
    /// Move many envelopes to the newest key version, in databases and directories
    #[command(subcommand, after_help = commands::campaign::EXAMPLES)]
    Campaign(commands::campaign::CampaignCommand),
    /// See when keys rotate by themselves
    #[command(subcommand, after_help = commands::rotation::EXAMPLES)]
    Rotation(commands::rotation::RotationCommand),
    Census(commands::census::CensusArguments),
    /// Keep envelopes under an old version from being written
    #[command(subcommand, after_help = commands::gate::EXAMPLES)]
    Gate(commands::gate::GateCommand),
    /// Show that nothing needs a version, before it is destroyed
    #[command(subcommand, after_help = commands::evidence::EXAMPLES)]
    Evidence(commands::evidence::EvidenceCommand),
    /// The health of the service, from its admin socket
    Status,
    Usage(commands::usage::UsageArguments),
    Reload(commands::reload::ReloadArguments),
    Explain(commands::explain::ExplainArguments),
    Completion(commands::completion::CompletionArguments),
    Man(commands::completion::ManArguments),
}

pub(crate) const GLOBAL: &str = "Global options";

const EXAMPLES: &str = "\
Examples:
  claviger key tree
  claviger seal --key us-east-1/payments --context file=report report.pdf
  claviger open --context file=report report.pdf.claviger
  tar c folder | claviger seal --key us-east-1/payments - > folder.tar.claviger
  claviger inspect report.pdf.claviger

No option takes a secret: secrets come in through the standard input.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    /// What stands in a command line can be read by every user of the machine.
    #[test]
    fn no_option_takes_a_secret() {
        fn walk(command: &clap::Command) {
            for argument in command.get_arguments() {
                let name = argument.get_id().as_str();
                let secret = ["plain", "secret", "password", "value", "pin"];
                let suspicious = secret.iter().any(|word| name.contains(word));
                assert!(!suspicious || name == "plaintext_to", "{} {name}", command.get_name());
            }
            command.get_subcommands().for_each(walk);
        }
        walk(&Arguments::command());
    }

    #[test]
    fn every_command_has_an_example() {
        for command in Arguments::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let needed = !["status", "help"].contains(&command.get_name());
            assert!(!needed || help.contains("claviger "), "{}", command.get_name());
        }
    }
}
