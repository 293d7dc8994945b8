#![doc = include_str!("../README.md")]

mod admin;
mod body;
mod caller;
mod campaigns;
mod data;
mod door;
mod evidence;
mod health;
mod json;
mod keys;
mod lifecycle;
mod limits;
mod listener;
mod openapi;
mod problem;
mod request;
mod rotation;
mod route;
mod tls;
mod usage;

pub use admin::admin_router;
pub use data::data_router;
pub use limits::Limits;
pub use listener::{Listener, serve};
pub use tls::{PreparedTls, TlsError, TlsFiles, TlsMaterial, TrustDomain};
