//! The run's books in the database: who holds which table, how far a run is, and what became of each change.
//!
//! The tables are found along the search path and made in its first schema, where `ops_lineage` is. Every statement that
//! changes a run names its owner, so that a runner whose lease was taken over changes nothing.

use ::postgres::{Client, GenericClient, IsolationLevel, SimpleQueryMessage, Transaction};

use super::fault::Fault;
use crate::clock::Stamp;
use crate::guard::Refusal;
use crate::target::schema::TableName;
use crate::target::{Batch, Outcome, RecordedBatch, RunId, RunState, TargetError, outcomes};

const DDL: &str = include_str!("../../../../migrations/postgres/change_books.sql");

/// Of two runners that begin at once the second waits and then sees the first. Any number that no other program uses as
/// an advisory lock will do: these are the letters `ops_chan`.
const LOCK: i64 = i64::from_be_bytes(*b"ops_chan");

/// An instant as the server reads it.
fn instant(stamp: Stamp) -> String {
    format!("{}+00", stamp.db())
}

/// Takes the table, in one transaction.
pub(super) fn begin(
    client: &mut Client,
    table: &TableName,
    run: &RunId,
    owner: &str,
    now: Stamp,
    expires: Stamp,
) -> Result<RunState, Fault> {
    let builder = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted).read_only(false);
    let mut tx = builder.start()?;
    tx.execute("SELECT pg_catalog.pg_advisory_xact_lock($1)", &[&LOCK])?;
    if !has_books(&mut tx)? {
        tx.batch_execute(DDL)?;
    }
    let name = table.to_string();
    let found = tx.query_opt(
        "SELECT next, state = 'closed', table_name FROM ops_change_runs WHERE plan = $1 AND direction = $2 FOR UPDATE",
        &[&run.plan, &run.direction],
    )?;
    if let Some(about) = found.as_ref().map(|row| row.get::<_, String>(2)).filter(|about| *about != name) {
        return Err(Refusal::new("the plan has a run in the books", name, about).into());
    }
    let state = found.map_or(RunState { next: 0, is_closed: false }, |row| RunState {
        next: row.get::<_, i64>(0).unsigned_abs(),
        is_closed: row.get(1),
    });
    if state.is_closed {
        return Ok(state);
    }
    refuse_if_held(&mut tx, &name, owner, now)?;
    // A runner whose lease ran out must find that it lost the table, whichever plan it is on.
    tx.execute(
        "UPDATE ops_change_runs SET owner = NULL, lease_until = NULL WHERE table_name = $1 AND owner <> $2",
        &[&name, &owner],
    )?;
    tx.execute(
        "INSERT INTO ops_change_runs (plan, direction, table_name, owner, lease_until, next, state, started_at) \
         VALUES ($1, $2, $3, $4, $5::text::timestamptz, 0, 'open', $6::text::timestamptz) \
         ON CONFLICT (plan, direction) DO UPDATE SET owner = excluded.owner, lease_until = excluded.lease_until",
        &[&run.plan, &run.direction, &name, &owner, &instant(expires), &instant(now)],
    )?;
    tx.commit()?;
    Ok(state)
}

fn refuse_if_held(tx: &mut Transaction<'_>, table: &str, owner: &str, now: Stamp) -> Result<(), Fault> {
    let holder = tx.query_opt(
        "SELECT left(plan, 12), lease_until::text FROM ops_change_runs \
         WHERE table_name = $1 AND owner <> $2 AND lease_until > $3::text::timestamptz LIMIT 1",
        &[&table, &owner, &instant(now)],
    )?;
    let Some(holder) = holder else { return Ok(()) };
    let (plan, until): (String, String) = (holder.get(0), holder.get(1));
    let why = format!("another runner holds the table `{table}` for plan {plan} until {until}");
    Err(TargetError::Lost(why).into())
}

fn has_books(client: &mut impl GenericClient) -> Result<bool, Fault> {
    let sql = "SELECT pg_catalog.to_regclass('ops_change_runs') IS NOT NULL \
         AND pg_catalog.to_regclass('ops_change_batches') IS NOT NULL";
    Ok(client.query_one(sql, &[])?.get(0))
}

/// A text as a literal. `standard_conforming_strings` is on in every session of ours.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The run of a batch, as a condition.
fn of(run: &RunId) -> String {
    format!("plan = {} AND direction = {}", literal(&run.plan), literal(&run.direction))
}

/// Opens the transaction of a batch where it `begins` one, in one message with the lock of the run: refuses unless the lease is still ours and
/// the batch comes after all that are in the books, and moves the run behind the batch.
pub(super) fn fence(client: &mut Client, owner: &str, batch: &Batch<'_>, begins: bool) -> Result<(), Fault> {
    let held = format!("{} AND owner = {} AND state = 'open'", of(batch.run), literal(owner));
    let behind = batch.first + batch.changes.len() as u64;
    let begin = if begins { "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; " } else { "" };
    let sql = format!(
        "{begin}\
         UPDATE ops_change_runs SET next = {behind} WHERE {held} AND next <= {}",
        batch.first
    );
    if let Some(SimpleQueryMessage::CommandComplete(1)) = client.simple_query(&sql)?.last() {
        return Ok(());
    }
    let row = client.query_opt(&format!("SELECT next FROM ops_change_runs WHERE {held}"), &[])?;
    let Some(next) = row.map(|row| row.get::<_, i64>(0)) else { return Err(lost().into()) };
    Err(Refusal::new(
        "the books have this batch already",
        format!("a batch from position {next} on"),
        format!("a batch from position {}", batch.first),
    )
    .into())
}

/// What a runner is told that does not hold its table.
pub(super) fn lost() -> TargetError {
    TargetError::Lost("the lease of this run was given back or taken over by another runner".to_owned())
}

/// The statement that writes what became of a batch, for its transaction.
pub(super) fn record(batch: &Batch<'_>, found: &[Outcome]) -> String {
    format!(
        "INSERT INTO ops_change_batches (plan, direction, first, rows, outcomes, at) \
         VALUES ({}, {}, {}, {}, {}, {})",
        literal(&batch.run.plan),
        literal(&batch.run.direction),
        batch.first,
        found.len(),
        literal(&outcomes::encode(found)),
        literal(&instant(batch.now)),
    )
}

/// The batches of a run that end behind `from`; none where there are no books.
pub(super) fn recorded(
    tx: &mut Transaction<'_>,
    run: &RunId,
    from: u64,
) -> Result<Vec<RecordedBatch>, Fault> {
    if !has_books(tx)? {
        return Ok(Vec::new());
    }
    let from = i64::try_from(from).unwrap_or(i64::MAX);
    let rows = tx.query(
        "SELECT first, outcomes::text FROM ops_change_batches \
         WHERE plan = $1 AND direction = $2 AND first + rows > $3 ORDER BY first",
        &[&run.plan, &run.direction, &from],
    )?;
    let parse = |row: &::postgres::Row| {
        let outcomes = outcomes::decode(row.get(1)).map_err(|e| TargetError::failed("read the books", e))?;
        Ok(RecordedBatch { first: row.get::<_, i64>(0).unsigned_abs(), outcomes })
    };
    rows.iter().map(parse).collect()
}

/// Moves the end of the lease.
pub(super) fn renew(client: &mut Client, run: &RunId, owner: &str, expires: Stamp) -> Result<(), Fault> {
    let set = format!("lease_until = {}", literal(&instant(expires)));
    change(client, run, owner, &set)
}

/// Gives the table back.
pub(super) fn close(client: &mut Client, run: &RunId, owner: &str, is_done: bool) -> Result<(), Fault> {
    let state = if is_done { "closed" } else { "open" };
    change(client, run, owner, &format!("owner = NULL, lease_until = NULL, state = '{state}'"))
}

fn change(client: &mut Client, run: &RunId, owner: &str, set: &str) -> Result<(), Fault> {
    if !has_books(client)? {
        return Err(lost().into());
    }
    let held = format!("{} AND owner = {} AND state = 'open'", of(run), literal(owner));
    match client.execute(&format!("UPDATE ops_change_runs SET {set} WHERE {held}"), &[])? {
        1 => Ok(()),
        _ => Err(lost().into()),
    }
}
