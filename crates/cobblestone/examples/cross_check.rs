//! The Rust side of `scripts/cross-check`: seals and opens what it is asked to on standard input and
//! answers on standard output.
//!
//! | request | bytes | is |
//! |---|---|---|
//! | operation | 1 | `S` = seal, `O` = open |
//! | way | 1 | `1` = one-shot, `s` = streaming, `r` = random access (opening only) |
//! | key | 32 | the input key |
//! | lengths | 4 + 4 | of context and data, big-endian |
//! | context, data | | |
//!
//! An answer is one byte (`+` done, `-` refused), a length of 4 bytes and the data. The keys are random
//! bytes made for the check, so it may look at what it opens.

#![expect(clippy::disallowed_methods, reason = "hands a plaintext made for the check back")]

use std::{
    error::Error as StdError,
    io::{self, BufReader, BufWriter, Cursor, Read, Write},
};

use claviger_cobblestone::{Error, Reader, Result, SeekReader, Writer, open, seal};
use claviger_kms::SecretKey;

fn main() -> Result<(), Box<dyn StdError>> {
    let mut input = BufReader::new(io::stdin().lock());
    let mut output = BufWriter::new(io::stdout().lock());
    while let Some(request) = Request::read(&mut input)? {
        let (sign, data) = match request.carry_out() {
            Ok(data) => (b'+', data),
            Err(Error::Rejected) => (b'-', Vec::new()),
            Err(error) => return Err(error.into()),
        };
        output.write_all(&[sign])?;
        output.write_all(&u32::try_from(data.len())?.to_be_bytes())?;
        output.write_all(&data)?;
        output.flush()?;
    }
    Ok(())
}

struct Request {
    operation: u8,
    way: u8,
    key: SecretKey,
    context: Vec<u8>,
    data: Vec<u8>,
}

impl Request {
    /// The next request; none at the end of the input.
    fn read(input: &mut impl Read) -> io::Result<Option<Self>> {
        let mut operation = [0];
        if input.read(&mut operation)? == 0 {
            return Ok(None);
        }
        let [operation] = operation;
        let [way] = array(input)?;
        let key = SecretKey::make_with(|key| input.read_exact(key))?;
        let context_length = u32::from_be_bytes(array(input)?);
        let data_length = u32::from_be_bytes(array(input)?);
        let context = vector(input, context_length)?;
        let data = vector(input, data_length)?;
        Ok(Some(Self { operation, way, key, context, data }))
    }

    fn carry_out(&self) -> Result<Vec<u8>> {
        let Self { key, context, data, .. } = self;
        let mut output = Vec::new();
        match (self.operation, self.way) {
            (b'S', b'1') => output = seal(key, context, data)?,
            (b'S', b's') => {
                let mut writer = Writer::new(output, key, context)?;
                for part in data.chunks(5000) {
                    writer.write_all(part)?;
                }
                output = writer.finish()?;
            }
            (b'O', b'1') => {
                output = open(key, context, data)?.with_bytes(<[u8]>::to_vec);
            }
            (b'O', b's') => {
                Reader::new(data.as_slice(), key, context)?.read_to_end(&mut output)?;
            }
            (b'O', b'r') => {
                SeekReader::new(Cursor::new(data), 0, key, context)?.read_to_end(&mut output)?;
            }
            _ => return Err(io::Error::from(io::ErrorKind::InvalidInput).into()),
        }
        Ok(output)
    }
}

fn array<const N: usize>(input: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn vector(input: &mut impl Read, length: u32) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = input.take(u64::from(length)).read_to_end(&mut bytes)?;
    if read as u64 == u64::from(length) {
        Ok(bytes)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}
