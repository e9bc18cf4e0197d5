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

/// A database that has a write-ahead log for as long as this lives, where it had none: many connections then write beside
/// each other, and a commit need not be flushed at once.
#[derive(Debug)]
pub struct WriteAhead {
    /// Set when the mode is to be taken back.
    path: Option<PathBuf>,
}

impl WriteAhead {
    /// Switches the file at `path`. Where that is not possible, it stays as it is, and is slower.
    pub fn begin(path: &Path) -> Self {
        let switched = switch(path, "wal", "delete").unwrap_or(false);
        Self { path: switched.then(|| path.to_path_buf()) }
    }

    /// Takes over the log that an earlier process gave the file at `path` and did not live to take back.
    pub fn adopt(path: &Path) -> Self {
        Self { path: Some(path.to_path_buf()) }
    }

    /// Whether the file had no log before.
    pub fn has_switched(&self) -> bool {
        self.path.is_some()
    }

    /// Takes the mode back. While others have the database open it stays as it is.
    pub fn end(self) {
        drop(self);
    }
}

impl Drop for WriteAhead {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            // Others that still work on it need the log; the last of them folds it in.
            let _ = switch(&path, "delete", "wal");
        }
    }
}

/// Changes the journal mode of a file that has the mode `from`.
fn switch(path: &Path, to: &str, from: &str) -> Result<bool, rusqlite::Error> {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    conn.busy_timeout(Duration::from_secs(1))?;
    let mode = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
    if conn.pragma_query_value(None, "journal_mode", mode)? != from {
        return Ok(false);
    }
    let mut now = String::new();
    conn.pragma_update_and_check(None, "journal_mode", to, |row| {
        now = row.get(0)?;
        Ok(())
    })?;
    Ok(now == to)
}

/// The neighbour of a database file with this suffix.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(suffix);
    PathBuf::from(name)
}
