//! The statements of a batch. Each takes whole columns as text arrays, so one text serves any number of rows.
//!
//! A row is found by its key through the key's index, and is only touched when every column still says what the change
//! saw. That comparison is part of the statement: an `UPDATE` or `DELETE` that finds its row locked waits, and then
//! compares again with the row as the other transaction left it (`READ COMMITTED`). So nothing can come between the
//! comparison and the write, and a row that is not as it was seen cannot be overwritten.

use super::catalog::{Facts, quote, quoted};
use crate::target::Batch;
use crate::value::Kind;

/// What the statements of a batch are about.
#[derive(Debug)]
pub(super) struct Shape<'f> {
    target: String,
    /// In the order of [`Batch::columns`].
    pub(super) columns: Vec<&'f Facts>,
    /// Where the columns of the key are in `columns`.
    pub(super) key: Vec<usize>,
    /// Those whose values may be stored otherwise than they were sent.
    inexact: Vec<usize>,
    has_before_triggers: bool,
}

impl<'f> Shape<'f> {
    /// `None` when the key is not among the columns.
    pub(super) fn of(batch: &Batch<'_>, table: &'f [Facts], has_before_triggers: bool) -> Option<Self> {
        let columns: Vec<&Facts> = batch.columns.iter().map(|i| table.get(*i)).collect::<Option<_>>()?;
        let place = |column: &usize| batch.columns.iter().position(|c| c == column);
        let key: Vec<usize> = batch.key.iter().map(place).collect::<Option<_>>()?;
        let inexact = (0..columns.len()).filter(|i| has_before_triggers || !is_exact(columns[*i])).collect();
        let target = quoted(&batch.table.name);
        (!key.is_empty()).then_some(Self { target, columns, key, inexact, has_before_triggers })
    }

    /// Deletes rows that are as `b` says. Parameters: `b` of every column.
    pub(super) fn delete(&self) -> String {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        format!(
            "DELETE FROM {} AS t USING {} WHERE {} AND {} RETURNING u.n, NULL::text[]",
            self.target,
            given(&[('b', &all)]),
            self.key('b'),
            self.same(&all, |_| 'b'),
        )
    }

    /// Gives the columns in `set` new values in rows that are as `b` says, and says what was stored where it is not
    /// that. Parameters: `b` of every column, then `a` of those in `set`.
    pub(super) fn update(&self, set: &[usize]) -> String {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let assignments = join(set, ", ", |i| format!("{} = {}", self.name(i), self.cast('a', i)));
        // Without a trigger a column that is not set stays as it was just seen.
        let doubtful: Vec<usize> =
            self.inexact.iter().copied().filter(|i| self.has_before_triggers || set.contains(i)).collect();
        format!(
            "UPDATE {} AS t SET {assignments} FROM {} WHERE {} AND {} RETURNING u.n, {}",
            self.target,
            given(&[('b', &all), ('a', set)]),
            self.key('b'),
            self.same(&all, |_| 'b'),
            self.stored(&doubtful, |i| if set.contains(&i) { 'a' } else { 'b' }),
        )
    }

    /// Inserts rows with these columns unless their key is there, and says what was stored where that is not what was
    /// sent. A row that was stored under another key has no number. Parameters: `a` of those columns.
    pub(super) fn insert(&self, columns: &[usize]) -> String {
        let stored = if columns.len() < self.columns.len() {
            self.cells()
        } else {
            self.stored(&self.inexact, |_| 'a')
        };
        format!(
            "WITH u AS MATERIALIZED (SELECT * FROM {}), \
             t AS (INSERT INTO {} AS t ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM u \
             ON CONFLICT ({}) DO NOTHING RETURNING t.*) \
             SELECT u.n, {stored} FROM t LEFT JOIN u ON {}",
            given(&[('a', columns)]),
            self.target,
            join(columns, ", ", |i| self.name(i)),
            join(columns, ", ", |i| self.cast('a', i)),
            join(&self.key, ", ", |i| self.name(i)),
            self.key('a'),
        )
    }

    fn name(&self, i: usize) -> String {
        quote(&self.columns[i].column.name)
    }

    /// A value that was sent, as a value of the column.
    fn cast(&self, row: char, i: usize) -> String {
        format!("u.{row}{i}::{}", self.columns[i].base)
    }

    /// The row of `t` has the key of a row that was sent; in the column's own type and collation, as its index has it.
    fn key(&self, row: char) -> String {
        join(&self.key, " AND ", |i| format!("t.{} = {}", self.name(i), self.cast(row, i)))
    }

    /// Every one of these columns of `t` says what was sent: decimals by value, floats by their bits, everything else
    /// by its text. This is [`crate::value::ValueRef::same`].
    fn same(&self, columns: &[usize], row: impl Fn(usize) -> char) -> String {
        join(columns, " AND ", |i| {
            let (name, row) = (self.name(i), row(i));
            match self.columns[i].column.kind {
                Kind::Number => format!("t.{name} IS NOT DISTINCT FROM u.{row}{i}::numeric"),
                Kind::Real => format!("t.{name}::text IS NOT DISTINCT FROM {}::text", self.cast(row, i)),
                _ => format!("t.{name}::text COLLATE \"C\" IS NOT DISTINCT FROM u.{row}{i}"),
            }
        })
    }

    /// The row as it was stored when one of these columns is not as sent, else NULL.
    fn stored(&self, doubtful: &[usize], row: impl Fn(usize) -> char) -> String {
        if doubtful.is_empty() {
            return "NULL::text[]".to_owned();
        }
        format!("CASE WHEN NOT ({}) THEN {} END", self.same(doubtful, row), self.cells())
    }

    fn cells(&self) -> String {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        format!("ARRAY[{}]", join(&all, ", ", |i| format!("t.{}::text", self.name(i))))
    }
}

/// Whether a column stores the very text that it is given, when it takes it at all.
fn is_exact(facts: &Facts) -> bool {
    match facts.column.kind {
        Kind::Bool | Kind::Int | Kind::Bytes => true,
        // A length is no limit to blanks: what goes beyond it is cut off.
        Kind::Text => facts.base == "text" || facts.column.type_name == "character varying",
        _ => false,
    }
}

/// The rows that were sent, as `u`, with their number `n` from 1.
fn given(rows: &[(char, &[usize])]) -> String {
    let names: Vec<String> =
        rows.iter().flat_map(|(row, columns)| columns.iter().map(move |i| format!("{row}{i}"))).collect();
    let arrays: Vec<String> = (1..=names.len()).map(|n| format!("unnest(${n}::text[])")).collect();
    format!("ROWS FROM ({}) WITH ORDINALITY AS u ({}, n)", arrays.join(", "), names.join(", "))
}

fn join(columns: &[usize], by: &str, each: impl Fn(usize) -> String) -> String {
    columns.iter().map(|i| each(*i)).collect::<Vec<_>>().join(by)
}
