//! Reads a request's body: bounded in bytes and in time, into a buffer that is wiped.

use std::time::Duration;

use axum::body::Body;
use claviger_kms::{KmsError, WipedBuffer};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;

use crate::problem::{Problem, Result};

/// The whole body.
///
/// # Errors
/// A problem when it is larger than `most` bytes, takes longer than `timeout`, or ends early.
pub(crate) async fn read(body: Body, most: usize, timeout: Duration) -> Result<WipedBuffer> {
    match tokio::time::timeout(timeout, read_all(body, most)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Problem::body_too_slow()),
    }
}

async fn read_all(mut body: Body, most: usize) -> Result<WipedBuffer> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut read = WipedBuffer::with_capacity(announced.min(most));
    let mut seen = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| KmsError::invalid("the body ended before its length"))?;
        let Some(data) = frame.data_ref() else { continue };
        seen = seen.saturating_add(data.len());
        if seen > most.saturating_add(DISCARDED) {
            break;
        }
        if seen <= most {
            read.extend(data);
        }
    }
    if seen > most { Err(Problem::body_too_large(most)) } else { Ok(read) }
}

/// Bytes beyond the limit that are read and dropped, so that a caller who is still writing gets the reply
/// and not a broken connection.
const DISCARDED: usize = 8 * 1024 * 1024;
