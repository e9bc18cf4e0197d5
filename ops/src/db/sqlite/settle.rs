//! Folding journals into a database file, so that the file alone is the whole database.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

/// Whether the file at `path` is now all there is of it and nobody uses it: an unfinished transaction is
/// rolled back, a write-ahead log is folded in. A file that is not a database is left alone and is whole.
pub fn settle(path: &Path) -> bool {
    let fold = || -> Result<(), rusqlite::Error> {
        let mut conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        conn.busy_timeout(Duration::from_secs(2))?;
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        conn.transaction_with_behavior(TransactionBehavior::Exclusive)?.commit()
    };
    let folded = match fold() {
        Ok(()) => true,
        Err(error) => matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::NotADatabase)),
    };
    folded && ["-wal", "-shm", "-journal"].iter().all(|suffix| !beside(path, suffix).exists())
}

/// The neighbour of a database file with this suffix.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(suffix);
    PathBuf::from(name)
}
