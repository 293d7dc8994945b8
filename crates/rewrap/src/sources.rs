//! The kinds of sources, and how they are opened from a campaign file.

mod files;
mod objects;
mod postgres;
mod sqlite;

use std::sync::Arc;

pub use files::Files;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
pub use objects::Objects;
pub(crate) use postgres::PostgresGate;
pub use postgres::PostgresTable;
pub(crate) use sqlite::SqliteGate;
pub use sqlite::SqliteTable;

use crate::{CampaignFile, Result, Source, SourceError, SourceKind, SourceSettings};

/// Opens every source of a campaign, and looks whether its tables, columns and folders are there.
///
/// # Errors
/// [`CampaignError::Source`](crate::CampaignError::Source), of the first that is not as declared.
pub async fn open(file: &CampaignFile) -> Result<Vec<Arc<dyn Source>>> {
    let mut sources = Vec::with_capacity(file.sources.len());
    for settings in &file.sources {
        let opened = open_one(settings, file.concurrency).await;
        sources.push(opened.map_err(|error| error.of(settings.name.as_str()))?);
    }
    Ok(sources)
}

async fn open_one(
    settings: &SourceSettings,
    concurrency: usize,
) -> Result<Arc<dyn Source>, SourceError> {
    let (name, context) = (settings.name.as_str(), settings.context.clone());
    Ok(match &settings.kind {
        SourceKind::Postgres { connection, tls, table } => {
            let connection = connection.read().map_err(SourceError::unusable)?;
            Arc::new(
                PostgresTable::open(name, &connection, tls, table, context, concurrency).await?,
            )
        }
        SourceKind::Sqlite { path, table } => {
            Arc::new(SqliteTable::open(name, path, table, context).await?)
        }
        SourceKind::Files { root, include } => {
            Arc::new(Files::open(name, root, include, context).await?)
        }
        SourceKind::Objects(bucket) => Arc::new(Objects::open(name, bucket, context).await?),
    })
}

/// Runs blocking work of a source.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    tokio::task::spawn_blocking(work).await.map_err(SourceError::unusable)?
}

/// Patterns of paths, in which `*` does not match a slash.
fn globs(patterns: &[String]) -> Result<GlobSet, SourceError> {
    let mut globs = GlobSetBuilder::new();
    for pattern in patterns {
        let glob = GlobBuilder::new(pattern).literal_separator(true).build();
        globs.add(glob.map_err(SourceError::unusable)?);
    }
    globs.build().map_err(SourceError::unusable)
}

/// A name as an identifier of SQL.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_cannot_end_its_quotes() {
        assert_eq!(super::quoted(r#"a"; DROP TABLE b; --"#), r#""a""; DROP TABLE b; --""#);
    }
}
