//! Upserts into a PostgreSQL table, and the table itself.

use std::fs::File;
use std::io::Write;
use std::time::Instant;

use postgres::types::ToSql;
use postgres::{Client, NoTls};

use crate::data::Item;
use crate::{Failure, UPDATES};

const DDL: &str = "id text NOT NULL PRIMARY KEY, name text NOT NULL, description text, tone text, depth bigint, \
    weight double precision, updated_at text, meta text";

fn connect(url: &str) -> Result<Client, Failure> {
    Ok(Client::connect(url, NoTls)?)
}

/// Makes `items` and a copy of it, filled from a file.
pub(crate) fn load(url: &str, file: &str) -> Result<(), Failure> {
    drop_all(url)?;
    let mut client = connect(url)?;
    client.batch_execute(&format!("CREATE TABLE items ({DDL}); CREATE TABLE items_origin (LIKE items)"))?;
    let mut copy = client.copy_in("COPY items_origin FROM STDIN")?;
    std::io::copy(&mut File::open(file)?, &mut copy)?;
    copy.finish()?;
    client.batch_execute("VACUUM ANALYZE items_origin")?;
    reset(url)?;
    Ok(client.batch_execute("NOTIFY pgrst, 'reload schema'")?)
}

/// Makes `items` what it was, as new, with nothing left to do for the server.
pub(crate) fn reset(url: &str) -> Result<(), Failure> {
    let mut client = connect(url)?;
    for table in ["ops_change_runs", "ops_change_batches"] {
        if client.query_one("SELECT to_regclass($1::text) IS NOT NULL", &[&table])?.get(0) {
            client.batch_execute(&format!("TRUNCATE {table}"))?;
        }
    }
    client.batch_execute(
        "BEGIN; TRUNCATE items; ALTER TABLE items DROP CONSTRAINT items_pkey;
         INSERT INTO items SELECT * FROM items_origin; ALTER TABLE items ADD PRIMARY KEY (id); COMMIT",
    )?;
    client.batch_execute("VACUUM ANALYZE items")?;
    Ok(client.batch_execute("CHECKPOINT")?)
}

/// Removes what `load` made.
pub(crate) fn drop_all(url: &str) -> Result<(), Failure> {
    Ok(connect(url)?.batch_execute("DROP TABLE IF EXISTS items, items_origin")?)
}

/// What tells two tables apart, whatever the order of their rows.
pub(crate) fn digest(url: &str) -> Result<String, Failure> {
    let sql = "SELECT concat_ws(' ', count(*), sum(depth), sum(length(description)), sum(weight),
        sum(length(meta)), sum(hashtext(items::text)::bigint)) FROM items";
    Ok(connect(url)?.query_one(sql, &[])?.get(0))
}

fn parameters(item: &Item) -> [&(dyn ToSql + Sync); 8] {
    let Item { id, name, description, tone, depth, weight, updated_at, meta } = item;
    [id, name, description, tone, depth, weight, updated_at, meta]
}

/// A prepared statement of many rows a batch.
pub(crate) fn values(url: &str, batch: usize, items: &[Item]) -> Result<f64, Failure> {
    let mut client = connect(url)?;
    let sql = |rows: usize| {
        let marks = |row: usize| (1..=8).map(|k| format!("${}", row * 8 + k)).collect::<Vec<_>>().join(", ");
        let rows: Vec<String> = (0..rows).map(|row| format!("({})", marks(row))).collect();
        format!("INSERT INTO items VALUES {} ON CONFLICT (id) DO UPDATE SET {UPDATES}", rows.join(", "))
    };
    let statement = client.prepare(&sql(batch))?;
    let start = Instant::now();
    for rows in items.chunks(batch) {
        let values: Vec<&(dyn ToSql + Sync)> = rows.iter().flat_map(parameters).collect();
        if rows.len() == batch {
            client.execute(&statement, &values)?;
        } else {
            client.execute(&sql(rows.len()), &values)?;
        }
    }
    Ok(start.elapsed().as_secs_f64())
}

/// A prepared statement over arrays a batch.
pub(crate) fn unnest(url: &str, batch: usize, items: &[Item]) -> Result<f64, Failure> {
    let mut client = connect(url)?;
    let types = ["text", "text", "text", "text", "bigint", "double precision", "text", "text"];
    let arrays: Vec<String> = (1..).zip(types).map(|(n, name)| format!("${n}::{name}[]")).collect();
    let statement = client.prepare(&format!(
        "INSERT INTO items SELECT * FROM unnest({}) ON CONFLICT (id) DO UPDATE SET {UPDATES}",
        arrays.join(", ")
    ))?;
    let start = Instant::now();
    for rows in items.chunks(batch) {
        let texts = |cell: fn(&Item) -> &str| rows.iter().map(cell).collect::<Vec<&str>>();
        let depths: Vec<i64> = rows.iter().map(|i| i.depth).collect();
        let weights: Vec<f64> = rows.iter().map(|i| i.weight).collect();
        let metas: Vec<Option<&str>> = rows.iter().map(|i| i.meta.as_deref()).collect();
        let (ids, names, descriptions, tones, times) = (
            texts(|i| &i.id),
            texts(|i| &i.name),
            texts(|i| &i.description),
            texts(|i| &i.tone),
            texts(|i| &i.updated_at),
        );
        client
            .execute(&statement, &[&ids, &names, &descriptions, &tones, &depths, &weights, &times, &metas])?;
    }
    Ok(start.elapsed().as_secs_f64())
}

/// A `COPY` into a temporary table and one statement from there a batch.
pub(crate) fn copy(url: &str, batch: usize, items: &[Item]) -> Result<f64, Failure> {
    let mut client = connect(url)?;
    client.batch_execute("CREATE TEMP TABLE incoming (LIKE items) ON COMMIT DELETE ROWS")?;
    let start = Instant::now();
    for rows in items.chunks(batch) {
        let mut transaction = client.transaction()?;
        let mut copy = transaction.copy_in("COPY incoming FROM STDIN")?;
        let mut text = Vec::new();
        for Item { id, name, description, tone, depth, weight, updated_at, meta } in rows {
            let meta = meta.as_deref().unwrap_or("\\N");
            writeln!(text, "{id}\t{name}\t{description}\t{tone}\t{depth}\t{weight}\t{updated_at}\t{meta}")?;
        }
        copy.write_all(&text)?;
        copy.finish()?;
        transaction.execute(
            &format!("INSERT INTO items SELECT * FROM incoming ON CONFLICT (id) DO UPDATE SET {UPDATES}"),
            &[],
        )?;
        transaction.commit()?;
    }
    Ok(start.elapsed().as_secs_f64())
}

fn row_sql() -> String {
    let marks = "$1, $2, $3, $4, $5, $6, $7, $8";
    format!("INSERT INTO items VALUES ({marks}) ON CONFLICT (id) DO UPDATE SET {UPDATES}")
}

/// A prepared statement a row, a transaction a batch.
pub(crate) fn rows_in_transactions(url: &str, batch: usize, items: &[Item]) -> Result<f64, Failure> {
    let mut client = connect(url)?;
    let statement = client.prepare(&row_sql())?;
    let start = Instant::now();
    for rows in items.chunks(batch) {
        let mut transaction = client.transaction()?;
        for item in rows {
            transaction.execute(&statement, &parameters(item))?;
        }
        transaction.commit()?;
    }
    Ok(start.elapsed().as_secs_f64())
}

/// A prepared statement and a transaction a row.
pub(crate) fn rows(url: &str, items: &[Item]) -> Result<f64, Failure> {
    let mut client = connect(url)?;
    let statement = client.prepare(&row_sql())?;
    let start = Instant::now();
    for item in items {
        client.execute(&statement, &parameters(item))?;
    }
    Ok(start.elapsed().as_secs_f64())
}
