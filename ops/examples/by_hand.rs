//! The fastest upserts one would write by hand, without a plan, a journal or a way back: what the change engine is
//! measured against.
//!
//! Nothing but `cargo xtask bench change` runs this. Each way takes rows that are parsed and sorted already, and
//! prints the rows and the seconds of the writing alone.

#![expect(clippy::print_stdout, reason = "the answer of a contender")]
#![expect(clippy::disallowed_methods, reason = "a contender takes its orders from its arguments")]

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use postgres::types::ToSql;
use serde::{Deserialize, Serialize};

type Failure = Box<dyn Error>;

#[derive(Debug, Deserialize, Serialize)]
struct Item {
    id: String,
    name: String,
    description: String,
    tone: String,
    depth: i64,
    weight: f64,
    updated_at: String,
    meta: Option<String>,
}

const UPDATES: &str = "name = excluded.name, description = excluded.description, tone = excluded.tone, \
    depth = excluded.depth, weight = excluded.weight, updated_at = excluded.updated_at, meta = excluded.meta";

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [way, target, desired, batch, rest @ ..] = args.as_slice() else {
        return Err("by_hand sqlite|postgres|rows|post TARGET DESIRED BATCH [MODE|PAUSE_MS ROWS]".into());
    };
    let (batch, mut items) = (batch.parse()?, read(desired)?);
    let seconds = match (way.as_str(), rest) {
        ("sqlite", [mode]) => sqlite(target, mode, batch, &items)?,
        ("postgres", []) => postgres_batches(target, batch, &items)?,
        ("rows", [rows]) => {
            items.truncate(rows.parse()?);
            postgres_rows(target, batch, &items)?
        }
        ("post", [pause_ms, rows]) => {
            items.truncate(rows.parse()?);
            post(target, batch, Duration::from_millis(pause_ms.parse()?), &items)?
        }
        _ => return Err("no such way".into()),
    };
    println!("{}", serde_json::json!({ "rows": items.len(), "seconds": seconds }));
    Ok(())
}

fn read(path: &str) -> Result<Vec<Item>, Failure> {
    let lines = BufReader::new(File::open(path)?).lines();
    let mut items: Vec<Item> =
        lines.map(|line| Ok(serde_json::from_str(&line?)?)).collect::<Result<_, Failure>>()?;
    items.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(items)
}

/// A prepared statement a row, a transaction a batch.
fn sqlite(path: &str, mode: &str, batch: usize, items: &[Item]) -> Result<f64, Failure> {
    let mut connection = rusqlite::Connection::open(path)?;
    connection.execute_batch(&format!("PRAGMA journal_mode = WAL; PRAGMA synchronous = {mode}"))?;
    connection.execute_batch("PRAGMA wal_autocheckpoint = 20000; PRAGMA cache_size = -64000")?;
    let sql = format!(
        "INSERT INTO items VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO UPDATE SET {UPDATES}"
    );
    let start = Instant::now();
    for batch in items.chunks(batch) {
        let transaction = connection.transaction()?;
        let mut statement = transaction.prepare_cached(&sql)?;
        for i in batch {
            let row = (&i.id, &i.name, &i.description, &i.tone, i.depth, i.weight, &i.updated_at, &i.meta);
            statement.execute(row)?;
        }
        drop(statement);
        transaction.commit()?;
    }
    Ok(start.elapsed().as_secs_f64())
}

fn parameters(item: &Item) -> [&(dyn ToSql + Sync); 8] {
    [
        &item.id,
        &item.name,
        &item.description,
        &item.tone,
        &item.depth,
        &item.weight,
        &item.updated_at,
        &item.meta,
    ]
}

/// A statement of many rows a batch.
fn postgres_batches(url: &str, batch: usize, items: &[Item]) -> Result<f64, Failure> {
    let mut client = postgres::Client::connect(url, postgres::NoTls)?;
    let start = Instant::now();
    for batch in items.chunks(batch) {
        let row = |n: usize| {
            let marks: Vec<String> = (1..=8).map(|k| format!("${}", n * 8 + k)).collect();
            format!("({})", marks.join(", "))
        };
        let rows: Vec<String> = (0..batch.len()).map(row).collect();
        let sql =
            format!("INSERT INTO items VALUES {} ON CONFLICT (id) DO UPDATE SET {UPDATES}", rows.join(", "));
        let values: Vec<&(dyn ToSql + Sync)> = batch.iter().flat_map(parameters).collect();
        client.execute(&sql, &values)?;
    }
    Ok(start.elapsed().as_secs_f64())
}

/// A statement a row, a transaction a batch.
fn postgres_rows(url: &str, batch: usize, items: &[Item]) -> Result<f64, Failure> {
    let mut client = postgres::Client::connect(url, postgres::NoTls)?;
    let sql = format!(
        "INSERT INTO items VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO UPDATE SET {UPDATES}"
    );
    let statement = client.prepare(&sql)?;
    let start = Instant::now();
    for batch in items.chunks(batch) {
        let mut transaction = client.transaction()?;
        for item in batch {
            transaction.execute(&statement, &parameters(item))?;
        }
        transaction.commit()?;
    }
    Ok(start.elapsed().as_secs_f64())
}

/// A request a batch, to PostgREST; `target` is `URL KEY`.
fn post(target: &str, batch: usize, pause: Duration, items: &[Item]) -> Result<f64, Failure> {
    let (url, key) = target.split_once(' ').ok_or("no key")?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::blocking::Client::new();
    let start = Instant::now();
    for batch in items.chunks(batch) {
        let request = client
            .post(format!("{url}/rest/v1/items?on_conflict=id"))
            .header("apikey", key)
            .header("Authorization", format!("Bearer {key}"))
            .header("Content-Type", "application/json")
            .header("Prefer", "resolution=merge-duplicates")
            .body(serde_json::to_vec(batch)?);
        let status = request.send()?.status();
        if !status.is_success() {
            return Err(format!("status {status}").into());
        }
        std::thread::sleep(pause);
    }
    Ok(start.elapsed().as_secs_f64())
}
