//! Applies a batch in one transaction that holds the write lock from its first statement on.
//!
//! Under that lock, reading a row, comparing it with what the plan saw and writing it is a compare-and-swap: nobody
//! can come between. The comparison is made here and not in SQL, where affinities and collations would decide what
//! is equal.

use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection, Transaction, TransactionBehavior};

use super::books;
use super::catalog::{Facts, quote, quoted};
use super::cell::{Bound, borrow, is_exactly};
use super::error::{commit_failed, failed, is_about_the_row, reason};
use crate::guard::Refusal;
use crate::target::{Batch, Batches, Change, Outcome, RunId, TargetError};
use crate::value::{Row, Value};

/// Applies the batch in a transaction of its own, with its outcomes in the books.
pub(super) fn apply(
    conn: &Connection,
    facts: &mut Option<Facts>,
    owner: &str,
    batch: &Batch<'_>,
) -> Result<Vec<Outcome>, TargetError> {
    let tx = begin(conn)?;
    let outcomes = part(&tx, facts, owner, batch)?;
    tx.commit().map_err(commit_failed)?;
    Ok(outcomes)
}

/// Applies the batches in one transaction, with their outcomes in the books.
pub(super) fn apply_all(
    conn: &Connection,
    facts: &mut Option<Facts>,
    owner: &dyn Fn(&RunId) -> Result<String, TargetError>,
    batches: &mut dyn Batches,
) -> Result<(), TargetError> {
    let tx = begin(conn)?;
    while let Some(batch) = batches.take_next()? {
        let outcomes = part(&tx, facts, &owner(batch.run)?, &batch)?;
        batches.came_to(outcomes)?;
    }
    tx.commit().map_err(commit_failed)
}

fn begin(conn: &Connection) -> Result<Transaction<'_>, TargetError> {
    Transaction::new_unchecked(conn, TransactionBehavior::Immediate).map_err(|e| failed("begin a batch", e))
}

fn part(
    tx: &Transaction<'_>,
    facts: &mut Option<Facts>,
    owner: &str,
    batch: &Batch<'_>,
) -> Result<Vec<Outcome>, TargetError> {
    let facts = Facts::refresh(facts, tx, batch.table, batch.key)?;
    books::fence(tx, owner, batch)?;
    let outcomes = Applier::new(tx, facts, batch)?.run()?;
    books::record(tx, batch, &outcomes)?;
    Ok(outcomes)
}

/// Runs one statement in a transaction of its own; how many rows it changed.
pub(super) fn execute(conn: &Connection, sql: &str, parameters: &[Value]) -> Result<u64, TargetError> {
    let not_run = |e: rusqlite::Error| {
        if is_about_the_row(&e) {
            return TargetError::Rejected { reason: reason(&e, "") };
        }
        failed("run the statement of a step", e)
    };
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate).map_err(not_run)?;
    let before = tx.total_changes();
    let mut statement = tx.prepare_cached(sql).map_err(not_run)?;
    if statement.parameter_count() > parameters.len() {
        let found = format!("{} parameters", statement.parameter_count());
        return Err(Refusal::new("the statement of a step cannot be run", "$1 alone", found).into());
    }
    for (i, value) in parameters.iter().enumerate().take(statement.parameter_count()) {
        statement.raw_bind_parameter(i + 1, Bound(value)).map_err(not_run)?;
    }
    let mut rows = statement.raw_query();
    while rows.next().map_err(not_run)?.is_some() {}
    drop(rows);
    drop(statement);
    let changed = tx.total_changes() - before;
    tx.commit().map_err(commit_failed)?;
    Ok(changed)
}

/// What a row is compared with: `None` for a column that does not matter.
type Wanted<'a> = &'a dyn Fn(usize) -> Option<&'a Value>;

/// The row that is there now.
enum Live {
    Gone,
    Before,
    After,
    Other(Row),
}

/// What a statement did.
enum Written {
    /// Nothing: a trigger told it to.
    Nothing,
    /// What was sent.
    AsSent,
    /// This, before any trigger that comes after.
    Row(Row),
}

/// Why a change was not made.
enum Stop {
    /// The database refused the row.
    Row(String),
    /// The batch cannot go on.
    Batch(TargetError),
}

impl From<TargetError> for Stop {
    fn from(error: TargetError) -> Self {
        Self::Batch(error)
    }
}

struct Applier<'c, 'b> {
    conn: &'c Connection,
    facts: &'c Facts,
    batch: &'b Batch<'b>,
    /// The columns of the batch as SQL text.
    names: Vec<String>,
    /// Where the key's columns are in the rows of the batch.
    key: Vec<usize>,
    find: CachedStatement<'c>,
    /// By the columns that they write, and whether they return the row.
    statements: HashMap<Vec<usize>, CachedStatement<'c>>,
    /// The columns that the change at hand writes.
    written: Vec<usize>,
    /// Applied changes whose rows are read again at the end, with their keys.
    echoes: Vec<(usize, Row)>,
}

impl<'c, 'b> Applier<'c, 'b> {
    fn new(conn: &'c Connection, facts: &'c Facts, batch: &'b Batch<'b>) -> Result<Self, TargetError> {
        let names: Vec<String> =
            batch.columns.iter().map(|column| quote(&batch.table.columns[*column].name)).collect();
        let place = |column: &usize| batch.columns.iter().position(|c| c == column);
        let key: Option<Vec<usize>> = batch.key.iter().map(place).collect();
        let key = key.filter(|_| batch.table.is_key(batch.key)).ok_or_else(|| {
            let expected = "the primary key or a unique key that is never NULL, all of it in the batch";
            let found = batch.key.iter().map(|column| batch.table.columns[*column].name.as_str());
            let found = found.collect::<Vec<_>>().join(", ");
            Refusal::new("rows are changed by a key only", expected, format!("columns {found}"))
        })?;
        let (table, condition) = (quoted(batch.table), &facts.condition);
        let sql = format!("SELECT {} FROM {table} WHERE {condition}", names.join(", "));
        let find = prepare(conn, &sql)?;
        let (statements, written, echoes) = (HashMap::new(), Vec::new(), Vec::new());
        Ok(Self { conn, facts, batch, names, key, find, statements, written, echoes })
    }

    fn run(mut self) -> Result<Vec<Outcome>, TargetError> {
        let mut outcomes = Vec::with_capacity(self.batch.changes.len());
        let mut refused = Vec::new();
        for (i, change) in self.batch.changes.iter().enumerate() {
            let outcome = self.change(i, change)?;
            if matches!(outcome, Outcome::Failed { .. }) {
                refused.push(i);
            }
            outcomes.push(outcome);
        }
        // A refused row may have waited for another one: for a value that it gave up, for a parent.
        while !refused.is_empty() {
            let before = refused.len();
            let mut still = Vec::new();
            for i in refused {
                outcomes[i] = self.change(i, &self.batch.changes[i])?;
                if matches!(outcomes[i], Outcome::Failed { .. }) {
                    still.push(i);
                }
            }
            refused = if still.len() < before { still } else { Vec::new() };
        }
        self.listen(&mut outcomes)?;
        Ok(outcomes)
    }

    /// One change. Where triggers could leave half of a refused one behind, it has a savepoint of its own.
    fn change(&mut self, i: usize, change: &'b Change) -> Result<Outcome, TargetError> {
        let guard = |sql: &str| {
            if !self.facts.has_echo {
                return Ok(());
            }
            self.conn.prepare_cached(sql).and_then(|mut statement| statement.execute([])).map(|_| ())
        };
        let not_guarded = |e| failed("set a savepoint", e);
        guard("SAVEPOINT ops_row").map_err(not_guarded)?;
        let made = match change {
            _ if self.has_null_key(change) => Err(Stop::Row("the key is NULL".to_owned())),
            Change::Insert { after } => self.insert(i, after),
            Change::Update { before, after } => self.update(i, before, after),
            Change::Delete { before } => self.delete(before),
        };
        let reason = match made {
            Ok(outcome) => {
                guard("RELEASE ops_row").map_err(not_guarded)?;
                return Ok(outcome);
            }
            Err(Stop::Batch(error)) => return Err(error),
            // A trigger may end the transaction of whoever woke it.
            Err(Stop::Row(reason)) if self.conn.is_autocommit() => {
                return Err(TargetError::Rejected { reason });
            }
            Err(Stop::Row(reason)) => reason,
        };
        guard("ROLLBACK TO ops_row").and_then(|()| guard("RELEASE ops_row")).map_err(not_guarded)?;
        self.why(change, reason)
    }

    /// The outcome of a change that the database refused. An insert was refused because there is a row with its key,
    /// if there is one, whatever else the database says.
    fn why(&mut self, change: &'b Change, reason: String) -> Result<Outcome, TargetError> {
        let Change::Insert { after } = change else { return Ok(Outcome::Failed { reason }) };
        let value = |column: usize| after[column].as_ref();
        match self.live(&value, None, Some(&value), false) {
            Ok(Live::After | Live::Before) => Ok(Outcome::Already),
            Ok(Live::Other(found)) => Ok(Outcome::Drifted { found: Some(found) }),
            Ok(Live::Gone) => Ok(Outcome::Failed { reason }),
            Err(Stop::Row(reason)) => Ok(Outcome::Failed { reason }),
            Err(Stop::Batch(error)) => Err(error),
        }
    }

    /// A row without a key would not be found again.
    fn has_null_key(&self, change: &Change) -> bool {
        let is_null = |value: &Value| value.is_null();
        match change {
            Change::Insert { after } => self.key.iter().any(|k| after[*k].as_ref().is_some_and(is_null)),
            Change::Update { before, .. } | Change::Delete { before } => {
                self.key.iter().any(|k| is_null(&before[*k]))
            }
        }
    }

    fn insert(&mut self, i: usize, after: &'b [Option<Value>]) -> Result<Outcome, Stop> {
        self.written.clear();
        self.written.extend((0..after.len()).filter(|c| after[*c].is_some()));
        let value = |column: usize| after[column].as_ref();
        let is_whole = self.written.len() == after.len();
        let asks = !is_whole || self.facts.has_echo || !self.keeps(&value);
        match self.write(Verb::Insert, asks, &value, &[])? {
            Written::AsSent => Ok(Outcome::Applied { stored: None }),
            Written::Row(stored) => Ok(self.applied(i, stored, &value)),
            Written::Nothing => Err(ignored("insert")),
        }
    }

    fn update(&mut self, i: usize, before: &'b Row, after: &'b Row) -> Result<Outcome, Stop> {
        if self.key.iter().any(|k| !before[*k].as_ref().same(after[*k].as_ref())) {
            return Err(Stop::Row("the change would give the row another key".to_owned()));
        }
        let (seen, value) = (|column: usize| Some(&before[column]), |column: usize| Some(&after[column]));
        match self.live(&seen, Some(&seen), Some(&value), true)? {
            Live::Gone => return Ok(Outcome::Drifted { found: None }),
            Live::After => return Ok(Outcome::Already),
            Live::Other(found) => return Ok(Outcome::Drifted { found: Some(found) }),
            Live::Before => {}
        }
        self.written.clear();
        self.written.extend((0..after.len()).filter(|c| !before[*c].as_ref().same(after[*c].as_ref())));
        let asks = self.facts.has_echo || !self.keeps(&value);
        match self.write(Verb::Update, asks, &value, before)? {
            Written::AsSent => Ok(Outcome::Applied { stored: None }),
            Written::Row(stored) => Ok(self.applied(i, stored, &value)),
            Written::Nothing => Err(ignored("update")),
        }
    }

    fn delete(&mut self, before: &'b Row) -> Result<Outcome, Stop> {
        let seen = |column: usize| Some(&before[column]);
        match self.live(&seen, Some(&seen), None, true)? {
            Live::Gone => return Ok(Outcome::Already),
            Live::Other(found) => return Ok(Outcome::Drifted { found: Some(found) }),
            Live::Before | Live::After => {}
        }
        self.written.clear();
        match self.write(Verb::Delete, false, &|_| None, before)? {
            Written::Nothing => Err(ignored("delete")),
            _ => Ok(Outcome::Applied { stored: None }),
        }
    }

    /// Whether every value that is written is certain to be stored as it is.
    fn keeps(&self, value: Wanted<'b>) -> bool {
        let keeps = |c: &usize| {
            value(*c).is_none_or(|value| self.facts.affinities[self.batch.columns[*c]].keeps(value))
        };
        self.written.iter().all(keeps)
    }

    /// The row that is there now under the key that `key` has, and what it is. `exact` takes no other spelling of
    /// the key for it.
    fn live(
        &mut self,
        key: Wanted<'_>,
        before: Option<Wanted<'_>>,
        after: Option<Wanted<'_>>,
        exact: bool,
    ) -> Result<Live, Stop> {
        let not_found = |e| Stop::Batch(failed("look for a row", e));
        for (number, place) in self.key.iter().enumerate() {
            match key(*place) {
                Some(value) => self.find.raw_bind_parameter(number + 1, Bound(value)).map_err(not_found)?,
                None => return Ok(Live::Gone),
            }
        }
        let width = self.batch.columns.len();
        let mut rows = self.find.raw_query();
        while let Some(row) = rows.next().map_err(not_found)? {
            let is = |wanted: Wanted<'_>, mut columns: std::ops::Range<usize>| -> bool {
                columns.all(|c| {
                    wanted(c).is_none_or(|value| row.get_ref(c).is_ok_and(|stored| is_exactly(stored, value)))
                })
            };
            if before.is_some_and(|before| is(before, 0..width)) {
                let same = after.is_some_and(|after| is(after, 0..width));
                return Ok(if same { Live::After } else { Live::Before });
            }
            if after.is_some_and(|after| is(after, 0..width)) {
                return Ok(Live::After);
            }
            if !exact || self.key.iter().all(|k| is(key, *k..*k + 1)) {
                return Ok(Live::Other(owned(row, self.batch)?));
            }
        }
        Ok(Live::Gone)
    }

    /// Writes the columns in `self.written`; with `asks`, gives the row.
    fn write(
        &mut self,
        verb: Verb,
        asks: bool,
        value: Wanted<'_>,
        before: &[Value],
    ) -> Result<Written, Stop> {
        let shape = self.written.len();
        self.written.extend([verb as usize, usize::from(asks)]);
        if !self.statements.contains_key(&self.written) {
            let sql = self.sql(verb, &self.written[..shape], asks);
            self.statements.insert(self.written.clone(), prepare(self.conn, &sql)?);
        }
        let statement = self.statements.get_mut(&self.written).expect("it was just prepared");
        self.written.truncate(shape);
        let (triggers, conn) = (&self.facts.triggers, self.conn);
        let refused = |e: rusqlite::Error| {
            match (is_about_the_row(&e), conn.is_autocommit()) {
                (true, false) => Stop::Row(reason(&e, triggers)),
                // A trigger rolled everything back; nothing may follow as if the transaction were still there.
                (true, true) => Stop::Batch(TargetError::Rejected { reason: reason(&e, triggers) }),
                (false, _) => Stop::Batch(failed("change a row", e)),
            }
        };
        let keys = if before.is_empty() { &[] } else { self.key.as_slice() };
        let parameters =
            keys.iter().map(|k| &before[*k]).chain(self.written.iter().filter_map(|c| value(*c)));
        for (number, value) in parameters.enumerate() {
            statement.raw_bind_parameter(number + 1, Bound(value)).map_err(refused)?;
        }
        if !asks {
            let changed = statement.raw_execute().map_err(refused)?;
            return Ok(if changed > 0 { Written::AsSent } else { Written::Nothing });
        }
        let mut rows = statement.raw_query();
        let Some(row) = rows.next().map_err(refused)? else { return Ok(Written::Nothing) };
        let stored = owned(row, self.batch)?;
        // What a statement refuses may come after its first row.
        rows.next().map_err(refused)?;
        Ok(Written::Row(stored))
    }

    fn sql(&self, verb: Verb, written: &[usize], asks: bool) -> String {
        let (table, condition) = (quoted(self.batch.table), &self.facts.condition);
        let list = |items: Vec<String>| items.join(", ");
        // `OR ABORT` stands against what a constraint may say in the schema: its `ON CONFLICT REPLACE` would remove
        // another row.
        let mut sql = match verb {
            Verb::Insert if written.is_empty() => format!("INSERT OR ABORT INTO {table} DEFAULT VALUES"),
            Verb::Insert => {
                let parameters = (1..=written.len()).map(|n| format!("?{n}")).collect();
                let names = list(written.iter().map(|c| self.names[*c].clone()).collect());
                format!("INSERT OR ABORT INTO {table} ({names}) VALUES ({})", list(parameters))
            }
            Verb::Update => {
                let first = self.key.len() + 1;
                let set =
                    written.iter().enumerate().map(|(n, c)| format!("{} = ?{}", self.names[*c], first + n));
                format!("UPDATE OR ABORT {table} SET {} WHERE {condition}", list(set.collect()))
            }
            Verb::Delete => format!("DELETE FROM {table} WHERE {condition}"),
        };
        if asks {
            sql.push_str(&format!(" RETURNING {}", self.names.join(", ")));
        }
        sql
    }

    /// The outcome of a change that stored this row.
    fn applied(&mut self, i: usize, stored: Row, sent: Wanted<'_>) -> Outcome {
        if self.facts.has_echo {
            let key = self.key.iter().map(|k| stored[*k].clone()).collect();
            self.echoes.push((i, key));
        }
        compared(stored, sent)
    }

    /// Reads the rows again that triggers may have changed after they were written, also those of other rows.
    fn listen(&mut self, outcomes: &mut [Outcome]) -> Result<(), TargetError> {
        for (i, key) in std::mem::take(&mut self.echoes) {
            let places = self.key.clone();
            let by_key = |column: usize| places.iter().position(|k| *k == column).map(|at| &key[at]);
            let stored = match self.live(&by_key, None, None, true) {
                Ok(Live::Other(row)) => row,
                Ok(_) => {
                    outcomes[i] = Outcome::Drifted { found: None };
                    continue;
                }
                Err(Stop::Batch(error)) => return Err(error),
                Err(Stop::Row(reason)) => return Err(TargetError::Rejected { reason }),
            };
            let sent = |column: usize| match &self.batch.changes[i] {
                Change::Insert { after } => after[column].as_ref(),
                Change::Update { after, .. } => Some(&after[column]),
                Change::Delete { .. } => None,
            };
            outcomes[i] = compared(stored, &sent);
        }
        Ok(())
    }
}

/// The outcome of a change after which the row is `stored`.
fn compared(stored: Row, sent: Wanted<'_>) -> Outcome {
    let same = |(c, value): (usize, &Value)| sent(c).is_some_and(|sent| sent.as_ref().same(value.as_ref()));
    let is_as_sent = stored.iter().enumerate().all(same);
    Outcome::Applied { stored: (!is_as_sent).then_some(stored) }
}

#[derive(Debug, Clone, Copy)]
enum Verb {
    Insert,
    Update,
    Delete,
}

fn ignored(verb: &str) -> Stop {
    Stop::Row(format!("a trigger ignored the {verb}"))
}

fn prepare<'c>(conn: &'c Connection, sql: &str) -> Result<CachedStatement<'c>, TargetError> {
    conn.prepare_cached(sql).map_err(|e| failed("prepare a statement", e))
}

/// A copy of a row over the columns of the batch.
fn owned(row: &rusqlite::Row<'_>, batch: &Batch<'_>) -> Result<Row, Stop> {
    let mut values = Row::with_capacity(batch.columns.len());
    for (i, column) in batch.columns.iter().enumerate() {
        let stored = row.get_ref(i).map_err(|e| Stop::Batch(failed("read a row", e)))?;
        let name = &batch.table.columns[*column].name;
        let value = borrow(stored)
            .ok_or_else(|| Stop::Row(format!("column `{name}` holds text that is not UTF-8")))?;
        values.push(value.to_value());
    }
    Ok(values)
}
