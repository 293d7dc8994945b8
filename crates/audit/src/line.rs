//! One line of a segment: a JSON object whose last member is a checksum of all before it.
//!
//! The checksum finds accidents (a flipped bit, a block that was never written), line by line and
//! without a key. It does not stop a forger: that is what the chain of segments and, above it, signed
//! checkpoints are for.

use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

/// Longest line in bytes, newline included. The largest possible record is smaller.
pub(crate) const MAX_LINE: usize = 8 * 1024;

/// The line for this value, newline included.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, String> {
    let mut line = serde_json::to_vec(value).map_err(|error| error.to_string())?;
    if line.pop() != Some(b'}') {
        return Err("a line must be a JSON object".to_owned());
    }
    let check = checksum(&line);
    line.extend_from_slice(MEMBER);
    line.extend_from_slice(check.as_bytes());
    line.extend_from_slice(END);
    line.push(b'\n');
    if line.len() > MAX_LINE {
        return Err(format!("a line of {} bytes; at most {MAX_LINE} are allowed", line.len()));
    }
    Ok(line)
}

/// The value of a line given without its newline.
pub(crate) fn decode<T: DeserializeOwned>(line: &[u8]) -> Result<T, String> {
    let unchecked = "it has no checksum at its end";
    let rest = line.strip_suffix(END).ok_or(unchecked)?;
    let (rest, check) = rest.split_last_chunk::<CHECK_DIGITS>().ok_or(unchecked)?;
    let body = rest.strip_suffix(MEMBER).ok_or(unchecked)?;
    if checksum(body).as_bytes() != check {
        return Err("its checksum does not match".to_owned());
    }
    serde_json::from_slice(line).map_err(|error| error.to_string())
}

fn checksum(body: &[u8]) -> String {
    let hash: [u8; 32] = Sha256::digest(body).into();
    let mut digits = hex::encode(hash);
    digits.truncate(CHECK_DIGITS);
    digits
}

const MEMBER: &[u8] = b",\"check\":\"";
const END: &[u8] = b"\"}";
const CHECK_DIGITS: usize = 16;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_line_is_as_specified() {
        let line = encode(&json!({"a": 1})).unwrap();
        // The first 8 bytes of SHA-256 of `{"a":1`.
        let known = &hex::encode(<[u8; 32]>::from(Sha256::digest(b"{\"a\":1")))[..16];
        assert_eq!(line, format!("{{\"a\":1,\"check\":\"{known}\"}}\n").into_bytes());
        assert_eq!(decode::<Value>(&line[..line.len() - 1]).unwrap()["a"], 1);
    }

    #[test]
    fn refuses_every_flipped_bit_and_every_truncation() {
        let line = encode(&json!({"a": "value", "b": [1, 2]})).unwrap();
        let line = &line[..line.len() - 1];
        for at in 0..line.len() {
            for bit in 0..8 {
                let mut flipped = line.to_vec();
                flipped[at] ^= 1 << bit;
                assert!(decode::<Value>(&flipped).is_err(), "bit {bit} of byte {at}");
            }
            assert!(decode::<Value>(&line[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn refuses_what_is_no_object_or_too_long() {
        assert!(encode(&[1, 2]).is_err());
        assert!(encode(&json!({"a": "x".repeat(MAX_LINE)})).is_err());
    }
}
