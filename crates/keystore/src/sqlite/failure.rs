//! What SQLite says, as what it means to an operator.

use std::path::Path;

use rusqlite::{Error, ErrorCode, ffi};

use crate::StoreError;

/// Why something inside the store was not done.
#[derive(Debug)]
pub(super) enum Failure {
    /// The store's own words.
    Store(StoreError),
    /// SQLite's.
    Sqlite(Error),
}

impl Failure {
    pub(super) fn conflict(what: String) -> Self {
        Self::Store(StoreError::Conflict { what })
    }

    /// Names the file and the remedy.
    pub(super) fn at(self, path: &Path) -> StoreError {
        let error = match self {
            Self::Store(error) => return error,
            Self::Sqlite(error) => error,
        };
        if is_damage(&error) {
            return damaged(path, &error.to_string());
        }
        let remedy = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => "; make room on its disk",
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                "; the service must be able to write the file and its folder"
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                "; end the program that holds it open"
            }
            _ => "",
        };
        StoreError::Unavailable { reason: format!("{}: {error}{remedy}", path.display()) }
    }
}

/// The error of a file that is not a whole store.
pub(super) fn damaged(path: &Path, found: &str) -> StoreError {
    StoreError::Unreadable {
        reason: format!(
            "{} is damaged ({found}); nothing was changed; keep the file and restore a backup",
            path.display()
        ),
    }
}

fn is_damage(error: &Error) -> bool {
    match error {
        Error::SqliteFailure(failure, _) => match failure.code {
            // `Unknown` is SQL that does not fit the tables: the schema is not ours.
            ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::ConstraintViolation
            | ErrorCode::TypeMismatch
            | ErrorCode::Unknown => true,
            _ => matches!(
                failure.extended_code,
                ffi::SQLITE_IOERR_SHORT_READ | ffi::SQLITE_IOERR_DATA | ffi::SQLITE_IOERR_CORRUPTFS
            ),
        },
        // A value of another type or size than was written.
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::InvalidColumnType(..)
        | Error::Utf8Error(..)
        | Error::SqlInputError { .. }
        | Error::QueryReturnedMoreThanOneRow => true,
        _ => false,
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Sqlite(error)
    }
}
