//! A sealed column in PostgreSQL: `bytea`, or a domain over it.

use std::error::Error;

use bytes::BytesMut;
use postgres_types::{FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};

use super::SealedColumn;

/// The SQL that defines `claviger_key_version(bytea)`, for the version column of a sealed one:
///
/// ```sql
/// ssn bytea, ssn_key_version bigint GENERATED ALWAYS AS (claviger_key_version(ssn)) STORED
/// ```
///
/// It can be run again and again. What the column says is read from the envelope's bytes, so it follows every write,
/// a rewrap's too, and is a claim as those bytes are.
pub const POSTGRES_KEY_VERSION: &str = include_str!("../../sql/key_version.sql");

impl<'a> FromSql<'a> for SealedColumn {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self::from_bytes(raw.to_vec())?)
    }

    fn accepts(column: &Type) -> bool {
        holds_bytes(column)
    }
}

impl ToSql for SealedColumn {
    fn to_sql(
        &self,
        column: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.as_bytes().to_sql(column, out)
    }

    fn accepts(column: &Type) -> bool {
        holds_bytes(column)
    }

    to_sql_checked!();
}

fn holds_bytes(column: &Type) -> bool {
    match column.kind() {
        Kind::Domain(base) => holds_bytes(base),
        _ => *column == Type::BYTEA,
    }
}
