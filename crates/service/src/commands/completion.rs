//! `clavigerd completion` and `clavigerd man`: what a shell and a manual need to know of the command line.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::{Context as _, Result};
use clap::{Args, CommandFactory as _, ValueEnum};

use crate::Arguments;

/// Which shell.
#[derive(Debug, Args)]
#[command(after_help = COMPLETION_EXAMPLES)]
pub(crate) struct Completion {
    /// The shell.
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

/// Shells with a completion script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shell {
    /// Bash.
    Bash,
    /// Zsh.
    Zsh,
    /// Fish.
    Fish,
}

pub(crate) fn completion(completion: &Completion) -> Result<()> {
    use clap_complete::Shell as Generator;
    let generator = match completion.shell {
        Shell::Bash => Generator::Bash,
        Shell::Zsh => Generator::Zsh,
        Shell::Fish => Generator::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(generator, &mut Arguments::command(), "clavigerd", &mut script);
    print(&script)
}

/// Where to.
#[derive(Debug, Args)]
#[command(after_help = MAN_EXAMPLES)]
pub(crate) struct Man {
    /// An existing directory for clavigerd.1 and a page for each command; pages there are replaced.
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

pub(crate) fn man(man: &Man) -> Result<()> {
    let Some(directory) = &man.directory else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Arguments::command()).render(&mut page)?;
        return print(&page);
    };
    clap_mangen::generate_to(Arguments::command(), directory)
        .with_context(|| format!("writing manual pages to {}", directory.display()))
}

fn print(text: &[u8]) -> Result<()> {
    io::stdout().write_all(text).context("the standard output")
}

const COMPLETION_EXAMPLES: &str = "Examples:\n  \
    clavigerd completion bash > /etc/bash_completion.d/clavigerd\n  \
    clavigerd completion zsh > ~/.zfunc/_clavigerd";

const MAN_EXAMPLES: &str = "Examples:\n  clavigerd man | man -l -\n  \
    clavigerd man --directory /usr/local/share/man/man1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_of_the_service_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        man(&Man { directory: Some(folder.path().to_owned()) }).unwrap();
        for command in Arguments::command().get_subcommands() {
            let page = folder.path().join(format!("clavigerd-{}.1", command.get_name()));
            assert!(page.is_file(), "{}", page.display());
        }
        let nowhere = Man { directory: Some("/nonexistent/man".into()) };
        assert!(format!("{:#}", man(&nowhere).unwrap_err()).contains("/nonexistent/man"));
    }
}
