//! SQLite: a file in a temporary folder, written by a plain connection beside the driver.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use ops::target::Target;
use ops::target::sqlite::{SqliteOptions, SqliteTarget};
use ops::url::SqliteUrl;
use rusqlite::Connection;
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::types::ValueRef;
use tempfile::TempDir;

use super::world::{Dialect, World};

/// How the file keeps its transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Journal {
    Rollback,
    Wal,
}

/// A folder with one database.
pub(crate) struct SqliteWorld {
    journal: Journal,
    dir: TempDir,
}

impl SqliteWorld {
    pub(crate) fn new(journal: Journal) -> Self {
        Self { journal, dir: TempDir::new().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("live.db")
    }

    fn connect(&self) -> Connection {
        let conn = Connection::open(self.path()).unwrap();
        conn.busy_timeout(Duration::from_secs(5)).unwrap();
        conn
    }
}

impl World for SqliteWorld {
    fn driver(&self) -> &'static str {
        match self.journal {
            Journal::Rollback => "sqlite",
            Journal::Wal => "sqlite in wal mode",
        }
    }

    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn fresh(&mut self) {
        self.dir = TempDir::new().unwrap();
        let mode = if self.journal == Journal::Wal { "wal" } else { "delete" };
        let conn = self.connect();
        conn.query_row(&format!("PRAGMA journal_mode = {mode}"), [], |_| Ok(())).unwrap();
        // A file of no bytes is no database.
        conn.execute_batch("CREATE TABLE other (id INTEGER PRIMARY KEY)").unwrap();
    }

    fn sql(&mut self, sql: &str) -> Vec<Vec<Option<String>>> {
        let conn = self.connect();
        let mut batch = rusqlite::Batch::new(&conn, sql);
        let mut last = Vec::new();
        while let Some(mut statement) = batch.next().unwrap() {
            let width = statement.column_count();
            let rows = statement.query_map([], |row| {
                (0..width).map(|i| Ok(text(row.get_ref(i)?))).collect::<rusqlite::Result<Vec<_>>>()
            });
            last = rows.unwrap().collect::<rusqlite::Result<Vec<_>>>().unwrap();
        }
        last
    }

    fn open(&mut self) -> Box<dyn Target> {
        let url = SqliteUrl::from_path(self.path());
        Box::new(SqliteTarget::open(&url, self.dir.path(), SqliteOptions::default()).unwrap())
    }

    fn trace(&mut self) -> String {
        let mut files: Vec<_> = fs::read_dir(self.dir.path()).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        let digest =
            |path: &PathBuf| format!("{} {}\n", path.display(), ops::ids::sha256(&fs::read(path).unwrap()));
        files.iter().map(digest).collect()
    }
}

fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(n) => Some(n.to_string()),
        ValueRef::Real(x) => Some(format!("{x:?}")),
        ValueRef::Text(text) => Some(String::from_utf8(text.to_vec()).unwrap()),
        ValueRef::Blob(bytes) => Some(ops::ids::hex(bytes)),
    }
}
