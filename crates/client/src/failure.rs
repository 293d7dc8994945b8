//! Why an attempt gave no reply, and how that is told.

use std::{error::Error as StdError, io};

use hyper_util::client::legacy;
use rustls::AlertDescription;

use crate::{Endpoint, connection::MAX_REPLY};

/// Why an attempt gave no reply.
#[derive(Debug)]
pub(crate) enum Failure {
    /// There was no connection, so nothing was sent.
    NotConnected {
        kind: io::ErrorKind,
        reason: String,
    },
    /// The service does not take this client's certificate; it never read the request.
    Refused(AlertDescription),
    /// The connection broke at an unknown point.
    Broken(String),
    TooLong,
}

impl Failure {
    pub(crate) fn of(error: &legacy::Error) -> Self {
        if !error.is_connect() {
            return Self::after_connecting(error);
        }
        let cause = causes(error).find_map(|cause| cause.downcast_ref::<io::Error>());
        let kind = cause.map_or(io::ErrorKind::Other, io::Error::kind);
        Self::NotConnected { kind, reason: cause.map(ToString::to_string).unwrap_or_default() }
    }

    pub(crate) fn after_connecting(error: &(dyn StdError + 'static)) -> Self {
        let alert = causes(error).find_map(|cause| {
            let inner = cause.downcast_ref::<io::Error>()?.get_ref()?;
            match inner.downcast_ref::<rustls::Error>()? {
                rustls::Error::AlertReceived(alert) => Some(*alert),
                _ => None,
            }
        });
        match alert {
            Some(alert) => Self::Refused(alert),
            None => Self::Broken(causes(error).last().map(ToString::to_string).unwrap_or_default()),
        }
    }

    /// The failure at an address, in words.
    pub(crate) fn explain(self, at: &Endpoint) -> String {
        match self {
            Self::NotConnected { kind: io::ErrorKind::NotFound, .. } => {
                format!("there is no socket at {at}: is clavigerd running?")
            }
            Self::NotConnected { kind: io::ErrorKind::ConnectionRefused, .. } => {
                format!("nothing answers at {at}: is clavigerd running?")
            }
            Self::NotConnected { kind: io::ErrorKind::PermissionDenied, .. } => format!(
                "permission denied at {at}: the socket's owner or group must include this user"
            ),
            Self::NotConnected { kind: io::ErrorKind::TimedOut, .. } => {
                format!("no connection to {at} in time")
            }
            Self::NotConnected { reason, .. } => format!("cannot connect to {at}: {reason}"),
            Self::Refused(alert) => format!(
                "clavigerd at {at} refused this client's certificate ({alert:?}); its log has the reason"
            ),
            Self::Broken(reason) => {
                format!("the connection to clavigerd at {at} broke before the reply: {reason}")
            }
            Self::TooLong => {
                format!(
                    "the reply from {at} is longer than {MAX_REPLY} bytes; ask for less at once"
                )
            }
        }
    }
}

fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&cause| cause.source())
}
