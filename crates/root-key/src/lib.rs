#![doc = include_str!("../README.md")]

mod attributes;
mod config;
mod error;
mod fault;
mod find;
mod gate;
mod link;
mod objects;
mod pin;
mod pkcs11_token;
mod pool;
mod probes;
mod process;
mod report;
mod slots;
mod template;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod testing;
mod token;
mod trials;
mod uri;
mod uses;
mod worker;

pub use config::TokenConfig;
pub use error::TokenError;
pub use pkcs11_token::{Pkcs11Token, TokenHealth};
pub use report::{TokenReport, Trial};
pub use token::{ObjectId, ObjectKind, ObjectReport, Token};
pub use uri::TokenUri;
