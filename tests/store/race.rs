//! One contender of `cargo xtask bench store`: writes events in one way, and says how fast and how long callers waited.
//!
//! Every way writes the same events of 16 columns. This is a program of its own because only here may SQLite be used
//! without the store, which is the ceiling that the store is held against.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement may")]

#[expect(dead_code, reason = "each contender uses a part of it")]
#[path = "race/load.rs"]
mod load;

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use load::{AT, Load, RUN, Sample, Waits};
use ops::telemetry::store::{Column, Event, Kind, RowWriter, Store, StoreOptions, Table};
use ops::url::{DbUrl, SqliteUrl};
use rusqlite::{Connection, Statement, params};

static TABLE: Table = Table {
    name: "events",
    version: 1,
    columns: &[
        Column::required("run_id", Kind::Text),
        Column::required("phase_id", Kind::Text),
        Column::required("at", Kind::Text),
        Column::required("category", Kind::Text),
        Column::required("complexity", Kind::Text),
        Column::required("deliverables", Kind::Int),
        Column::required("predicted", Kind::Int),
        Column::required("actual", Kind::Int),
        Column::required("budget", Kind::Int),
        Column::required("success", Kind::Bool),
        Column::required("truncated", Kind::Bool),
        Column::new("stop_reason", Kind::Text),
        Column::required("model", Kind::Text),
        Column::new("smape", Kind::Real),
        Column::new("waste", Kind::Real),
        Column::required("attempt", Kind::Int),
    ],
    constraints: &[],
    indexes: &[],
    on_conflict: "",
};

impl Event for Sample {
    const TABLE: &'static Table = &TABLE;

    fn values(&self, row: &mut RowWriter<'_>) {
        row.put(RUN).put(self.phase()).put(AT).put("implementation").put("medium").put(self.n % 9);
        row.put(self.n).put(self.n / 2).put(8192_i64).put(self.n % 7 != 0).put(self.n % 31 == 0);
        row.put("end_turn").put("builder-1").put(self.smape()).put(1.5).put(1_i64);
    }
}

fn insert(statement: &mut Statement<'_>, sample: Sample) {
    let n = sample.n;
    let row = params![
        RUN,
        sample.phase(),
        AT,
        "implementation",
        "medium",
        n % 9,
        n,
        n / 2,
        8192_i64,
        n % 7 != 0,
        n % 31 == 0,
        "end_turn",
        "builder-1",
        sample.smape(),
        1.5,
        1_i64
    ];
    statement.execute(row).unwrap();
}

fn main() {
    let (way, load, folder) = load::told();
    let scratch = tempfile::tempdir_in(&folder).unwrap();
    let path = scratch.path().join("events.db");
    let began = Instant::now();
    let waits = match way.as_str() {
        "store" => store(load, &path),
        "raw" => raw(load, &path),
        "single" => single(load, &path),
        other => panic!("no way `{other}`"),
    };
    let seconds = began.elapsed().as_secs_f64();
    let sql = "SELECT count(*) FROM events";
    let found: i64 = Connection::open(&path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap();
    let producers = i64::try_from(load.producers).unwrap();
    assert_eq!(found, load.events / producers * producers);
    load::tell(load, seconds, &waits);
}

fn store(load: Load, path: &Path) -> Waits {
    let url = DbUrl::Sqlite(SqliteUrl::from_path(path.to_path_buf()));
    let store = Store::open(&url, StoreOptions { tables: vec![&TABLE], ..StoreOptions::default() }).unwrap();
    let waits = load.run(|| |sample| store.record(&sample).unwrap());
    let report = store.flush(Duration::from_mins(5));
    assert!(report.is_acknowledged() && report.spilled == 0, "{report:?}");
    assert!(store.shutdown().is_all_written());
    waits
}

fn open(path: &Path) -> Connection {
    let conn = Connection::open(path).unwrap();
    conn.execute_batch("PRAGMA journal_mode = wal; PRAGMA synchronous = normal").unwrap();
    conn.execute_batch(&TABLE.create(ops::telemetry::store::Dialect::Sqlite)).unwrap();
    conn
}

/// The ceiling: one thread, one prepared statement, transactions of 1,000 rows, nothing in between.
fn raw(load: Load, path: &Path) -> Waits {
    let conn = open(path);
    let mut statement = conn.prepare(&TABLE.insert()).unwrap();
    for first in (0..load.events).step_by(1000) {
        conn.execute_batch("BEGIN IMMEDIATE").unwrap();
        for n in first..(first + 1000).min(load.events) {
            insert(&mut statement, Sample { producer: 0, n });
        }
        conn.execute_batch("COMMIT").unwrap();
    }
    Waits::new()
}

/// One transaction for each event.
fn single(load: Load, path: &Path) -> Waits {
    let conn = Mutex::new(open(path));
    load.run(|| |sample| insert(&mut conn.lock().unwrap().prepare_cached(&TABLE.insert()).unwrap(), sample))
}
