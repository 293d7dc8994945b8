#![doc = include_str!("../README.md")]

mod arguments;
mod commands;
mod context;
mod error;
mod exit;
mod explanation;
mod files;
mod key_tree;
mod problem;
mod progress;
mod reach;
mod reply;
mod run;
mod secret_output;
mod session;
mod stop;
mod streams;
mod tally;
mod tree;

pub use exit::Exit;
pub use run::run;
