//! Analysing the events of a file with as many readers as help.

use std::path::Path;

use super::events;
use super::open::{OpenError, Snapshot};
use crate::db::DbError;
use crate::tokens::analysis::Analysis;

/// Two readers halve the time on two cores; more would only compete for the page cache.
const READERS: usize = 2;

/// Why events could not be analysed.
#[derive(Debug, thiserror::Error)]
pub enum AnalyseError {
    /// The file is not a database that can be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The events could not be read.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Analyses all events of the database at `path`, without changing it. `make` gives an empty analysis for
/// each reader.
pub fn analyse_events(
    path: &Path,
    scratch: &Path,
    make: impl Fn() -> Analysis + Sync,
) -> Result<Analysis, AnalyseError> {
    let mut connections = Vec::new();
    let mut copies = Vec::new();
    for _ in 0..READERS {
        let (connection, copy) = Snapshot::open(path, scratch)?.into_connection(path)?;
        connections.push(connection);
        copies.push(copy);
    }
    Ok(events::scan(connections, make)?)
}
