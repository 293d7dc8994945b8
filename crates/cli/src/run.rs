//! One run of the program: arguments, the command, its result or error, and the exit code.
//!
//! A signal ends the run early: the command is left alone to remove what it made, then the program ends
//! with the signal's code.

use std::{ffi::OsString, io::Write as _, process::ExitCode, sync::Arc};

use clap::Parser as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    Exit,
    arguments::{Arguments, Format},
    commands,
    error::{CliError, Result, error_object},
    problem::Problem,
    reply::Reply,
    session::Session,
    stop::Stop,
    streams::Streams,
};

/// Runs the program with the arguments of this process.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error).into(),
    };
    let json = arguments.global.output == Format::Json;
    let exit = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let exit = runtime.block_on(run_until_signal(arguments));
            // A thread may still wait for input that never comes.
            runtime.shutdown_background();
            exit
        }
        Err(source) => Err(CliError::file("starting the runtime")(source)),
    };
    exit.unwrap_or_else(|error| report(&error, json)).into()
}

async fn run_until_signal(arguments: Arguments) -> Result<Exit> {
    let stop = Stop::new();
    let mut signals = Signals::listen().map_err(CliError::file("listening for signals"))?;
    let exit = tokio::select! {
        done = run_command(arguments, stop.clone()) => return done.map(|()| Exit::Success),
        exit = signals.next() => exit,
    };
    stop.request();
    tokio::select! {
        () = stop.wait_until_clean() => {}
        _ = signals.next() => {}
    }
    Ok(exit)
}

async fn run_command(arguments: Arguments, stop: Stop) -> Result<()> {
    let Arguments { global, command } = arguments;
    let client = global.reach.client(global.timeout())?;
    let streams = Streams::standard().map_err(CliError::file("opening the standard streams"))?;
    let json = global.output == Format::Json;
    let service = Arc::new(client.clone());
    let session = Session { service, streams, stop, json, quiet: global.quiet };
    if let Some(reply) = commands::run(&session, &client, command).await? {
        reply.write(json, &session.streams.output)?;
    }
    Ok(())
}

/// The signals that end a run early.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Exit {
        tokio::select! {
            _ = self.interrupt.recv() => Exit::Interrupted,
            _ = self.terminate.recv() => Exit::Terminated,
            _ = self.hang_up.recv() => Exit::HungUp,
        }
    }
}

/// Tells an error on the standard error.
fn report(error: &CliError, json: bool) -> Exit {
    let problem = error.problem();
    if problem != Problem::OutputClosed {
        complain(&error.to_line(), json.then(|| error.to_json()));
    }
    problem.exit()
}

/// Answers a command line that was not understood, or that asked for help.
fn refuse(error: &clap::Error) -> Exit {
    let text = error.render().to_string();
    if !error.use_stderr() {
        let written = Reply::new(&(), text).and_then(|reply| {
            let streams = Streams::standard().map_err(CliError::output)?;
            reply.write(false, &streams.output)
        });
        return written.map_or_else(|error| report(&error, false), |()| Exit::Success);
    }
    let text = text.trim_end();
    let line = text.strip_prefix("error: ").map(|what| format!("claviger: {what}"));
    // Up to the first empty line: what is wrong, without hints and usage.
    let what: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    let what = what.join(" ").trim_start_matches("error: ").to_owned();
    let json = asks_for_json(std::env::args_os()).then(|| error_object(Problem::Usage, &what));
    complain(line.as_deref().unwrap_or(text), json);
    Exit::Usage
}

fn complain(text: &str, json: Option<serde_json::Value>) {
    let json = json.map(|json| format!("{json}\n")).unwrap_or_default();
    // Nobody is there to be told when the standard error is closed.
    let _ = std::io::stderr().write_all(format!("{text}\n{json}").as_bytes());
}

/// Whether a command line that was not understood asks for JSON.
fn asks_for_json(arguments: impl Iterator<Item = OsString>) -> bool {
    let words: Vec<OsString> = arguments.collect();
    let alone = words.iter().any(|word| word == "-ojson" || word == "--output=json");
    let pair = words.windows(2).any(|pair| match pair {
        [option, value] => (option == "-o" || option == "--output") && value == "json",
        _ => false,
    });
    alone || pair
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_asked_for_in_each_spelling_of_the_option_and_no_other_way() {
        let asks = |words: &[&str]| asks_for_json(words.iter().map(OsString::from));
        for words in [&["-o", "json"][..], &["-ojson"], &["--output", "json"], &["--output=json"]] {
            assert!(asks(words), "{words:?}");
        }
        for words in [&[][..], &["json"], &["-o", "text", "json"], &["seal", "-O", "json"]] {
            assert!(!asks(words), "{words:?}");
        }
    }
}
