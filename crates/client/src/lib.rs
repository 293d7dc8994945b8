#![doc = include_str!("../README.md")]

mod answer;
mod client;
mod config;
mod connection;
mod key_service;

pub use client::Client;
pub use config::ClientConfig;
