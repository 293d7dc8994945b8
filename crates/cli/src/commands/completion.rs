//! `claviger completion` and `claviger man`: what a shell and a manual need to know of the command line, made
//! from the command line itself.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, ValueEnum};
use serde_json::json;

use crate::{
    arguments::Arguments,
    error::{CliError, Result},
    reply::Reply,
};

/// Print the completion script of a shell
#[derive(Debug, Args)]
#[command(after_help = COMPLETION_EXAMPLES)]
pub(crate) struct CompletionArguments {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

/// Shells with a completion script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shell {
    /// Bash
    Bash,
    /// Zsh
    Zsh,
    /// Fish
    Fish,
}

pub(crate) fn completion(arguments: &CompletionArguments) -> Result<Reply> {
    use clap_complete::Shell as Generator;
    let generator = match arguments.shell {
        Shell::Bash => Generator::Bash,
        Shell::Zsh => Generator::Zsh,
        Shell::Fish => Generator::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(generator, &mut Arguments::command(), "claviger", &mut script);
    let script = String::from_utf8(script).map_err(anyhow::Error::from)?;
    Reply::new(&json!({"script": script}), script)
}

/// Print the manual page, or write the pages of all commands to a directory
#[derive(Debug, Args)]
#[command(after_help = MAN_EXAMPLES)]
pub(crate) struct ManArguments {
    /// An existing directory for claviger.1 and a page for each command; pages there are replaced
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

pub(crate) fn man(arguments: &ManArguments) -> Result<Reply> {
    let Some(directory) = &arguments.directory else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Arguments::command()).render(&mut page).map_err(CliError::output)?;
        let page = String::from_utf8(page).map_err(anyhow::Error::from)?;
        return Reply::new(&json!({"page": page}), page);
    };
    let doing = format!("writing manual pages to {}", directory.display());
    clap_mangen::generate_to(Arguments::command(), directory).map_err(CliError::file(doing))?;
    Reply::new(&json!({"directory": directory.display().to_string()}), "")
}

const COMPLETION_EXAMPLES: &str = "\
Examples:
  claviger completion bash > /etc/bash_completion.d/claviger
  claviger completion zsh > ~/.zfunc/_claviger
  claviger completion fish > ~/.config/fish/completions/claviger.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  claviger man | man -l -
  claviger man --directory /usr/local/share/man/man1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_learns_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let reply = completion(&CompletionArguments { shell }).unwrap();
            for command in Arguments::command().get_subcommands() {
                assert!(reply.text().contains(command.get_name()), "{shell:?} {command}");
            }
        }
    }

    #[test]
    fn every_command_has_a_page_and_the_first_holds_the_exit_codes() {
        let folder = tempfile::tempdir().unwrap();
        man(&ManArguments { directory: Some(folder.path().to_owned()) }).unwrap();
        for command in Arguments::command().get_subcommands() {
            let page = folder.path().join(format!("claviger-{}.1", command.get_name()));
            assert!(page.is_file(), "{}", page.display());
        }
        let page = man(&ManArguments { directory: None }).unwrap();
        assert!(page.text().contains("Exit codes"), "{}", page.text());
        let nowhere = ManArguments { directory: Some("/nonexistent/man".into()) };
        assert!(man(&nowhere).unwrap_err().to_string().contains("/nonexistent/man"));
    }
}
