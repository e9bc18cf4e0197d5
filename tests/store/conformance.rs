//! What a store does over any database: each case runs over SQLite and over PostgreSQL.

use std::thread;
use std::time::Duration;

use ops::telemetry::store::{
    Column, Event, Full, Job, Kind, Refused, RowWriter, Store, StoreOptions, Table, Value,
};

use crate::store::kit::{Note, PATIENCE, World, count, rows};

macro_rules! cases {
    ($($case:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test] fn $case() { super::$case(&crate::store::kit::World::sqlite()); })+
        }
        mod postgres {
            $(#[test] fn $case() {
                if let Some(world) = crate::store::kit::World::postgres() { super::$case(&world); }
            })+
        }
    };
}

cases!(
    rows_come_back_by_name_in_their_order,
    a_statement_of_the_schema_runs_once,
    one_bad_job_among_ten_thousand_is_the_only_one_missing,
    a_job_is_written_whole_or_not_at_all,
    a_failing_table_poisons_nothing,
    parameters_are_bound_and_not_pasted,
    a_job_cannot_end_the_transaction_of_others,
    a_column_that_is_missing_is_added,
    a_table_of_a_newer_version_is_refused,
    a_table_of_another_program_is_used_if_rows_go_into_it,
    threads_and_stores_may_make_the_same_table_at_once,
    a_table_that_was_dropped_is_made_again,
    a_closed_store_refuses_and_counts,
    a_store_without_a_queue_gives_the_error_to_the_caller,
    a_failure_at_the_commit_is_found_in_its_job,
    a_spilled_job_is_written_by_the_next_store_once,
    an_upsert_counts,
    a_writer_says_how_it_is,
    writers_that_count_in_the_same_rows_lose_nothing,
);

fn flushed(store: &Store) {
    let report = store.flush(PATIENCE);
    assert!(report.pending == 0, "{report:?}");
}

fn rows_come_back_by_name_in_their_order(world: &World) {
    let store = world.store();
    for n in 0..200 {
        store.record(&Note { writer: 7, n }).unwrap();
    }
    let report = store.flush(PATIENCE);
    assert_eq!((report.written, report.failed, report.pending), (200, 0, 0), "{report:?}");
    assert!(report.is_acknowledged());
    assert_eq!(
        rows(&store, "SELECT id, writer, n, text, x, ok, raw FROM notes WHERE n IN (0, 199) ORDER BY id"),
        "1|7|0|a note of some length|0.5|1|null 200|7|199|a note of some length|0.5|0|null"
    );
    assert_eq!(rows(&store, "SELECT count(*), count(DISTINCT id), max(id) FROM notes"), "200|200|200");
    let ledger = store.shutdown();
    assert!(ledger.balances() && ledger.is_all_written(), "{}", ledger.equation());
    assert_eq!(store.shutdown(), ledger, "closing twice is closing once");
}

/// What another session of the schema would trip over, were it run twice.
fn a_statement_of_the_schema_runs_once(world: &World) {
    let store = world.store();
    for n in 1..=3 {
        let mut job = Job::new();
        job.ensure("CREATE TABLE once (n BIGINT)")
            .add_statement("INSERT INTO once VALUES ($1)", &[Value::Int(n)]);
        store.submit(&job).unwrap();
        flushed(&store);
    }
    assert_eq!(rows(&store, "SELECT n FROM once ORDER BY n"), "1 2 3");
    assert!(store.shutdown().is_all_written());
}

fn one_bad_job_among_ten_thousand_is_the_only_one_missing(world: &World) {
    let store = world.store();
    for n in 0..10_000 {
        store.record(&Note { writer: 1, n: if n == 4_321 { -1 } else { n } }).unwrap();
    }
    flushed(&store);
    let stats = store.stats();
    assert_eq!((stats.ledger.written, stats.ledger.dropped.sql_error), (9_999, 1), "{stats:?}");
    assert_eq!(stats.ledger.dropped.total(), 1);
    let why = stats.last_error.unwrap();
    assert!(why.to_lowercase().contains("check") || why.contains("23514"), "{why}");
    assert!(stats.is_writer_alive);
    assert_eq!(count(&store, "notes"), 9_999);
}

fn a_job_is_written_whole_or_not_at_all(world: &World) {
    let store = world.store();
    let mut job = Job::new();
    job.add(&Note { writer: 1, n: 1 }).add(&Note { writer: 1, n: -1 });
    store.submit(&job).unwrap();
    store.record(&Note { writer: 2, n: 1 }).unwrap();
    flushed(&store);
    assert_eq!(rows(&store, "SELECT writer, n FROM notes"), "2|1");
    assert_eq!(store.ledger().dropped.sql_error, 1, "a job counts once, whatever is in it");
}

fn a_failing_table_poisons_nothing(world: &World) {
    let store = world.store();
    let mut bad = Job::new();
    bad.ensure("CREATE TABLE broken (n NO SUCH (TYPE").add_statement("INSERT INTO broken VALUES (1)", &[]);
    let mut good = Job::new();
    good.ensure("CREATE TABLE IF NOT EXISTS fine (n BIGINT)")
        .add_statement("INSERT INTO fine VALUES (1)", &[]);
    for job in [&bad, &good, &bad, &good] {
        store.submit(job).unwrap();
    }
    store.record(&Note { writer: 1, n: 1 }).unwrap();
    flushed(&store);
    let ledger = store.ledger();
    assert_eq!((ledger.written, ledger.dropped.ddl_error, ledger.dropped.total()), (3, 2, 2), "{ledger:?}");
    assert_eq!((count(&store, "fine"), count(&store, "notes")), (2, 1));
    // A table that was made in a transaction that did not happen is not taken for made.
    let mut both = Job::new();
    both.ensure("CREATE TABLE IF NOT EXISTS later (n BIGINT)")
        .add_statement("INSERT INTO later VALUES (1, 2)", &[]);
    let mut again = Job::new();
    again
        .ensure("CREATE TABLE IF NOT EXISTS later (n BIGINT)")
        .add_statement("INSERT INTO later VALUES (1)", &[]);
    for job in [&both, &again] {
        store.submit(job).unwrap();
        flushed(&store);
    }
    assert_eq!(count(&store, "later"), 1);
}

fn parameters_are_bound_and_not_pasted(world: &World) {
    let store = world.store();
    let mut job = Job::new();
    job.ensure("CREATE TABLE texts (a TEXT, b TEXT, c TEXT)").add_statement(
        "INSERT INTO texts (a, b, c) VALUES ($2, 'why? :x $9', $1)",
        &[Value::Text("one'; DROP TABLE texts; --"), Value::Text("two $1 ?")],
    );
    store.submit(&job).unwrap();
    store.submit(&Job::statement("INSERT INTO texts (a) VALUES ($1)", &[])).unwrap();
    store.submit(&Job::statement("INSERT INTO texts (a) VALUES ($1)", &[Value::Null, Value::Null])).unwrap();
    flushed(&store);
    assert_eq!(rows(&store, "SELECT a, b, c FROM texts"), "two $1 ?|why? :x $9|one'; DROP TABLE texts; --");
    assert_eq!(store.ledger().dropped.sql_error, 2, "too few and too many values");
}

fn a_job_cannot_end_the_transaction_of_others(world: &World) {
    let store = world.store();
    for sql in ["COMMIT", "/* x */ rollback", "BEGIN"] {
        store.submit(&Job::statement(sql, &[])).unwrap();
        store.record(&Note { writer: 1, n: i64::try_from(sql.len()).unwrap() }).unwrap();
    }
    let mut job = Job::new();
    job.ensure("CREATE TABLE two (n BIGINT); COMMIT");
    store.submit(&job).unwrap();
    flushed(&store);
    let ledger = store.shutdown();
    assert_eq!((ledger.written, ledger.dropped.sql_error, ledger.dropped.ddl_error), (3, 3, 1));
}

static OLD: Table = Table { columns: &[Column::required("a", Kind::Int)], ..plain("grown", 1) };
static NEW: Table = Table {
    columns: &[
        Column::required("a", Kind::Int),
        Column::required("b", Kind::Text),
        Column::new("c", Kind::Bool),
    ],
    indexes: &["b, a"],
    ..plain("grown", 2)
};

const fn plain(name: &'static str, version: u32) -> Table {
    Table { name, version, columns: &[], constraints: &[], indexes: &[], on_conflict: "" }
}

struct Old(i64);
struct New(i64);

impl Event for Old {
    const TABLE: &'static Table = &OLD;
    fn values(&self, row: &mut RowWriter<'_>) {
        row.put(self.0);
    }
}

impl Event for New {
    const TABLE: &'static Table = &NEW;
    fn values(&self, row: &mut RowWriter<'_>) {
        row.put(self.0).put("new").put(true);
    }
}

fn a_column_that_is_missing_is_added(world: &World) {
    let store = world.store();
    store.record(&Old(1)).unwrap();
    assert!(store.shutdown().is_all_written());
    let store = world.open(StoreOptions { tables: vec![&NEW], ..world.options() });
    assert_eq!(rows(&store, "SELECT a, b, c FROM grown"), "1|null|null", "old rows stay as they were");
    store.record(&New(2)).unwrap();
    flushed(&store);
    assert_eq!(rows(&store, "SELECT a, b, c FROM grown ORDER BY a"), "1|null|null 2|new|1");
}

fn a_table_of_a_newer_version_is_refused(world: &World) {
    let store = world.store();
    store.record(&New(1)).unwrap();
    flushed(&store);
    store.record(&Old(2)).unwrap();
    flushed(&store);
    assert_eq!(store.ledger().dropped.ddl_error, 1);
    let opened = Store::open(&world.url, StoreOptions { tables: vec![&OLD], ..world.options() });
    let error = opened.map(|_| ()).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "the table `grown` has version 2, this program knows 1");
}

fn threads_and_stores_may_make_the_same_table_at_once(world: &World) {
    let stores: Vec<Store> = (0..3).map(|_| world.store()).collect();
    thread::scope(|scope| {
        for (writer, store) in (0..).zip(&stores) {
            for part in 0..2 {
                scope.spawn(move || {
                    for n in 0..50 {
                        store.record(&Note { writer, n: part * 50 + n }).unwrap();
                    }
                });
            }
        }
    });
    for store in &stores {
        let ledger = store.shutdown();
        assert!(ledger.is_all_written(), "{} {:?}", ledger.equation(), store.stats());
    }
    assert_eq!(count(&world.store(), "notes"), 300);
}

fn a_table_that_was_dropped_is_made_again(world: &World) {
    let store = world.store();
    store.record(&Note { writer: 1, n: 1 }).unwrap();
    flushed(&store);
    let other = world.store();
    other.submit(&Job::statement("DROP TABLE notes", &[])).unwrap();
    flushed(&other);
    store.record(&Note { writer: 1, n: 2 }).unwrap();
    flushed(&store);
    assert_eq!(rows(&store, "SELECT n FROM notes"), "2", "{:?}", store.stats());
}

fn a_closed_store_refuses_and_counts(world: &World) {
    let store = world.store();
    let clone = store.clone();
    store.record(&Note { writer: 1, n: 1 }).unwrap();
    store.shutdown();
    assert_eq!(clone.record(&Note { writer: 1, n: 2 }), Err(Refused::Closed));
    assert_eq!(clone.submit(&Job::statement("DELETE FROM notes", &[])), Err(Refused::Closed));
    let ledger = store.ledger();
    assert_eq!((ledger.submitted, ledger.written, ledger.dropped.closed), (3, 1, 2));
    assert!(ledger.balances());
    assert_eq!(store.flush(PATIENCE).pending, 0, "a flush of a closed store returns");
}

fn a_store_without_a_queue_gives_the_error_to_the_caller(world: &World) {
    let store = world.open(StoreOptions { debug: true, ..world.options() });
    store.record(&Note { writer: 1, n: 1 }).unwrap();
    assert_eq!(count(&store, "notes"), 1, "written when it returns");
    let refused = store.record(&Note { writer: 1, n: 1 }).unwrap_err();
    assert!(matches!(&refused, Refused::Failed(why) if !why.contains("some length")), "{refused:?}");
    let report = store.flush(PATIENCE);
    assert_eq!((report.written, report.failed), (1, 1));
    assert!(!report.is_acknowledged() && store.shutdown().balances());
}

/// A constraint that is checked at the end fails the whole transaction, and nothing says whose fault it was.
fn a_failure_at_the_commit_is_found_in_its_job(world: &World) {
    let store = world.open(StoreOptions { linger: Duration::from_millis(200), ..world.options() });
    let mut tables = Job::new();
    tables.ensure("CREATE TABLE parents (id BIGINT PRIMARY KEY)").ensure(
        "CREATE TABLE children (parent BIGINT REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)",
    );
    tables.add_statement("INSERT INTO parents VALUES (1)", &[]);
    store.submit(&tables).unwrap();
    flushed(&store);
    for parent in [1, 2, 1, 3] {
        store.submit(&Job::statement("INSERT INTO children VALUES ($1)", &[Value::Int(parent)])).unwrap();
    }
    flushed(&store);
    assert_eq!(rows(&store, "SELECT parent FROM children"), "1 1", "{:?}", store.stats());
    assert_eq!(store.ledger().dropped.sql_error, 2);
}

/// Closing at once leaves everything to the spill file.
fn a_spilled_job_is_written_by_the_next_store_once(world: &World) {
    let store = world.open(StoreOptions {
        close_timeout: Duration::ZERO,
        linger: Duration::from_mins(1),
        full: Full::DropNewest,
        ..world.options()
    });
    for n in 0..500 {
        store.record(&Note { writer: 1, n }).unwrap();
    }
    store.record(&Note { writer: 1, n: -1 }).unwrap();
    let mut job = Job::new();
    job.ensure("CREATE TABLE IF NOT EXISTS fine (n BIGINT)");
    job.add_statement("INSERT INTO fine VALUES ($1)", &[Value::Int(5)]);
    store.submit(&job).unwrap();
    let ledger = store.shutdown();
    assert!(ledger.balances());
    assert_eq!(ledger.written + ledger.spilled + ledger.dropped.sql_error, 502, "{ledger:?}");
    assert!(ledger.spilled > 0, "{ledger:?}");
    for round in 0..2 {
        let next = world.store();
        flushed(&next);
        let ledger = next.ledger();
        let expected = if round == 0 { 502 } else { 0 };
        assert_eq!(ledger.recovered.written + ledger.recovered.failed, expected, "{:?}", next.stats());
        assert_eq!((count(&next, "notes"), count(&next, "fine")), (500, 1));
        assert!(world.spills().is_empty());
    }
}

static HOSTS: Table = Table {
    columns: &[Column::required("host", Kind::Text), Column::required("count", Kind::Int)],
    constraints: &["PRIMARY KEY (host)"],
    on_conflict: "ON CONFLICT (host) DO UPDATE SET count = hosts.count + excluded.count",
    ..plain("hosts", 1)
};

struct Host(&'static str);

impl Event for Host {
    const TABLE: &'static Table = &HOSTS;
    fn values(&self, row: &mut RowWriter<'_>) {
        row.put(self.0).put(1_i64);
    }
}

fn an_upsert_counts(world: &World) {
    let store = world.store();
    for _ in 0..100 {
        store.record(&Host("a")).unwrap();
        store.record(&Host("b")).unwrap();
    }
    flushed(&store);
    assert_eq!(rows(&store, "SELECT host, count FROM hosts ORDER BY host"), "a|100 b|100");
}

/// A table that lacks the key of the counts, one that wants what nobody gives, and one that has more than is needed.
fn a_table_of_another_program_is_used_if_rows_go_into_it(world: &World) {
    let other = world.store();
    let remade = |columns: &str| {
        for sql in ["DROP TABLE IF EXISTS hosts", &format!("CREATE TABLE hosts ({columns})")] {
            other.submit(&Job::statement(sql, &[])).unwrap();
        }
        flushed(&other);
    };
    for (columns, why) in [
        ("host TEXT, count BIGINT", "ON CONFLICT"),
        ("host TEXT, count BIGINT, UNIQUE (host, count)", "ON CONFLICT"),
        (
            "host TEXT PRIMARY KEY, count BIGINT, city TEXT NOT NULL, zip TEXT NOT NULL",
            "demands `city`, `zip`",
        ),
    ] {
        remade(columns);
        let opened = Store::open(&world.url, StoreOptions { tables: vec![&HOSTS], ..world.options() });
        let error = opened.map(|_| ()).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(
            cause.starts_with("the table `hosts` is another program's") && cause.contains(why),
            "{cause}"
        );
        let store = world.store();
        store.record(&Host("a")).unwrap();
        store.record(&Note { writer: 1, n: i64::try_from(columns.len()).unwrap() }).unwrap();
        flushed(&store);
        let ledger = store.shutdown();
        assert_eq!((ledger.written, ledger.dropped.ddl_error), (1, 1), "{:?}", store.stats());
    }
    remade("host TEXT PRIMARY KEY, city TEXT NOT NULL DEFAULT 'here'");
    let store = world.open(StoreOptions { tables: vec![&HOSTS], ..world.options() });
    store.record(&Host("a")).unwrap();
    store.record(&Host("a")).unwrap();
    flushed(&store);
    assert_eq!(rows(&store, "SELECT host, city, count FROM hosts"), "a|here|2");
}

/// Whether it is closed, and its counts, as its row in the database has them.
fn a_writer_says_how_it_is(world: &World) {
    let heartbeat = Duration::from_millis(20);
    let store = world.open(StoreOptions { heartbeat, id: "me".to_owned(), ..world.options() });
    let said = || {
        let sql = "SELECT id, closed_at IS NULL, submitted, written, dropped_sql_error, last_error IS NULL \
                   FROM ops_telemetry_writers";
        store.read(|reader| reader.rows(sql)).map(|_| rows(&store, sql)).unwrap_or_default()
    };
    let within_patience = |expected: &str| {
        let began = std::time::Instant::now();
        while said() != expected {
            assert!(began.elapsed() < PATIENCE, "{} {:?}", said(), store.stats());
            thread::sleep(Duration::from_millis(5));
        }
    };
    store.record(&Note { writer: 1, n: 1 }).unwrap();
    within_patience("me|1|1|1|0|1");
    store.record(&Note { writer: 1, n: -1 }).unwrap();
    within_patience("me|1|2|1|1|0");
    store.shutdown();
    assert_eq!(said(), "me|0|2|1|1|0");
    // Who did not write says nothing.
    world.open(StoreOptions { id: "other".to_owned(), ..world.options() }).shutdown();
    assert_eq!(rows(&store, "SELECT count(*) FROM ops_telemetry_writers"), "1");
}

/// Two writers that take the same rows in opposite order lock each other out; both must come through.
fn writers_that_count_in_the_same_rows_lose_nothing(world: &World) {
    const EACH: u64 = 400;
    let stores = [world.store(), world.store()];
    thread::scope(|scope| {
        for (i, store) in stores.iter().enumerate() {
            scope.spawn(move || {
                let hosts = if i == 0 { ["a", "b", "c"] } else { ["c", "b", "a"] };
                for _ in 0..EACH {
                    for host in hosts {
                        store.record(&Host(host)).unwrap();
                    }
                }
            });
        }
    });
    for store in &stores {
        let report = store.flush(PATIENCE);
        assert!(report.is_acknowledged(), "{report:?} {:?}", store.stats());
        let began = std::time::Instant::now();
        while store.ledger().spilled > 0 {
            assert!(began.elapsed() < PATIENCE, "{:?}", store.stats());
            thread::sleep(Duration::from_millis(5));
        }
    }
    let all = 2 * EACH;
    assert_eq!(
        rows(&stores[0], "SELECT host, count FROM hosts ORDER BY host"),
        format!("a|{all} b|{all} c|{all}")
    );
}
