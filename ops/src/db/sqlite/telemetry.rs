//! SQLite under the telemetry store: WAL, prepared statements, and errors told apart.
//!
//! A statement waits for a lock only for a moment, so that the writer can see to its queue in between; how long to wait
//! altogether is the store's business. Whether the file at the path still is the one that was opened is asked before
//! every group, because SQLite goes on writing into a file that was deleted.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, Error, ErrorCode, OpenFlags, ffi};

use super::checkpoint::Checkpointer;
use super::insert::{self, Known};
use super::tables;
use crate::db::{Cell, DbError, Reader};
use crate::os::{FileId, file_id};
use crate::telemetry::store::{Dialect, Driver, Durability, Row, Sink, SinkError};
use crate::text;

/// How long one statement waits for a lock.
const LOCK_SLICE: Duration = Duration::from_millis(50);
/// Comes before what a trigger has against a row.
pub(super) const TRIGGER: &str = "trigger: ";
/// How old what a guest has committed may become before it is on disk for good, where the database has a write-ahead log.
const GUEST_FLUSH: Duration = Duration::from_millis(100);
/// Statements that stay prepared.
pub(super) const STATEMENTS: usize = 64;

/// A SQLite database that telemetry is written to.
#[derive(Debug)]
pub struct SqliteTelemetry {
    /// `None`: in memory.
    path: Option<PathBuf>,
    durability: Durability,
    lock_timeout: Duration,
    host: Option<Host>,
}

/// A connection that is somebody else's, and which file it is to.
#[derive(Debug)]
struct Host {
    conn: Arc<Mutex<Connection>>,
    id: Option<FileId>,
}

impl SqliteTelemetry {
    /// The database in the file at `path`, which is made when it is missing. Readers wait `lock_timeout` for a lock.
    pub fn file(path: &Path, durability: Durability, lock_timeout: Duration) -> Self {
        Self { path: Some(path.to_path_buf()), durability, lock_timeout, host: None }
    }

    /// The database in the file at `path`, through a connection of somebody else, who sees to its settings: each of two
    /// that write in turn would have to read again what it knew. Without a write-ahead log every commit is flushed; with
    /// one, a commit that follows another within a moment is flushed with a later one: a power cut may undo it, no kill can.
    pub(super) fn guest(path: &Path, conn: &Arc<Mutex<Connection>>) -> Self {
        let host = Host { conn: Arc::clone(conn), id: id_of(path) };
        Self { host: Some(host), ..Self::file(path, Durability::Power, Duration::ZERO) }
    }

    /// A database in memory, which only the store itself can see.
    pub fn memory() -> Self {
        Self { path: None, durability: Durability::Process, lock_timeout: Duration::ZERO, host: None }
    }
}

impl Driver for SqliteTelemetry {
    fn connect(&self) -> Result<Box<dyn Sink>, SinkError> {
        let path = self.path.as_deref();
        let sink = match &self.host {
            None => SqliteSink::open(path, self.durability),
            // It would go on writing into a file that is gone.
            Some(host) if path.and_then(id_of) != host.id => {
                let text = "the file is another one by now".to_owned();
                return Err(SinkError::Unavailable { text, is_lost: true });
            }
            Some(host) => SqliteSink::visit(path, &host.conn),
        };
        Ok(Box::new(sink.map_err(|error| classify(&error))?))
    }

    fn reader(&self) -> Result<Box<dyn Reader>, DbError> {
        let open = |path: &Path| -> Result<Connection, Error> {
            let conn = Connection::open_with_flags(
                path,
                OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            )?;
            conn.busy_timeout(self.lock_timeout)?;
            conn.pragma_update(None, "query_only", true)?;
            Ok(conn)
        };
        let path = self.path.as_deref().unwrap_or(Path::new(":memory:"));
        let conn = open(path).map_err(|e| DbError::new(format!("open `{}`", path.display()), e))?;
        Ok(Box::new(Owned(conn)))
    }

    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn spill_place(&self) -> (Option<PathBuf>, String) {
        let Some(path) = self.path.as_ref().filter(|_| self.host.is_none()) else {
            return (None, String::new());
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (path.parent().map(Path::to_path_buf), format!("{name}-telemetry"))
    }
}

/// A connection that reads.
struct Owned(Connection);

impl Reader for Owned {
    fn columns(&mut self, table: &str) -> Result<Vec<String>, DbError> {
        (&self.0).columns(table)
    }

    fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Cell>>, DbError> {
        (&self.0).rows(sql)
    }
}

struct SqliteSink {
    /// `None` where there is no log, or where it is not ours. Ends before the connection, which closes the log.
    checkpointer: Option<Checkpointer>,
    conn: Arc<Mutex<Connection>>,
    known: Known,
    /// Where the database is, and which file that was; `None` in memory.
    place: Option<(PathBuf, Option<FileId>)>,
    always_durable: bool,
    is_durable: bool,
    is_broken: bool,
    /// When a guest last flushed; `None` for one that does not wait.
    flushed: Option<Instant>,
}

impl SqliteSink {
    fn open(path: Option<&Path>, durability: Durability) -> Result<Self, Error> {
        let conn = match path {
            Some(path) => {
                let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
                Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?
            }
            None => Connection::open_in_memory()?,
        };
        // First of all, because everything after it may meet a lock.
        conn.busy_timeout(LOCK_SLICE)?;
        conn.set_prepared_statement_cache_capacity(STATEMENTS);
        if path.is_some()
            && conn.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0))? != "wal"
        {
            // This does not wait for a lock, whatever the timeout; the store tries again.
            conn.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
        }
        conn.pragma_update(None, "foreign_keys", true)?;
        if has_log(&conn)? {
            conn.pragma_update(None, "wal_autocheckpoint", super::store::CHECKPOINT_PAGES)?;
        }
        let is_durable = durability == Durability::Power;
        let sink = Self::new(Arc::new(Mutex::new(conn)), path, is_durable, None)?;
        Ok(Self { checkpointer: path.map(Checkpointer::new), ..sink })
    }

    /// Takes part in a connection that is to the file at `path`.
    fn visit(path: Option<&Path>, conn: &Arc<Mutex<Connection>>) -> Result<Self, Error> {
        let has_log = has_log(&lock(conn))?;
        Self::new(Arc::clone(conn), path, !has_log, has_log.then(Instant::now))
    }

    fn new(
        conn: Arc<Mutex<Connection>>,
        path: Option<&Path>,
        always_durable: bool,
        flushed: Option<Instant>,
    ) -> Result<Self, Error> {
        lock(&conn).pragma_update(None, "synchronous", if always_durable { "full" } else { "normal" })?;
        let place = path.map(|path| (path.to_path_buf(), id_of(path)));
        Ok(Self {
            checkpointer: None,
            conn,
            known: Known::new(),
            place,
            always_durable,
            is_durable: always_durable,
            is_broken: false,
            flushed,
        })
    }

    fn conn(&self) -> MutexGuard<'_, Connection> {
        lock(&self.conn)
    }

    fn set_durable(&mut self, is_durable: bool) -> Result<(), SinkError> {
        if is_durable != self.is_durable {
            let level = if is_durable { "full" } else { "normal" };
            self.conn().pragma_update(None, "synchronous", level).map_err(|error| classify(&error))?;
            self.is_durable = is_durable;
        }
        Ok(())
    }

    fn run(&self, sql: &str) -> Result<(), SinkError> {
        let conn = self.conn();
        let run = || conn.prepare_cached(sql)?.execute([]);
        run().map(drop).map_err(|error| classify(&error))
    }
}

impl Sink for SqliteSink {
    fn begin(&mut self, is_durable: bool) -> Result<(), SinkError> {
        if self.is_broken {
            let text = "the last transaction could not be undone".to_owned();
            return Err(SinkError::Unavailable { text, is_lost: true });
        }
        let is_due = self.flushed.is_some_and(|at| at.elapsed() >= GUEST_FLUSH);
        if is_due {
            self.flushed = Some(Instant::now());
        }
        self.set_durable(is_durable || self.always_durable || is_due)?;
        self.run("BEGIN IMMEDIATE")
    }

    fn commit(&mut self) -> Result<(), SinkError> {
        self.run("COMMIT")?;
        if let Some(checkpointer) = &mut self.checkpointer {
            checkpointer.committed();
        }
        // What the host does next need not be flushed.
        if self.flushed.is_some() { self.set_durable(false) } else { Ok(()) }
    }

    fn rollback(&mut self) {
        // Some errors have undone the transaction already.
        if !self.conn().is_autocommit() {
            self.is_broken = self.run("ROLLBACK").is_err();
        }
    }

    fn savepoint(&mut self) -> Result<(), SinkError> {
        self.run("SAVEPOINT job")
    }

    fn release(&mut self) -> Result<(), SinkError> {
        self.run("RELEASE job")
    }

    fn undo(&mut self) -> Result<(), SinkError> {
        if self.conn().is_autocommit() {
            // The whole transaction is gone, and with it the jobs before this one.
            return Err(SinkError::Unavailable {
                text: "the transaction was undone".to_owned(),
                is_lost: false,
            });
        }
        self.run("ROLLBACK TO job")?;
        self.run("RELEASE job")
    }

    fn columns(&mut self, table: &str) -> Result<Vec<String>, SinkError> {
        tables::columns(&self.conn(), table).map_err(|error| classify(&error))
    }

    fn demanded(&mut self, table: &str) -> Result<Vec<String>, SinkError> {
        tables::demanded(&self.conn(), table).map_err(|error| classify(&error))
    }

    fn ensure_sql(&mut self, sql: &str) -> Result<(), SinkError> {
        self.conn().execute(sql, []).map(drop).map_err(|error| classify(&error))
    }

    fn rows(&mut self, sql: &str, rows: &mut dyn Iterator<Item = Row<'_>>) -> Result<(), SinkError> {
        let mut bytes = 0;
        let mut rows = rows.inspect(|row| bytes += row.len());
        let written = insert::rows(&lock(&self.conn), &mut self.known, sql, &mut rows, classify);
        if let Some(checkpointer) = &mut self.checkpointer {
            checkpointer.add(bytes);
        }
        written
    }

    fn number(&mut self, sql: &str, key: &str) -> Result<Option<i64>, SinkError> {
        let conn = self.conn();
        let read = || {
            let mut statement = conn.prepare_cached(sql)?;
            let mut rows = statement.query([key])?;
            rows.next()?.map(|row| row.get(0)).transpose()
        };
        read().map_err(|error| classify(&error))
    }

    fn is_current(&mut self) -> bool {
        let Some((path, id)) = &self.place else { return true };
        path.exists() && id_of(path) == *id
    }

    fn has_certain_commits(&self) -> bool {
        true
    }

    fn as_reader(&mut self) -> Option<&mut dyn Reader> {
        self.place.is_none().then_some(self)
    }
}

impl Reader for SqliteSink {
    fn columns(&mut self, table: &str) -> Result<Vec<String>, DbError> {
        (&*self.conn()).columns(table)
    }

    fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Cell>>, DbError> {
        (&*self.conn()).rows(sql)
    }
}

fn lock(conn: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    conn.lock().unwrap_or_else(PoisonError::into_inner)
}

fn has_log(conn: &Connection) -> Result<bool, Error> {
    Ok(conn.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0))? == "wal")
}

/// Which file is at this path.
fn id_of(path: &Path) -> Option<FileId> {
    std::fs::metadata(path).ok().and_then(|metadata| file_id(&metadata))
}

/// Whether the job is at fault. SQLite's messages name constraints, tables and words of the statement, not values.
fn classify(error: &Error) -> SinkError {
    let text = text::ellipsis(&text::one_line(&error.to_string()), 200);
    if error.sqlite_error().is_some_and(|error| error.extended_code == ffi::SQLITE_CONSTRAINT_TRIGGER) {
        return SinkError::Rejected(format!("{TRIGGER}{text}"));
    }
    let Some(code) = error.sqlite_error_code() else { return SinkError::Rejected(text) };
    match code {
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        // The log of a killed writer is being recovered.
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::DiskFull
        | ErrorCode::OutOfMemory => SinkError::Unavailable { text, is_lost: false },
        ErrorCode::ReadOnly
        | ErrorCode::SystemIoFailure
        | ErrorCode::DatabaseCorrupt
        | ErrorCode::CannotOpen
        | ErrorCode::PermissionDenied
        | ErrorCode::NotADatabase
        | ErrorCode::OperationInterrupted => SinkError::Unavailable { text, is_lost: true },
        _ => SinkError::Rejected(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_set_up_as_promised() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        let sink = SqliteSink::open(Some(&path), Durability::Process).unwrap();
        let pragma = |name| sink.conn().pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!((pragma("synchronous"), pragma("foreign_keys")), (1, 1));
        assert_eq!(pragma("wal_autocheckpoint"), i64::from(super::super::store::CHECKPOINT_PAGES));
        let mode: String = sink.conn().pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
        let sink = SqliteSink::open(Some(&path), Durability::Power).unwrap();
        assert_eq!(
            sink.conn().pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0)).unwrap(),
            2
        );
    }

    #[test]
    fn a_reader_cannot_write() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        let driver = SqliteTelemetry::file(&path, Durability::Process, Duration::from_secs(1));
        let mut sink = driver.connect().unwrap();
        sink.begin(false).unwrap();
        sink.ensure_sql("CREATE TABLE t (a)").unwrap();
        sink.commit().unwrap();
        let mut reader = driver.reader().unwrap();
        assert_eq!(reader.columns("t").unwrap(), ["a"]);
        assert!(reader.rows("INSERT INTO t VALUES (1)").is_err());
    }
}
