//! Columns of a database: what is stored, what it is bound to, and how it is searched.
//!
//! Invariants: reading and writing a [`SealedColumn`] moves bytes and nothing else, so a query never waits for a
//! key service and opening is always written out; what is read is checked to be a record envelope. A value
//! opens only in its own table, column and row.

mod blind_index;
mod context;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "rusqlite")]
mod rusqlite;
mod sealed_column;

pub use blind_index::BlindIndex;
pub use context::ColumnContext;
#[cfg(feature = "postgres")]
pub use postgres::POSTGRES_KEY_VERSION;
pub use sealed_column::SealedColumn;
