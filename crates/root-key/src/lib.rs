#![doc = include_str!("../README.md")]

mod error;
mod report;
mod token;

pub use error::TokenError;
pub use report::{TokenReport, Trial};
pub use token::{ObjectId, ObjectKind, ObjectReport, Token};
