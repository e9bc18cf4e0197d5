//! A table, an event, two databases: what the tests of the store share.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ops::db::Cell;
use ops::telemetry::store::{Column, Event, Kind, Ledger, RowWriter, Store, StoreOptions, Table};
use ops::url::{DbUrl, SqliteUrl};
use tempfile::TempDir;

use crate::postgres::cluster;

/// No wait in a test that passes is anywhere near this long.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) static NOTES: Table = Table {
    name: "notes",
    version: 1,
    columns: &[
        Column::new("id", Kind::Id),
        Column::required("writer", Kind::Int),
        Column::required("n", Kind::Int),
        Column::new("text", Kind::Text),
        Column::new("x", Kind::Real),
        Column::new("ok", Kind::Bool),
        Column::new("raw", Kind::Bytes),
    ],
    constraints: &["UNIQUE (writer, n)", "CHECK (n >= 0)"],
    indexes: &[],
    on_conflict: "",
};

/// One row of [`NOTES`]; a negative `n` breaks its constraint.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Note {
    pub(crate) writer: i64,
    pub(crate) n: i64,
}

impl Event for Note {
    const TABLE: &'static Table = &NOTES;

    fn values(&self, row: &mut RowWriter<'_>) {
        row.put(self.writer)
            .put(self.n)
            .put("a note of some length")
            .put(0.5)
            .put(self.n % 2 == 0)
            .put(None::<i64>);
    }
}

/// A database of a test.
pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) url: DbUrl,
}

impl World {
    pub(crate) fn sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = DbUrl::Sqlite(SqliteUrl::from_path(dir.path().join("x.db")));
        Self { dir, url }
    }

    /// `None` where this machine has no server.
    pub(crate) fn postgres() -> Option<Self> {
        let cluster = cluster()?;
        let url = DbUrl::parse(&cluster.url(&cluster.database()), Path::new("/")).unwrap();
        Some(Self { dir: tempfile::tempdir().unwrap(), url })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("x.db")
    }

    /// Spill files go into the folder of the test, whichever the database.
    pub(crate) fn options(&self) -> StoreOptions {
        StoreOptions { spill_dir: Some(self.dir.path().to_path_buf()), ..StoreOptions::default() }
    }

    pub(crate) fn store(&self) -> Store {
        self.open(self.options())
    }

    pub(crate) fn open(&self, options: StoreOptions) -> Store {
        Store::open(&self.url, options).unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// The files that jobs were spilled to.
    pub(crate) fn spills(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap().flatten().map(|entry| entry.path());
        entries.filter(|path| path.extension().is_some_and(|suffix| suffix == "spill")).collect()
    }
}

/// The rows of a query, columns joined by `|`, rows by a blank.
pub(crate) fn rows(store: &Store, sql: &str) -> String {
    let rows = store.read(|reader| reader.rows(sql)).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let row = |row: &Vec<Cell>| row.iter().map(Cell::show).collect::<Vec<_>>().join("|");
    rows.iter().map(row).collect::<Vec<_>>().join(" ")
}

pub(crate) fn count(store: &Store, table: &str) -> u64 {
    rows(store, &format!("SELECT count(*) FROM {table}")).parse().unwrap()
}

/// Moments and choices that look random and are the same in every run.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Every note that is in the database is there once, and of each writer none is missing before its last.
#[track_caller]
pub(crate) fn assert_unbroken(store: &Store) {
    let broken = "SELECT writer, count(*), count(DISTINCT n), max(n) FROM notes GROUP BY writer \
                  HAVING count(*) <> max(n) + 1 OR count(DISTINCT n) <> count(*)";
    assert_eq!(rows(store, broken), "", "writers with holes or doubles");
}

#[track_caller]
pub(crate) fn assert_balanced(ledger: &Ledger) {
    assert!(ledger.balances(), "{}", ledger.equation());
}
