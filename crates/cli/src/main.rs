//! The command line tool `claviger`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The process's one TLS provider, before anything could choose another; a second try changes nothing.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    claviger_cli::run()
}
