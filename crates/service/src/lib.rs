#![doc = include_str!("../README.md")]

pub mod config;
pub mod descriptors;
pub mod parts;
pub mod sockets;
