//! The command line tool `claviger`.

use std::process::ExitCode;

fn main() -> ExitCode {
    claviger_cli::run()
}
