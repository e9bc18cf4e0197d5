//! SQLite as a target: a file, read without touching it and written one transaction a batch.
//!
//! Until a run begins everything is read through [`Snapshot`], which leaves the file byte for byte as it is. From
//! then on one writing connection does both: opening the file a second time would drop the locks of the first
//! (POSIX forgets them when any descriptor of the file is closed), so a process may have one target that writes
//! per file. The journal mode is the owner's and is never changed.

mod apply;
mod books;
mod catalog;
mod cell;
mod error;
mod rows;
mod scratch;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use self::catalog::Facts;
use self::error::{failed, open_failed};
pub use self::scratch::SqliteScratch;
use super::schema::{Table, TableName};
use super::{
    Batch, Batches, Capabilities, Outcome, RecordedBatch, RunId, RunState, ScanProof, Target, TargetError,
    TargetIdentity,
};
use crate::clock::Stamp;
use crate::db::sqlite::Snapshot;
use crate::identity;
use crate::url::SqliteUrl;
use crate::value::{Row, Value, ValueRef};

/// Pages in the write-ahead log before it is folded into the file: 80 MB at the usual page size. Fewer and larger
/// checkpoints nearly double the speed of unsorted batches.
const WAL_PAGES: u32 = 20_000;

/// Page cache of the writing connection in KiB.
const CACHE_KIB: u32 = 64 * 1024;

/// Shapes of statements that are kept: one for each set of columns that rows of a plan change.
const STATEMENTS: usize = 128;

/// When a batch counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synchronous {
    /// When it is on disk: it survives a power failure.
    Full,
    /// When the system has it: in WAL mode the last batches may be lost with the power, with their books.
    Normal,
}

/// How the file is written.
#[derive(Debug, Clone, Copy)]
pub struct SqliteOptions {
    /// When a batch counts as written.
    pub synchronous: Synchronous,
    /// How long to wait for another process that writes.
    pub busy_timeout: Duration,
    /// Whether foreign keys are enforced, and cascade, while applying. SQLite leaves that to each connection.
    pub foreign_keys: bool,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { synchronous: Synchronous::Full, busy_timeout: Duration::from_secs(5), foreign_keys: true }
    }
}

/// A SQLite file whose rows can be changed.
#[derive(Debug)]
pub struct SqliteTarget {
    url: SqliteUrl,
    scratch: PathBuf,
    options: SqliteOptions,
    /// Open from `begin` to `close`.
    writer: Option<Connection>,
    /// Whose books this process writes.
    lease: Option<(RunId, String)>,
    /// What is known of the table that is being changed.
    facts: Option<Facts>,
}

impl SqliteTarget {
    /// Looks at the file and refuses what is none. `scratch` is a folder for private copies, needed only when
    /// the last writer was killed.
    pub fn open(url: &SqliteUrl, scratch: &Path, options: SqliteOptions) -> Result<Self, TargetError> {
        Snapshot::open(url.path(), scratch).map_err(open_failed)?;
        let (url, scratch) = (url.clone(), scratch.to_path_buf());
        Ok(Self { url, scratch, options, writer: None, lease: None, facts: None })
    }

    /// Reads in one transaction that cannot write.
    fn look<T>(&self, work: impl FnOnce(&Connection) -> Result<T, TargetError>) -> Result<T, TargetError> {
        let Some(writer) = &self.writer else {
            let snapshot = Snapshot::open(self.url.path(), &self.scratch).map_err(open_failed)?;
            let found = work(snapshot.connection())?;
            snapshot.require_unchanged().map_err(open_failed)?;
            return Ok(found);
        };
        let read_only = |on: bool| {
            writer
                .pragma_update(None, "query_only", on)
                .map_err(|e| failed("forbid writing while reading", e))
        };
        read_only(true)?;
        let found = Transaction::new_unchecked(writer, TransactionBehavior::Deferred)
            .map_err(|e| failed("begin to read", e))
            .and_then(|transaction| work(&transaction));
        read_only(false)?;
        found
    }

    /// The connection that writes; it never makes a file.
    fn writer(&mut self) -> Result<&Connection, TargetError> {
        if self.writer.is_none() {
            let open = || -> Result<Connection, rusqlite::Error> {
                let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let conn = Connection::open_with_flags(self.url.path(), flags)?;
                conn.busy_timeout(self.options.busy_timeout)?;
                let full = self.options.synchronous == Synchronous::Full;
                conn.pragma_update(None, "synchronous", if full { "FULL" } else { "NORMAL" })?;
                conn.pragma_update(None, "foreign_keys", self.options.foreign_keys)?;
                conn.pragma_update(None, "cache_size", -i64::from(CACHE_KIB))?;
                conn.pragma_update_and_check(None, "wal_autocheckpoint", WAL_PAGES, |_| Ok(()))?;
                conn.set_prepared_statement_cache_capacity(STATEMENTS);
                Ok(conn)
            };
            let path = self.url.path().display();
            self.writer = Some(open().map_err(|e| failed(format!("open `{path}` for writing"), e))?);
        }
        Ok(self.writer.as_ref().expect("it was just opened"))
    }

    /// The owner under which this process holds the lease of `run`.
    fn owner(&self, run: &RunId) -> Result<String, TargetError> {
        owner(self.lease.as_ref(), run)
    }
}

impl Target for SqliteTarget {
    fn identity(&mut self) -> Result<TargetIdentity, TargetError> {
        let source = self.look(|conn| {
            identity::source_of_reader(&self.url, &mut { conn })
                .map_err(|e| TargetError::failed("read the identity of the database", e))
        })?;
        Ok(TargetIdentity {
            driver: "sqlite".to_owned(),
            url: source.url,
            fingerprint: source.fingerprint,
            lineage: source.lineage,
        })
    }

    fn capabilities(&self) -> Capabilities {
        let foreign_keys = if self.options.foreign_keys {
            "foreign keys are enforced while applying, and what they cascade to is not in the backup"
        } else {
            "foreign keys are not enforced while applying"
        };
        let limits = [
            foreign_keys,
            "a column converts what its affinity asks for (text that is a number, decimals of more than 15 digits, -0.0, NaN); what was stored instead is reported",
            "outside WAL mode nobody can write while a table is read, and nobody can read while a batch is written",
            "rows of a plan cannot exchange values that must be unique; they are reported as refused",
            "only tables of the file itself are known: no virtual tables, no attached files",
        ];
        Capabilities {
            snapshot: true,
            books_in_target: true,
            atomic_batches: true,
            atomic_rollback: true,
            batch_rows_max: 10_000,
            limits: limits.map(str::to_owned).to_vec(),
        }
    }

    fn table(&mut self, name: &TableName) -> Result<Table, TargetError> {
        self.look(|conn| catalog::table(conn, name))
    }

    fn scan(
        &mut self,
        table: &Table,
        row: &mut dyn FnMut(&[ValueRef<'_>]) -> Result<(), TargetError>,
    ) -> Result<ScanProof, TargetError> {
        self.look(|conn| rows::scan(conn, table, row))
    }

    fn read(&mut self, table: &Table, key: &[usize], keys: &[Row]) -> Result<Vec<Option<Row>>, TargetError> {
        self.look(|conn| rows::read(conn, table, key, keys))
    }

    fn begin(
        &mut self,
        table: &Table,
        run: &RunId,
        owner: &str,
        now: Stamp,
        expires: Stamp,
    ) -> Result<RunState, TargetError> {
        let state = books::begin(self.writer()?, table, run, owner, now, expires)?;
        self.lease = (!state.is_closed).then(|| (run.clone(), owner.to_owned()));
        Ok(state)
    }

    fn apply(&mut self, batch: &Batch<'_>) -> Result<Vec<Outcome>, TargetError> {
        if batch.changes.is_empty() {
            return Ok(Vec::new());
        }
        let owner = self.owner(batch.run)?;
        self.writer()?;
        let Self { writer: Some(conn), facts, .. } = self else { unreachable!("it was just opened") };
        apply::apply(conn, facts, &owner, batch)
    }

    fn recorded(&mut self, run: &RunId, from: u64) -> Result<Vec<RecordedBatch>, TargetError> {
        self.look(|conn| books::recorded(conn, run, from))
    }

    fn renew(&mut self, run: &RunId, owner: &str, expires: Stamp) -> Result<(), TargetError> {
        books::renew(self.writer()?, run, owner, expires)
    }

    fn close(&mut self, run: &RunId, owner: &str, is_done: bool) -> Result<(), TargetError> {
        books::close(self.writer()?, run, owner, is_done)?;
        self.lease = None;
        // The last connection folds the write-ahead log into the file.
        self.writer = None;
        Ok(())
    }

    fn measure(&mut self, sql: &str) -> Result<f64, TargetError> {
        self.look(|conn| rows::measure(conn, sql))
    }

    fn related(&mut self, table: &Table, column: usize, value: &Value) -> Result<Vec<Row>, TargetError> {
        self.look(|conn| rows::related(conn, table, column, value))
    }

    fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64, TargetError> {
        apply::execute(self.writer()?, sql, parameters)
    }

    fn apply_all(&mut self, batches: &mut dyn Batches) -> Result<(), TargetError> {
        let lease = self.lease.clone();
        self.writer()?;
        let Self { writer: Some(conn), facts, .. } = self else { unreachable!("it was just opened") };
        apply::apply_all(conn, facts, &|run| owner(lease.as_ref(), run), batches)
    }
}

/// The owner under which the holder of a lease works for `run`.
fn owner(lease: Option<&(RunId, String)>, run: &RunId) -> Result<String, TargetError> {
    match lease {
        Some((held, owner)) if held == run => Ok(owner.clone()),
        _ => Err(TargetError::Lost("this process does not hold the lease of the run".to_owned())),
    }
}

#[cfg(test)]
mod tests;
