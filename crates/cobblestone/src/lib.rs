#![doc = include_str!("../README.md")]

mod aead;
mod error;
mod layout;
mod message;
mod message_key;
mod reader;
mod seek_reader;
mod source;
mod wrapped_key;
mod writer;

pub use error::{Error, Result};
pub use layout::{CHUNK, OVERHEAD, TAG, WRAPPED_KEY_LENGTH, plain_length, salt_of, sealed_length};
pub use message::{open, open_derived, seal, seal_derived};
pub use reader::Reader;
pub use seek_reader::SeekReader;
pub use wrapped_key::{unwrap_key, wrap_key};
pub use writer::Writer;
