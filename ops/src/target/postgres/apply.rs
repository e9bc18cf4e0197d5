//! Applies a batch in one transaction: the lease, the rows and the books.
//!
//! The quick way is a statement for all deletions, one for all updates and one for all inserts of the same columns.
//! When the server refuses a row it refuses the statement, and the batch goes the slow way: what fails is halved until
//! single rows are left, each try behind a savepoint.

use std::collections::HashMap;

use ::postgres::types::ToSql;
use ::postgres::{Client, Row as SqlRow, Statement};

use super::books;
use super::catalog::{Facts, Triggers};
use super::fault::{Fault, may_wait};
use super::rows::{by_key_sql, find, place, typed};
use super::sql::Shape;
use super::value::{AsText, Cells};
use crate::guard::Refusal;
use crate::target::{Batch, Change, Outcome};
use crate::value::{Row, Value, same_row};

/// Prepared statements by their text.
pub(super) type Statements = HashMap<String, Statement>;

/// Tries for a row that is as its change wants it and yet was not touched. The second finds it locked by ourselves; only
/// a trigger can stand in its way then, or somebody who is faster with a key each time.
const PASSES: usize = 3;

/// How far a batch got.
#[derive(Debug)]
pub(super) enum Stop {
    /// The transaction was not to be committed yet.
    Working(Fault),
    /// The commit was sent.
    Committing(Fault),
}

impl<E: Into<Fault>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Working(error.into())
    }
}

/// One transaction's attempt at a batch.
pub(super) struct Applier<'a> {
    pub(super) client: &'a mut Client,
    pub(super) statements: &'a mut Statements,
    pub(super) shape: &'a Shape<'a>,
    pub(super) triggers: Triggers,
    pub(super) owner: &'a str,
    pub(super) batch: &'a Batch<'a>,
    pub(super) part: Part,
}

/// Which part of a transaction a batch is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) is_first: bool,
    pub(super) is_last: bool,
}

impl Part {
    /// The batch is the whole transaction.
    pub(super) const ALL: Self = Self { is_first: true, is_last: true };
}

impl Applier<'_> {
    /// Applies the batch. After an error the transaction may still be open.
    pub(super) fn run(&mut self) -> Result<Vec<Outcome>, Stop> {
        match self.quickly() {
            Err(Stop::Working(fault) | Stop::Committing(fault)) if fault.refused_row().is_some() => {
                self.client.batch_execute("ROLLBACK")?;
                self.slowly()
            }
            result => result,
        }
    }

    fn quickly(&mut self) -> Result<Vec<Outcome>, Stop> {
        books::fence(self.client, self.owner, self.batch, self.part.is_first)?;
        let mut outcomes = self.checked();
        let todo = open(&outcomes);
        self.set(&todo, &mut outcomes)?;
        self.finish(outcomes)
    }

    /// Row by row where that is needed, each try behind a savepoint.
    pub(super) fn slowly(&mut self) -> Result<Vec<Outcome>, Stop> {
        books::fence(self.client, self.owner, self.batch, self.part.is_first)?;
        let mut outcomes = self.checked();
        let mut todo = open(&outcomes);
        // A refused row may have waited for another one: for a value that it gave up, for a parent.
        while !todo.is_empty() {
            self.halves(&todo, &mut outcomes)?;
            let waits =
                |i: &usize| matches!(&outcomes[*i], Some(Outcome::Failed { reason }) if may_wait(reason));
            let waiting: Vec<usize> = todo.iter().copied().filter(waits).collect();
            todo = if waiting.len() < todo.len() { waiting } else { Vec::new() };
        }
        self.finish(outcomes)
    }

    /// The batch with those changes decided that no statement can make.
    fn checked(&self) -> Vec<Option<Outcome>> {
        let key = &self.shape.key;
        let refusal = |change: &Change| match change {
            Change::Insert { after } => {
                let is_given = key.iter().all(|k| after[*k].as_ref().is_some_and(|value| !value.is_null()));
                (!is_given).then_some("the key is not given")
            }
            Change::Update { before, after } => {
                let is_kept = key.iter().all(|k| before[*k].as_ref().same(after[*k].as_ref()));
                (!is_kept).then_some("the change would give the row another key")
            }
            Change::Delete { .. } => None,
        };
        let failed = |reason: &str| Outcome::Failed { reason: reason.to_owned() };
        self.batch.changes.iter().map(|change| refusal(change).map(failed)).collect()
    }

    /// Tries each half of `todo`, and a single row as it is.
    fn halves(&mut self, todo: &[usize], outcomes: &mut [Option<Outcome>]) -> Result<(), Fault> {
        let (left, right) = todo.split_at(todo.len() / 2);
        for part in [left, right] {
            if !part.is_empty() {
                self.part(part, outcomes)?;
            }
        }
        Ok(())
    }

    /// Tries these changes together; when a row of them is refused, the halves.
    fn part(&mut self, todo: &[usize], outcomes: &mut [Option<Outcome>]) -> Result<(), Fault> {
        for i in todo {
            outcomes[*i] = None;
        }
        self.client.batch_execute("SAVEPOINT ops_part")?;
        let tried = self.set(todo, outcomes).and_then(|()| Ok(self.client.batch_execute(CONSTRAINTS)?));
        let Err(fault) = tried else { return Ok(self.client.batch_execute("RELEASE ops_part")?) };
        let Some(reason) = fault.refused_row() else { return Err(fault) };
        self.client.batch_execute("ROLLBACK TO ops_part; RELEASE ops_part")?;
        if let [one] = todo {
            outcomes[*one] = Some(Outcome::Failed { reason });
            return Ok(());
        }
        self.halves(todo, outcomes)
    }

    /// Makes these changes and says what became of each. An error leaves the transaction of no use.
    fn set(&mut self, todo: &[usize], outcomes: &mut [Option<Outcome>]) -> Result<(), Fault> {
        let mut todo = todo.to_vec();
        for _ in 0..PASSES {
            self.write(&todo, outcomes)?;
            todo.retain(|i| outcomes[*i].is_none());
            if todo.is_empty() {
                return Ok(());
            }
            self.look(&todo, outcomes)?;
            todo.retain(|i| outcomes[*i].is_none());
        }
        for i in todo {
            outcomes[i] = Some(Outcome::Failed { reason: "a trigger did not let it happen".to_owned() });
        }
        Ok(())
    }

    /// Deletions come first and inserts last, so that values which must be unique are free before they are taken.
    fn write(&mut self, todo: &[usize], outcomes: &mut [Option<Outcome>]) -> Result<(), Fault> {
        let batch = self.batch;
        let (mut deletes, mut updates, mut set) = (Vec::new(), Vec::new(), vec![false; batch.columns.len()]);
        let mut inserts: Vec<(Vec<usize>, Vec<usize>)> = Vec::new();
        for i in todo {
            match &batch.changes[*i] {
                Change::Delete { .. } => deletes.push(*i),
                Change::Update { before, after } => {
                    let changed = |c: &usize| !before[*c].as_ref().same(after[*c].as_ref());
                    let changed: Vec<usize> = (0..before.len()).filter(changed).collect();
                    // A change that changes nothing needs no statement to be done.
                    if !changed.is_empty() {
                        updates.push(*i);
                    }
                    for c in changed {
                        set[c] = true;
                    }
                }
                Change::Insert { after } => {
                    let given: Vec<usize> = (0..after.len()).filter(|c| after[*c].is_some()).collect();
                    match inserts.iter_mut().find(|(columns, _)| *columns == given) {
                        Some((_, rows)) => rows.push(*i),
                        None => inserts.push((given, vec![*i])),
                    }
                }
            }
        }
        let all: Vec<usize> = (0..batch.columns.len()).collect();
        let set: Vec<usize> = all.iter().copied().filter(|c| set[*c]).collect();
        if !deletes.is_empty() {
            self.execute(&self.shape.delete(), &deletes, &all, &[], outcomes)?;
        }
        if !updates.is_empty() {
            self.execute(&self.shape.update(&set), &updates, &all, &set, outcomes)?;
        }
        for (columns, rows) in inserts {
            self.execute(&self.shape.insert(&columns), &rows, &[], &columns, outcomes)?;
        }
        Ok(())
    }

    /// Runs a statement over the changes `rows`, with these columns of their rows before and after; notes those that it
    /// made.
    fn execute(
        &mut self,
        sql: &str,
        rows: &[usize],
        before: &[usize],
        after: &[usize],
        outcomes: &mut [Option<Outcome>],
    ) -> Result<(), Fault> {
        let batch = self.batch;
        let cells = |columns: &[usize], row: fn(&Change, usize) -> Option<&Value>| -> Vec<Cells> {
            let column = |c: &usize| Cells::of(rows.iter().map(|i| row(&batch.changes[*i], *c)));
            columns.iter().map(column).collect()
        };
        let mut arrays = cells(before, seen);
        arrays.extend(cells(after, wanted));
        let parameters: Vec<&(dyn ToSql + Sync)> = arrays.iter().map(|c| c as &(dyn ToSql + Sync)).collect();
        let statement = prepare(self.client, self.statements, sql)?;
        for row in self.client.query(&statement, &parameters)? {
            if row.get::<_, Option<i64>>(0).is_none() {
                return Err(Fault::Row("a trigger gave the row another key".to_owned()));
            }
            let stored = stored(&row, &self.shape.columns)?;
            outcomes[rows[place(&row)]] = Some(Outcome::Applied { stored });
        }
        Ok(())
    }

    /// The rows that are there under the keys of these changes. With a lock they stay so until the end.
    fn there(&mut self, todo: &[usize], locks: bool) -> Result<Vec<Option<Row>>, Fault> {
        let (shape, batch) = (self.shape, self.batch);
        let key: Vec<&Facts> = shape.key.iter().map(|k| shape.columns[*k]).collect();
        let sql = by_key_sql(batch.table, &key, &shape.columns, locks);
        let statement = prepare(self.client, self.statements, &sql)?;
        let cell =
            |i: &usize, k: usize| seen(&batch.changes[*i], k).or_else(|| wanted(&batch.changes[*i], k));
        let cells: Vec<Cells> =
            shape.key.iter().map(|k| Cells::of(todo.iter().map(|i| cell(i, *k)))).collect();
        let mut there = vec![None; todo.len()];
        for (n, row) in find(self.client, &statement, &cells, &shape.columns)? {
            there[n] = Some(row);
        }
        Ok(there)
    }

    /// Says of changes that were not made why; leaves those open whose rows are as they want them after all.
    fn look(&mut self, todo: &[usize], outcomes: &mut [Option<Outcome>]) -> Result<(), Fault> {
        let there = self.there(todo, true)?;
        for (i, found) in todo.iter().zip(there) {
            outcomes[*i] = match (&self.batch.changes[*i], found) {
                (Change::Insert { .. }, None) => None,
                (Change::Delete { .. }, None) => Some(Outcome::Already),
                (Change::Update { .. }, None) => Some(Outcome::Drifted { found: None }),
                (Change::Insert { after }, Some(row)) if is_given(&row, after) => Some(Outcome::Already),
                (Change::Update { after, .. }, Some(row)) if same_row(&row, after) => Some(Outcome::Already),
                (Change::Update { before, .. } | Change::Delete { before }, Some(row))
                    if same_row(&row, before) =>
                {
                    None
                }
                (_, found) => Some(Outcome::Drifted { found }),
            };
        }
        Ok(())
    }

    /// Reads rows again that triggers may have changed after they were stored.
    fn listen(&mut self, outcomes: &mut [Option<Outcome>]) -> Result<(), Fault> {
        let is_written = |i: &usize| {
            matches!(outcomes[*i], Some(Outcome::Applied { .. }))
                && !matches!(self.batch.changes[*i], Change::Delete { .. })
        };
        let written: Vec<usize> = (0..outcomes.len()).filter(is_written).collect();
        for (i, found) in written.iter().zip(self.there(&written, false)?) {
            let as_sent = |row: &Row| match &self.batch.changes[*i] {
                Change::Insert { after } => after.iter().all(Option::is_some) && is_given(row, after),
                Change::Update { after, .. } => same_row(row, after),
                Change::Delete { .. } => true,
            };
            outcomes[*i] = Some(match found {
                None => Outcome::Drifted { found: None },
                Some(row) => Outcome::Applied { stored: (!as_sent(&row)).then_some(row) },
            });
        }
        Ok(())
    }

    /// Writes the books and commits. What is deferred to the commit is checked before, where a row can be named.
    fn finish(&mut self, mut outcomes: Vec<Option<Outcome>>) -> Result<Vec<Outcome>, Stop> {
        if self.triggers.after {
            self.client.batch_execute(CONSTRAINTS)?;
            self.listen(&mut outcomes)?;
        }
        let outcomes: Vec<Outcome> =
            outcomes.into_iter().map(|o| o.expect("every change was decided")).collect();
        let commit = if self.part.is_last { "; COMMIT" } else { "" };
        let sql = format!("{CONSTRAINTS}; {}{commit}", books::record(self.batch, &outcomes));
        self.client.batch_execute(&sql).map_err(|error| Stop::Committing(error.into()))?;
        Ok(outcomes)
    }
}

/// Runs one statement in a transaction of its own; how many rows it changed.
pub(super) fn execute(client: &mut Client, sql: &str, parameters: &[Value]) -> Result<u64, Fault> {
    let statement = client.prepare(sql)?;
    let count = statement.params().len();
    if count > parameters.len() {
        let found = format!("{count} parameters");
        return Err(Refusal::new("the statement of a step cannot be run", "$1 alone", found).into());
    }
    let texts: Vec<AsText<'_>> = parameters[..count].iter().map(AsText).collect();
    let parameters: Vec<&(dyn ToSql + Sync)> = texts.iter().map(|text| text as &(dyn ToSql + Sync)).collect();
    Ok(client.execute(&statement, &parameters)?)
}

const CONSTRAINTS: &str = "SET CONSTRAINTS ALL IMMEDIATE";

/// Changes that are not decided.
fn open(outcomes: &[Option<Outcome>]) -> Vec<usize> {
    (0..outcomes.len()).filter(|i| outcomes[*i].is_none()).collect()
}

fn seen(change: &Change, column: usize) -> Option<&Value> {
    match change {
        Change::Update { before, .. } | Change::Delete { before } => Some(&before[column]),
        Change::Insert { .. } => None,
    }
}

fn wanted(change: &Change, column: usize) -> Option<&Value> {
    match change {
        Change::Update { after, .. } => Some(&after[column]),
        Change::Insert { after } => after[column].as_ref(),
        Change::Delete { .. } => None,
    }
}

/// Whether a row has what an insert gives; what it does not give cannot differ.
fn is_given(row: &[Value], after: &[Option<Value>]) -> bool {
    row.iter()
        .zip(after)
        .all(|(row, after)| after.as_ref().is_none_or(|after| after.as_ref().same(row.as_ref())))
}

/// The row that a statement says it stored, when it says so.
fn stored(row: &SqlRow, columns: &[&Facts]) -> Result<Option<Row>, Fault> {
    let Some(cells) = row.try_get::<_, Option<Vec<Option<&str>>>>(1)? else { return Ok(None) };
    let typed = |(facts, cell): (&&Facts, Option<&str>)| match cell {
        None => Ok(Value::Null),
        Some(text) => typed(facts, text),
    };
    columns.iter().zip(cells).map(typed).collect::<Result<Row, Fault>>().map(Some)
}

fn prepare(client: &mut Client, statements: &mut Statements, sql: &str) -> Result<Statement, Fault> {
    if let Some(statement) = statements.get(sql) {
        return Ok(statement.clone());
    }
    let statement = client.prepare(sql)?;
    statements.insert(sql.to_owned(), statement.clone());
    Ok(statement)
}
