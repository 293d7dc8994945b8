//! A sealed column in SQLite: a `BLOB`. Text is refused: whoever stores text there has stored no envelope.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

use super::SealedColumn;

impl FromSql for SealedColumn {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::from_bytes(value.as_blob()?.to_vec()).map_err(FromSqlError::other)
    }
}

impl ToSql for SealedColumn {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(self.as_bytes())))
    }
}
