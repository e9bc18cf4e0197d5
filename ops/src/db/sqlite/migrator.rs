//! Brings the schema of a database file up to date, or leaves the file as it was.
//!
//! Each migration is one transaction together with its ledger row, its verification and the proof that
//! nothing was lost, so an end at any moment leaves whole migrations only. The write lock of the database
//! is the lock against a second migrator. Rows that break a foreign key are counted and never touched.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use super::backup::{self, BackupError};
use super::preserve::{Loss, Snapshot};
use super::{execute, tables};
use crate::clock::{Clock, Stamp};
use crate::db::DbError;
use crate::files::{self, FileError};
use crate::guard::Refusal;
use crate::migrate::plan::{PlanError, plan};
use crate::migrate::script::{Script, ScriptError};
use crate::migrate::{Applied, Migration, embedded};

/// Marks the database files of this project (`OPS1`); `file` and `PRAGMA application_id` show it.
const APPLICATION_ID: i32 = 0x4F50_5331;

const LEDGER: &str = "CREATE TABLE IF NOT EXISTS ops_migrations (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    canonical_sql TEXT NOT NULL,
    applied_at TEXT NOT NULL,
    tool_version TEXT NOT NULL
)";

/// What a migration needs from outside.
#[derive(Debug, Clone)]
pub struct MigrateOptions<'a> {
    /// Where the copy goes that is made before the first change.
    pub backup_dir: PathBuf,
    /// For the name of the copy and the ledger.
    pub clock: Clock,
    /// How long to wait for the write lock.
    pub busy_timeout: Duration,
    /// Written to the ledger.
    pub tool_version: &'a str,
}

/// What is happening, told while it happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A verified copy was made.
    BackedUp {
        /// Where it is.
        path: PathBuf,
        /// Rows of all its tables together.
        rows: u64,
    },
    /// A migration begins.
    Applying {
        /// Its position.
        version: u32,
        /// Its name.
        name: &'static str,
    },
    /// A migration is committed.
    Applied {
        /// Its position.
        version: u32,
        /// Its name.
        name: &'static str,
        /// Rows that were compared before and after.
        rows: u64,
    },
}

/// Rows that refer to nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForeignKeys {
    /// Rows times broken keys, as `PRAGMA foreign_key_check` counts them.
    pub violations: u64,
    /// Tables that SQLite cannot check, because what they refer to is not unique there.
    pub unchecked: Vec<String>,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Versions and names of the migrations applied now, oldest first.
    pub applied: Vec<(u32, &'static str)>,
    /// How many had been applied before.
    pub already: u64,
    /// The copy from before the first change; `None` when nothing changed or there was nothing to copy.
    pub backup: Option<PathBuf>,
    /// Rows of each table in the copy.
    pub backup_rows: BTreeMap<String, u64>,
    /// Broken references before the first change.
    pub foreign_keys_before: ForeignKeys,
    /// Broken references now; more than before when a table got a key that old rows break.
    pub foreign_keys_after: ForeignKeys,
    /// Rows compared before and after, summed over the migrations.
    pub rows_compared: u64,
}

/// Why a database was not migrated. The migration that failed has left no trace; those before it stay.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A guard stopped it.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// A script cannot be read.
    #[error("failed to read migration `{file}`")]
    Script {
        /// The script's file.
        file: String,
        /// What is wrong with it.
        #[source]
        source: ScriptError,
    },
    /// A statement failed.
    #[error("failed to run `{file}` line {line}: `{statement}`")]
    Statement {
        /// The script's file.
        file: String,
        /// The statement's first line, from 1.
        line: u64,
        /// How it begins.
        statement: String,
        /// The database's own error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The verification found the result not as intended.
    #[error("`{file}` found: {}", problems.join("; "))]
    NotAsIntended {
        /// The file with the queries.
        file: String,
        /// What they gave.
        problems: Vec<String>,
    },
    /// The migration would have lost something.
    #[error("the migration was undone, because it loses content")]
    Lost(#[from] Loss),
    /// There is no copy to go back to.
    #[error("failed to back up `{}`; nothing was changed", database.display())]
    Backup {
        /// The database.
        database: PathBuf,
        /// Why.
        #[source]
        source: BackupError,
    },
    /// The database failed otherwise.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The file system failed.
    #[error(transparent)]
    File(#[from] FileError),
}

impl MigrateError {
    pub(super) fn db(action: impl Into<String>, source: rusqlite::Error) -> Self {
        Self::Db(DbError::new(action, source))
    }
}

impl From<PlanError> for MigrateError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Refused(refusal) => Self::Refused(refusal),
            PlanError::Script { file, source } => Self::Script { file, source },
        }
    }
}

/// Creates an empty database file for [`migrate`] to fill. An existing file is an error and stays as it is;
/// parent directories are not created.
pub fn create(path: &Path) -> Result<(), MigrateError> {
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    file.and_then(|file| file.sync_all()).map_err(|e| FileError::new("create database", path, e))?;
    Ok(files::sync_parent(path)?)
}

/// The schema as text, in a form that equal schemas share: what `schema.sql` holds for a fresh database.
#[cfg(test)]
fn schema(conn: &Connection) -> Result<String, DbError> {
    let sql = "SELECT sql || ';' || char(10) FROM sqlite_schema
        WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
        ORDER BY tbl_name, type = 'index', name";
    let read = || conn.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>();
    read().map(|objects| objects.join("\n")).map_err(|e| DbError::new("read the schema", e))
}

/// Applies what is pending, oldest first, to the database at `path`, which must exist.
///
/// Before the first change a database with any table is copied to the backup directory. The journal mode
/// stays as it is; a database that is up to date is not even locked.
pub fn migrate(
    path: &Path,
    options: &MigrateOptions<'_>,
    on_step: &mut dyn FnMut(Step),
) -> Result<Outcome, MigrateError> {
    migrate_with(embedded::SQLITE, path, options, on_step)
}

fn migrate_with(
    available: &[Migration],
    path: &Path,
    options: &MigrateOptions<'_>,
    on_step: &mut dyn FnMut(Step),
) -> Result<Outcome, MigrateError> {
    let failed = |e| failed(path, options.busy_timeout, e);
    let mut conn = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, options.busy_timeout)?;
    // Rebuilding a table must neither delete what refers to it nor rewrite views that name it.
    conn.pragma_update(None, "foreign_keys", false).map_err(failed)?;
    conn.pragma_update(None, "legacy_alter_table", true).map_err(failed)?;
    ours_or_new(&conn, path).map_err(failed)??;

    let mut outcome = Outcome {
        already: read_ledger(&conn).map_err(failed)?.len() as u64,
        foreign_keys_before: foreign_keys(&conn).map_err(failed)?,
        ..Outcome::default()
    };
    while !plan(available, &read_ledger(&conn).map_err(failed)?)?.is_empty() {
        let locked = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        // Only under the lock it is certain what is pending: another migrator may have been faster.
        let applied = read_ledger(&locked).map_err(failed)?;
        let Some(&migration) = plan(available, &applied)?.first() else { break };
        let now = options.clock.now();
        if outcome.applied.is_empty() && !tables::names(&locked).map_err(failed)?.is_empty() {
            let copy = backup::copy(path, &options.backup_dir, now)
                .map_err(|source| MigrateError::Backup { database: path.to_path_buf(), source })?;
            on_step(Step::BackedUp { path: copy.path.clone(), rows: copy.rows.values().sum() });
            outcome.backup = Some(copy.path);
            outcome.backup_rows = copy.rows;
        }
        let (version, name) = (migration.version, migration.name);
        on_step(Step::Applying { version, name });
        let rows = apply(&locked, migration, now, options.tool_version)?;
        locked.commit().map_err(failed)?;
        on_step(Step::Applied { version, name, rows });
        outcome.applied.push((version, name));
        outcome.rows_compared += rows;
    }
    outcome.foreign_keys_after = if outcome.applied.is_empty() {
        outcome.foreign_keys_before.clone()
    } else {
        foreign_keys(&conn).map_err(failed)?
    };
    Ok(outcome)
}

/// One migration with all that belongs to it; the caller commits.
fn apply(
    locked: &Transaction<'_>,
    migration: &Migration,
    now: Stamp,
    tool_version: &str,
) -> Result<u64, MigrateError> {
    let failed = |e| MigrateError::db(format!("apply migration `{}`", migration.name), e);
    locked.execute_batch(LEDGER).map_err(failed)?;
    let before = Snapshot::take(locked).map_err(failed)?;
    execute::run(locked, &migration.file(), migration.sql)?;
    execute::verify(locked, &migration.verify_file(), migration.verify)?;
    let rows = before.compare(locked)?;

    let script = Script::parse(migration.sql)
        .map_err(|source| MigrateError::Script { file: migration.file(), source })?;
    let sql = "INSERT INTO ops_migrations (version, name, checksum, canonical_sql, applied_at, tool_version)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let entry = rusqlite::params![
        migration.version,
        migration.name,
        script.checksum(),
        script.canonical(),
        now.db(),
        tool_version
    ];
    locked.execute(sql, entry).map_err(failed)?;
    locked.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
    locked.pragma_update(None, "user_version", migration.version).map_err(failed)?;
    Ok(rows)
}

/// Opens without ever creating.
fn open(path: &Path, mode: OpenFlags, busy_timeout: Duration) -> Result<Connection, MigrateError> {
    if !path.exists() {
        let what = format!("there is no database `{}`", path.display());
        return Err(Refusal::new(what, "an existing file", "none").next("create the database first").into());
    }
    let conn = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX);
    conn.and_then(|conn| conn.busy_timeout(busy_timeout).map(|()| conn))
        .map_err(|e| MigrateError::db(format!("open `{}`", path.display()), e))
}

/// Refuses the file of another application: it would be filled with tables that nobody expects there.
fn ours_or_new(conn: &Connection, path: &Path) -> rusqlite::Result<Result<(), Refusal>> {
    let id: i32 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if id == 0 || id == APPLICATION_ID {
        return Ok(Ok(()));
    }
    Ok(Err(Refusal::new(
        format!("`{}` belongs to another application", path.display()),
        format!("application id 0 or {APPLICATION_ID:#010x}"),
        format!("{id:#010x}"),
    )))
}

/// A busy database is a refusal that names it, everything else a failure.
fn failed(path: &Path, busy_timeout: Duration, error: rusqlite::Error) -> MigrateError {
    let busy = matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked));
    if !busy {
        return MigrateError::db(format!("migrate `{}`", path.display()), error);
    }
    Refusal::new(
        format!("`{}` is in use", path.display()),
        format!("its write lock within {:.1} s", busy_timeout.as_secs_f64()),
        "another program holds it",
    )
    .next("run again when the other program has ended")
    .into()
}

fn read_ledger(conn: &Connection) -> rusqlite::Result<Vec<Applied>> {
    if !tables::exists(conn, "table", "ops_migrations")? {
        return Ok(Vec::new());
    }
    let sql = "SELECT version, name, checksum, canonical_sql, applied_at, tool_version
        FROM ops_migrations ORDER BY version";
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Applied {
            version: row.get(0)?,
            name: row.get(1)?,
            checksum: row.get(2)?,
            canonical_sql: row.get(3)?,
            applied_at: row.get(4)?,
            tool_version: row.get(5)?,
        })
    };
    conn.prepare(sql)?.query_map([], read)?.collect()
}

/// Table by table, because one table that cannot be checked ends the check of all.
fn foreign_keys(conn: &Connection) -> rusqlite::Result<ForeignKeys> {
    let mut found = ForeignKeys::default();
    for table in tables::names(conn)? {
        let sql = "SELECT count(*) FROM pragma_foreign_key_check(?1)";
        let count = conn.query_row(sql, [&table], tables::count);
        match count {
            Ok(count) => found.violations += count,
            Err(error) if error.to_string().contains("foreign key mismatch") => found.unchecked.push(table),
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
