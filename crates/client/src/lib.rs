#![doc = include_str!("../README.md")]

mod answer;
pub mod blocking;
mod campaign_register;
mod client;
mod config;
mod connection;
mod connector;
mod endpoint;
mod failure;
mod key_service;
mod tls;

pub use client::Client;
pub use config::ClientConfig;
pub use endpoint::Endpoint;
pub use tls::{Tls, TlsFiles};
