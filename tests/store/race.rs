//! One contender of `cargo xtask bench store`: writes events in one way, and says how fast and how long callers waited.
//!
//! Every way writes the same events of 16 columns. This is a program of its own because only here may SQLite be used
//! without the store, which is the ceiling that the store is held against.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement may")]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

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

/// Everything but the numbers is the same in each event.
#[derive(Debug, Clone, Copy)]
struct Sample {
    producer: usize,
    n: i64,
}

const PHASES: [&str; 4] = ["phase-build-0001", "phase-docs-0002", "phase-tests-0003", "phase-fix-0004"];
const RUN: &str = "telemetry-run-2026-01-02";
const AT: &str = "2026-01-02 03:04:05.000000";

impl Sample {
    fn phase(self) -> &'static str {
        PHASES[self.producer % 4]
    }

    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn smape(self) -> f64 {
        (self.n % 200) as f64 / 2.0
    }
}

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

/// How long calls took: sixteen classes for each power of two of nanoseconds.
#[derive(Debug, Clone)]
struct Waits(Vec<u64>);

impl Waits {
    fn new() -> Self {
        Self(vec![0; 64 * 16])
    }

    fn add(&mut self, wait: Duration) {
        let nanos = u64::try_from(wait.as_nanos()).unwrap().max(16);
        let power = nanos.ilog2();
        self.0[(power * 16) as usize + ((nanos >> (power - 4)) & 15) as usize] += 1;
    }

    fn merge(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a += b);
        self
    }

    /// The upper end of the class of this share, in microseconds.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "small"
    )]
    fn at(&self, share: f64) -> f64 {
        let total: u64 = self.0.iter().sum();
        let mut left = (total as f64 * share).ceil() as u64;
        for (class, count) in self.0.iter().enumerate() {
            if left <= *count {
                let (power, part) = (class as u32 / 16, class as u64 % 16);
                return ((17 + part) << power.saturating_sub(4)) as f64 / 1000.0;
            }
            left -= count;
        }
        0.0
    }
}

/// What to write: so many events by so many threads, at so many a second altogether (0: as fast as they can).
#[derive(Debug, Clone, Copy)]
struct Load {
    producers: usize,
    pace: u64,
    events: i64,
}

impl Load {
    /// Calls `write` for every event, in the producers' threads.
    #[expect(clippy::cast_precision_loss, reason = "small")]
    fn run(self, write: impl Fn(Sample) + Sync) -> Waits {
        let part = |producer: usize| {
            let mut waits = Waits::new();
            let each = self.events / i64::try_from(self.producers).unwrap();
            let began = Instant::now();
            let mut before = Instant::now();
            for n in 0..each {
                if self.pace > 0 {
                    let due = n as f64 * self.producers as f64 / self.pace as f64;
                    let early = due - began.elapsed().as_secs_f64();
                    if early > 0.0 {
                        thread::sleep(Duration::from_secs_f64(early));
                    }
                    before = Instant::now();
                }
                write(Sample { producer, n });
                let after = Instant::now();
                waits.add(after - before);
                before = after;
            }
            waits
        };
        thread::scope(|scope| {
            let threads: Vec<_> =
                (0..self.producers).map(|i| scope.spawn(move || part_of(&part, i))).collect();
            threads.into_iter().map(|t| t.join().unwrap()).fold(Waits::new(), |all, one| all.merge(&one))
        })
    }
}

fn part_of(part: &(impl Fn(usize) -> Waits + Sync), producer: usize) -> Waits {
    part(producer)
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().expect("way, producers, pace, events, folder");
    let way = next();
    let load = Load {
        producers: next().parse().unwrap(),
        pace: next().parse().unwrap(),
        events: next().parse().unwrap(),
    };
    let folder = PathBuf::from(next());
    let scratch = tempfile::tempdir_in(&folder).unwrap();
    let path = scratch.path().join("events.db");
    let began = Instant::now();
    let waits = match way.as_str() {
        "store" => store(load, &path),
        "raw" => raw(load, &path),
        "single" => single(load, &path),
        "lines" => lines(load, &path),
        other => panic!("no way `{other}`"),
    };
    let seconds = began.elapsed().as_secs_f64();
    if way != "lines" {
        let sql = "SELECT count(*) FROM events";
        let found: i64 = Connection::open(&path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(
            found,
            load.events / i64::try_from(load.producers).unwrap() * i64::try_from(load.producers).unwrap()
        );
    }
    println!(
        "{{\"events\": {}, \"seconds\": {seconds}, \"p50\": {}, \"p99\": {}, \"p999\": {}, \"peak_mb\": {}}}",
        load.events,
        waits.at(0.5),
        waits.at(0.99),
        waits.at(0.999),
        peak_megabytes(),
    );
}

fn store(load: Load, path: &Path) -> Waits {
    let url = DbUrl::Sqlite(SqliteUrl::from_path(path.to_path_buf()));
    let store = Store::open(&url, StoreOptions { tables: vec![&TABLE], ..StoreOptions::default() }).unwrap();
    let waits = load.run(|sample| store.record(&sample).unwrap());
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
    load.run(|sample| insert(&mut conn.lock().unwrap().prepare_cached(&TABLE.insert()).unwrap(), sample))
}

/// JSON Lines through a bounded channel and a thread with a buffer: no transaction, no schema, nothing flushed.
fn lines(load: Load, path: &Path) -> Waits {
    let (sender, receiver) = sync_channel::<String>(8192);
    let mut file = BufWriter::new(File::create(path).unwrap());
    let writer = thread::spawn(move || {
        for line in receiver {
            file.write_all(line.as_bytes()).unwrap();
        }
        file.flush().unwrap();
    });
    let waits = load.run(|sample| {
        let n = sample.n;
        let line = format!(
            "{{\"run_id\":\"{RUN}\",\"phase_id\":\"{}\",\"at\":\"{AT}\",\"category\":\"implementation\",\
             \"complexity\":\"medium\",\"deliverables\":{},\"predicted\":{n},\"actual\":{},\"budget\":8192,\
             \"success\":{},\"truncated\":{},\"stop_reason\":\"end_turn\",\"model\":\"builder-1\",\"smape\":{},\
             \"waste\":1.5,\"attempt\":1}}\n",
            sample.phase(),
            n % 9,
            n / 2,
            n % 7 != 0,
            n % 31 == 0,
            sample.smape()
        );
        sender.send(line).unwrap();
    });
    drop(sender);
    writer.join().unwrap();
    waits
}

/// What the operating system counted at most; 0 where it does not say so.
fn peak_megabytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().unwrap_or(0.0);
    kilobytes * 1024.0 / 1e6
}
