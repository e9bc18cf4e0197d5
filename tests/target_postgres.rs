//! PostgreSQL as a target, where the suite of all drivers cannot look: rights, refusals, lost connections, time limits,
//! and the functions for targets behind PostgREST.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic as tests do")]

#[path = "target_postgres/functions.rs"]
mod functions;
#[path = "target_postgres/lost.rs"]
mod lost;
#[expect(dead_code, reason = "each test binary uses a part of the support")]
#[path = "support/postgres.rs"]
mod server;
#[path = "target_postgres/several.rs"]
mod several;
#[path = "target_postgres/tables.rs"]
mod tables;

use std::path::Path;
use std::time::Duration;

use ops::clock::Stamp;
use ops::target::postgres::{PostgresOptions, PostgresTarget};
use ops::target::schema::{Table, TableName};
use ops::target::{Batch, Change, Outcome, RunId, Target, TargetError};
use ops::url::{DbUrl, PostgresUrl};
use ops::value::Value;
use server::Cluster;

fn url(text: &str) -> PostgresUrl {
    match DbUrl::parse(text, Path::new("/")).unwrap() {
        DbUrl::Postgres(url) => url,
        other => panic!("{text} is {other}"),
    }
}

fn connect(text: &str) -> PostgresTarget {
    PostgresTarget::connect(&url(text), PostgresOptions::default()).unwrap()
}

/// A target that gives up soon.
fn hasty(text: &str, statement: u64, lock: u64) -> PostgresTarget {
    let mut options = PostgresOptions::default();
    options.connect.statement_timeout = Duration::from_millis(statement);
    options.lock_timeout = Duration::from_millis(lock);
    PostgresTarget::connect(&url(text), options).unwrap()
}

fn name(text: &str) -> TableName {
    TableName::parse(text).unwrap()
}

fn now() -> Stamp {
    Stamp::parse("2026-01-02T03:04:05Z").unwrap()
}

fn run() -> RunId {
    RunId { plan: "a".repeat(64), direction: "apply".to_owned() }
}

fn begin(target: &mut PostgresTarget, table: &Table) {
    target.begin(table, &run(), "owner", now(), now().plus(Duration::from_mins(1))).unwrap();
}

/// Applies changes of a table whose first column is its key.
fn apply(
    target: &mut PostgresTarget,
    table: &Table,
    first: u64,
    changes: &[Change],
) -> Result<Vec<Outcome>, TargetError> {
    let columns = table.writable();
    let run = run();
    let key = &columns[..1];
    target.apply(&Batch { table, columns: &columns, key, run: &run, first, changes, now: now() })
}

/// A row of a table with an integer and a text.
fn row(id: i64, v: &str) -> Vec<Value> {
    vec![Value::Int(id), Value::Text(v.to_owned())]
}

fn insert(id: i64, v: &str) -> Change {
    Change::Insert { after: row(id, v).into_iter().map(Some).collect() }
}

fn update(id: i64, before: &str, after: &str) -> Change {
    Change::Update { before: row(id, before), after: row(id, after) }
}

/// A database with a table `t` of two rows, and its URL.
fn with_table(cluster: &Cluster) -> (String, String) {
    let database = cluster.database();
    cluster.sql(
        &database,
        "CREATE TABLE t (id integer PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a'), (2, 'b')",
    );
    let url = cluster.url(&database);
    (database, url)
}
