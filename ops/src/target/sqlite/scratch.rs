//! A copy of a table in a new file: the schema of the original's file, and the rows that the caller brings.
//!
//! The original is read without touching it. Tables and indexes are made first, views and triggers when the rows are
//! there. Other tables stay empty, so foreign keys are not enforced.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};

use super::catalog::{quote, quoted};
use super::cell::Bound;
use super::error::{failed, open_failed, reason};
use super::{SqliteOptions, SqliteTarget, Synchronous};
use crate::db::sqlite::Snapshot;
use crate::files::FileError;
use crate::target::schema::{Table, TableName};
use crate::target::scratch::{Made, Scratch};
use crate::target::{Target, TargetError};
use crate::url::SqliteUrl;
use crate::value::Row;

/// A database file and what SQLite may keep beside it.
const SUFFIXES: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// A copy in a file of its own.
#[derive(Debug)]
pub struct SqliteScratch {
    path: PathBuf,
    original: SqliteUrl,
    /// A folder for a private copy of the original, where the last writer of that was killed.
    private: PathBuf,
    table: Table,
    /// Open while rows are loaded.
    loading: Option<Connection>,
    /// What is made when the rows are there.
    later: Vec<Object>,
    lacks: Vec<String>,
}

/// A thing in the schema of a file.
#[derive(Debug)]
struct Object {
    kind: String,
    name: String,
    sql: String,
}

/// What is taken from the original besides rows.
struct Schema {
    encoding: String,
    page_size: i64,
    objects: Vec<Object>,
    /// The last number that `AUTOINCREMENT` gave.
    sequence: Option<i64>,
}

impl SqliteScratch {
    /// A copy at `path`, where nothing of anybody else must be, of a table of `original`.
    pub fn new(path: &Path, original: &SqliteUrl, private: &Path, table: &Table) -> Self {
        Self {
            path: path.to_path_buf(),
            original: original.clone(),
            private: private.to_path_buf(),
            table: table.clone(),
            loading: None,
            later: Vec::new(),
            lacks: Vec::new(),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn schema(&self) -> Result<Schema, TargetError> {
        let snapshot = Snapshot::open(self.original.path(), &self.private).map_err(open_failed)?;
        let schema = schema(snapshot.connection(), &self.table.name.name)
            .map_err(|e| failed("read the schema of the database", e))?;
        snapshot.require_unchanged().map_err(open_failed)?;
        Ok(schema)
    }

    fn connect(&self, flags: OpenFlags) -> rusqlite::Result<Connection> {
        let conn = Connection::open_with_flags(&self.path, flags | OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        conn.pragma_update(None, "synchronous", "OFF")?;
        conn.pragma_update(None, "foreign_keys", false)?;
        Ok(conn)
    }
}

fn schema(conn: &Connection, table: &str) -> rusqlite::Result<Schema> {
    let sql = "SELECT s.type, s.name, s.sql FROM sqlite_schema s
        LEFT JOIN pragma_table_list l ON l.schema = 'main' AND l.name = s.name
        WHERE s.sql IS NOT NULL AND s.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND coalesce(l.type, '') <> 'shadow'
            AND s.tbl_name NOT IN ('ops_change_runs', 'ops_change_batches')
        ORDER BY CASE s.type WHEN 'table' THEN 0 WHEN 'index' THEN 1 WHEN 'view' THEN 2 ELSE 3 END, s.rowid";
    let object =
        |row: &rusqlite::Row<'_>| Ok(Object { kind: row.get(0)?, name: row.get(1)?, sql: row.get(2)? });
    let objects = conn.prepare(sql)?.query_map([], object)?.collect::<rusqlite::Result<_>>()?;
    let has_sequence: bool =
        conn.query_row("SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'sqlite_sequence'", [], |row| {
            row.get(0)
        })?;
    let sequence = if has_sequence {
        let sql = "SELECT seq FROM sqlite_sequence WHERE name = ?1 COLLATE NOCASE";
        conn.query_row(sql, [table], |row| row.get(0)).optional()?
    } else {
        None
    };
    Ok(Schema {
        encoding: conn.pragma_query_value(None, "encoding", |row| row.get(0))?,
        page_size: conn.pragma_query_value(None, "page_size", |row| row.get(0))?,
        objects,
        sequence,
    })
}

/// Makes a thing; what another table needs and is not here (a module, a collation) is noted, and not needed.
fn make(
    conn: &Connection,
    object: &Object,
    table: &Table,
    lacks: &mut Vec<String>,
) -> Result<(), TargetError> {
    let Err(error) = conn.execute_batch(&object.sql) else { return Ok(()) };
    if object.kind == "table" && object.name.eq_ignore_ascii_case(&table.name.name) {
        return Err(failed("make the table of the clone", error));
    }
    lacks.push(format!(
        "{} `{}`, which cannot be made here: {}",
        object.kind,
        object.name,
        reason(&error, "")
    ));
    Ok(())
}

impl Scratch for SqliteScratch {
    fn place(&self) -> String {
        "a private file".to_owned()
    }

    fn table(&self) -> TableName {
        self.table.name.clone()
    }

    fn create(&mut self) -> Result<(), TargetError> {
        self.remove()?;
        let Schema { encoding, page_size, objects, sequence } = self.schema()?;
        let not_made = |e| failed("make the file of the clone", e);
        let conn = self.connect(OpenFlags::SQLITE_OPEN_CREATE).map_err(not_made)?;
        conn.pragma_update(None, "page_size", page_size)
            .and_then(|()| conn.pragma_update(None, "encoding", encoding))
            .and_then(|()| conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())))
            .map_err(not_made)?;
        let (first, later): (Vec<Object>, Vec<Object>) =
            objects.into_iter().partition(|object| ["table", "index"].contains(&object.kind.as_str()));
        self.lacks = vec!["rows of other tables; foreign keys are therefore not enforced".to_owned()];
        let tx = Transaction::new_unchecked(&conn, TransactionBehavior::Immediate).map_err(not_made)?;
        for object in &first {
            make(&tx, object, &self.table, &mut self.lacks)?;
        }
        if let Some(sequence) = sequence {
            let sql = "INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)";
            tx.execute(sql, (&self.table.name.name, sequence)).map_err(not_made)?;
        }
        tx.commit().map_err(not_made)?;
        self.later = later;
        self.loading = Some(conn);
        Ok(())
    }

    fn load(&mut self, rows: &[Row]) -> Result<(), TargetError> {
        let not_loaded = |e| TargetError::Rejected {
            reason: format!("a row of the backup does not go in: {}", reason(&e, "")),
        };
        let conn = self.loading.as_ref().expect("rows are loaded after the table was made");
        let written: Vec<usize> = self.table.writable();
        let names: Vec<String> = written.iter().map(|i| quote(&self.table.columns[*i].name)).collect();
        let marks = vec!["?"; written.len()].join(", ");
        let sql = format!("INSERT INTO {} ({}) VALUES ({marks})", quoted(&self.table), names.join(", "));
        let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate).map_err(not_loaded)?;
        {
            let mut insert = tx.prepare_cached(&sql).map_err(not_loaded)?;
            for row in rows {
                for (number, column) in written.iter().enumerate() {
                    insert.raw_bind_parameter(number + 1, Bound(&row[*column])).map_err(not_loaded)?;
                }
                insert.raw_execute().map_err(not_loaded)?;
            }
        }
        tx.commit().map_err(not_loaded)
    }

    fn finish(&mut self) -> Result<Made, TargetError> {
        let conn = self.loading.take().expect("the loading ends once");
        for object in &self.later {
            make(&conn, object, &self.table, &mut self.lacks)?;
        }
        Ok(Made { lacks: std::mem::take(&mut self.lacks) })
    }

    fn open(&self) -> Result<Box<dyn Target>, TargetError> {
        let url = SqliteUrl::from_path(self.path.clone());
        let options = SqliteOptions {
            synchronous: Synchronous::Normal,
            foreign_keys: false,
            ..SqliteOptions::default()
        };
        Ok(Box::new(SqliteTarget::open(&url, &self.private, options)?))
    }

    fn forget(&mut self) -> Result<(), TargetError> {
        let sql = "DROP TABLE IF EXISTS ops_change_runs; DROP TABLE IF EXISTS ops_change_batches";
        let conn = self.connect(OpenFlags::empty()).map_err(|e| failed("open the clone", e))?;
        conn.execute_batch(sql).map_err(|e| failed("remove the books of the clone", e))
    }

    fn remove(&mut self) -> Result<(), TargetError> {
        self.loading = None;
        for suffix in SUFFIXES {
            let mut path = self.path.clone().into_os_string();
            path.push(suffix);
            let path = PathBuf::from(path);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    let error = FileError::new("remove", &path, error);
                    return Err(TargetError::failed("remove the clone", error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
