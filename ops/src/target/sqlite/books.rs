//! The run's books in the file: who holds which table, how far a run is, and what became of each change.
//!
//! Every statement that changes a run names its owner, so that a runner whose lease was taken over changes nothing.

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, named_params};

use super::error::{commit_failed, failed};
use crate::clock::Stamp;
use crate::guard::Refusal;
use crate::target::schema::Table;
use crate::target::{Batch, Outcome, RecordedBatch, RunId, RunState, TargetError, outcomes};

const DDL: &str = "
CREATE TABLE IF NOT EXISTS ops_change_runs (
    plan TEXT NOT NULL,
    direction TEXT NOT NULL,
    table_name TEXT NOT NULL,
    owner TEXT,
    lease_until TEXT,
    next INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'closed')),
    started_at TEXT NOT NULL,
    PRIMARY KEY (plan, direction)
);
CREATE TABLE IF NOT EXISTS ops_change_batches (
    plan TEXT NOT NULL,
    direction TEXT NOT NULL,
    \"first\" INTEGER NOT NULL,
    \"rows\" INTEGER NOT NULL,
    outcomes TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (plan, direction, \"first\")
) WITHOUT ROWID;";

const HOLDER: &str = "SELECT plan, lease_until FROM ops_change_runs
    WHERE table_name = :table AND owner <> :owner AND lease_until > :now";

const START: &str = "INSERT INTO ops_change_runs
    (plan, direction, table_name, owner, lease_until, next, state, started_at)
    VALUES (:plan, :direction, :table, :owner, :until, 0, 'open', :now)
    ON CONFLICT (plan, direction) DO UPDATE SET owner = :owner, lease_until = :until";

/// Takes the table, in one transaction.
pub(super) fn begin(
    conn: &Connection,
    table: &Table,
    run: &RunId,
    owner: &str,
    now: Stamp,
    expires: Stamp,
) -> Result<RunState, TargetError> {
    let not_begun = |e| failed("begin a run in the books", e);
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate).map_err(not_begun)?;
    tx.execute_batch(DDL).map_err(not_begun)?;
    let found = state(&tx, run).map_err(not_begun)?;
    if let Some(closed) = found.clone().filter(|state| state.is_closed) {
        return Ok(closed);
    }
    let name = &table.name.name;
    let holder: Option<(String, String)> = tx
        .query_row(HOLDER, named_params! {":table": name, ":owner": owner, ":now": now.db()}, |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()
        .map_err(not_begun)?;
    if let Some((plan, until)) = holder {
        let plan = plan.get(..12).unwrap_or(&plan);
        return Err(TargetError::Lost(format!(
            "another runner holds the table `{name}` for plan {plan} until {until} UTC"
        )));
    }
    // A runner whose lease ran out must find that it lost the table, whichever plan it was on.
    tx.execute(
        "UPDATE ops_change_runs SET owner = NULL, lease_until = NULL WHERE table_name = ?1 AND owner <> ?2",
        (name, owner),
    )
    .and_then(|_| {
        tx.execute(
            START,
            named_params! {
                ":plan": run.plan, ":direction": run.direction, ":table": name, ":owner": owner,
                ":until": expires.db(), ":now": now.db(),
            },
        )
    })
    .map_err(not_begun)?;
    tx.commit().map_err(commit_failed)?;
    Ok(found.unwrap_or(RunState { next: 0, is_closed: false }))
}

fn state(conn: &Connection, run: &RunId) -> Result<Option<RunState>, rusqlite::Error> {
    let sql = "SELECT next, state = 'closed' FROM ops_change_runs WHERE plan = ?1 AND direction = ?2";
    conn.query_row(sql, (&run.plan, &run.direction), |row| {
        Ok(RunState { next: row.get(0)?, is_closed: row.get(1)? })
    })
    .optional()
}

/// Inside the transaction of a batch: refuses unless the lease is still ours and the batch comes after all that are
/// in the books; moves the run behind the batch.
pub(super) fn fence(tx: &Connection, owner: &str, batch: &Batch<'_>) -> Result<(), TargetError> {
    let not_fenced = |e| failed("check the lease of the run", e);
    let run = batch.run;
    let moved = tx
        .prepare_cached(
            "UPDATE ops_change_runs SET next = :behind
             WHERE plan = :plan AND direction = :direction AND owner = :owner AND state = 'open' AND next <= :first",
        )
        .and_then(|mut statement| {
            statement.execute(named_params! {
                ":behind": batch.first + batch.changes.len() as u64, ":first": batch.first,
                ":plan": run.plan, ":direction": run.direction, ":owner": owner,
            })
        })
        .map_err(not_fenced)?;
    if moved == 1 {
        return Ok(());
    }
    let held: Option<u64> = tx
        .query_row(
            "SELECT next FROM ops_change_runs
             WHERE plan = ?1 AND direction = ?2 AND owner = ?3 AND state = 'open'",
            (&run.plan, &run.direction, owner),
            |row| row.get(0),
        )
        .optional()
        .map_err(not_fenced)?;
    match held {
        None => Err(lost()),
        Some(next) => Err(Refusal::new(
            "the books have this batch already",
            format!("a batch from position {next} on"),
            format!("a batch from position {}", batch.first),
        )
        .into()),
    }
}

fn lost() -> TargetError {
    TargetError::Lost("the lease of this run was given back or taken over by another runner".to_owned())
}

/// Inside the transaction of a batch: writes what became of it.
pub(super) fn record(tx: &Connection, batch: &Batch<'_>, found: &[Outcome]) -> Result<(), TargetError> {
    tx.prepare_cached("INSERT INTO ops_change_batches VALUES (?1, ?2, ?3, ?4, ?5, ?6)")
        .and_then(|mut statement| {
            statement.execute((
                &batch.run.plan,
                &batch.run.direction,
                batch.first,
                found.len(),
                outcomes::encode(found),
                batch.now.db(),
            ))
        })
        .map(|_| ())
        .map_err(|e| failed("write the outcomes of a batch into the books", e))
}

/// The batches of a run that end behind `from`; none where there are no books.
pub(super) fn recorded(conn: &Connection, run: &RunId, from: u64) -> Result<Vec<RecordedBatch>, TargetError> {
    let not_read = |e| failed("read the books", e);
    let has_books: bool = conn
        .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'ops_change_batches'", [], |row| {
            row.get(0)
        })
        .map_err(not_read)?;
    if !has_books {
        return Ok(Vec::new());
    }
    let read = || -> Result<Vec<(u64, String)>, rusqlite::Error> {
        conn.prepare(
            "SELECT \"first\", outcomes FROM ops_change_batches
             WHERE plan = ?1 AND direction = ?2 AND \"first\" + \"rows\" > ?3 ORDER BY \"first\"",
        )?
        .query_map((&run.plan, &run.direction, from), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
    };
    let parse = |(first, line): (u64, String)| {
        let outcomes = outcomes::decode(&line).map_err(|e| TargetError::failed("read the books", e))?;
        Ok(RecordedBatch { first, outcomes })
    };
    read().map_err(not_read)?.into_iter().map(parse).collect()
}

/// Moves the end of the lease.
pub(super) fn renew(conn: &Connection, run: &RunId, owner: &str, expires: Stamp) -> Result<(), TargetError> {
    let sql = "UPDATE ops_change_runs SET lease_until = ?4
        WHERE plan = ?1 AND direction = ?2 AND owner = ?3 AND state = 'open'";
    let changed = conn.execute(sql, (&run.plan, &run.direction, owner, expires.db()));
    match changed.map_err(|e| failed("renew the lease", e))? {
        0 => Err(lost()),
        _ => Ok(()),
    }
}

/// Gives the table back.
pub(super) fn close(conn: &Connection, run: &RunId, owner: &str, is_done: bool) -> Result<(), TargetError> {
    let sql = "UPDATE ops_change_runs SET owner = NULL, lease_until = NULL, state = iif(?4, 'closed', state)
        WHERE plan = ?1 AND direction = ?2 AND owner = ?3 AND state = 'open'";
    let changed = conn.execute(sql, (&run.plan, &run.direction, owner, is_done));
    match changed.map_err(|e| failed("give the table back", e))? {
        0 => Err(lost()),
        _ => Ok(()),
    }
}
