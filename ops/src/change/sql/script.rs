//! What both dialects share: rows into temporary tables, and conditions over them.
//!
//! There is a temporary table for each kind of change. `n` counts its rows, `w0`, `w1`, … is the row that was written
//! and `b0`, `b1`, … the row as it was before, each over the columns of the plan.

use std::fmt::Write as _;

use super::Undone;
use super::literal::{Dialect, identifier, literal};
use crate::change::plan::{Layout, Op};
use crate::target::Change;
use crate::value::{Kind, Row, Value, ValueRef};

/// An INSERT takes at most so many rows or about so many bytes.
const BATCH_ROWS: usize = 250;
const BATCH_BYTES: usize = 128 * 1024;

/// The name of the temporary table for a kind of change.
pub(super) fn undo_table(op: Op) -> &'static str {
    match op {
        Op::Insert => "ops_undo_inserted",
        Op::Update => "ops_undo_updated",
        Op::Delete => "ops_undo_deleted",
    }
}

/// Whether rows of this kind have a written row and a row before.
pub(super) fn sides(op: Op) -> (bool, bool) {
    (op != Op::Delete, op != Op::Insert)
}

/// What is known once every row was loaded.
#[derive(Debug)]
pub(super) struct Loaded {
    /// How many rows there are.
    pub(super) rows: Undone,
    /// Positions that an update changed.
    pub(super) changed: Vec<bool>,
    /// Positions that every insertion, or only some of them, know.
    pub(super) given: Vec<Given>,
}

/// How many of the inserted rows have a known value in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Given {
    Never,
    Sometimes,
    Always,
}

/// Turns changes into INSERT statements.
pub(super) struct Loader {
    dialect: Dialect,
    pending: [Pending; 3],
    loaded: Loaded,
}

#[derive(Default)]
struct Pending {
    sql: Vec<u8>,
    rows: usize,
}

impl Loader {
    pub(super) fn new(layout: &Layout, dialect: Dialect) -> Self {
        let loaded = Loaded {
            rows: Undone::default(),
            changed: vec![false; layout.width()],
            given: vec![Given::Always; layout.width()],
        };
        Self { dialect, pending: Default::default(), loaded }
    }

    /// Adds a change; `stored` is what the database made of it, where that is known.
    pub(super) fn push<E>(
        &mut self,
        change: &Change,
        stored: Option<&Row>,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let op = Op::of(change);
        match (change, stored) {
            (Change::Insert { .. }, Some(stored)) => self.row(op, stored.iter().map(Some), None),
            (Change::Insert { after }, None) => self.row(op, after.iter().map(Option::as_ref), None),
            (Change::Update { before, after }, stored) => {
                let written = stored.unwrap_or(after);
                for at in crate::change::plan::changed(before, written) {
                    self.loaded.changed[at] = true;
                }
                self.row(op, written.iter().map(Some), Some(before));
            }
            (Change::Delete { before }, _) => self.row(op, std::iter::empty(), Some(before)),
        }
        let pending = &self.pending[op as usize];
        if pending.rows >= BATCH_ROWS || pending.sql.len() >= BATCH_BYTES {
            self.flush(op, sink)?;
        }
        Ok(())
    }

    fn row<'v>(&mut self, op: Op, written: impl Iterator<Item = Option<&'v Value>>, before: Option<&'v Row>) {
        let Self { dialect, pending, loaded, .. } = self;
        let n = match op {
            Op::Insert => &mut loaded.rows.insert,
            Op::Update => &mut loaded.rows.update,
            Op::Delete => &mut loaded.rows.delete,
        };
        let is_first_row = *n == 0;
        let pending = &mut pending[op as usize];
        let sql = &mut pending.sql;
        sql.extend_from_slice(if pending.rows == 0 { b"\n(" } else { b",\n(" });
        pending.rows += 1;
        sql.extend_from_slice(n.to_string().as_bytes());
        *n += 1;
        let mut given = Vec::new();
        for (at, value) in written.enumerate() {
            sql.push(b',');
            literal(value.map_or(ValueRef::Null, Value::as_ref), *dialect, sql);
            if op == Op::Insert {
                given.push(if value.is_some() { b'1' } else { b'0' });
                let now = if value.is_some() { Given::Always } else { Given::Never };
                let so_far = &mut loaded.given[at];
                *so_far = if is_first_row || *so_far == now { now } else { Given::Sometimes };
            }
        }
        for value in before.into_iter().flatten() {
            sql.push(b',');
            literal(value.as_ref(), *dialect, sql);
        }
        if op == Op::Insert {
            sql.extend_from_slice(b",'");
            sql.extend_from_slice(&given);
            sql.push(b'\'');
        }
        sql.push(b')');
    }

    fn flush<E>(&mut self, op: Op, sink: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let pending = std::mem::take(&mut self.pending[op as usize]);
        if pending.rows == 0 {
            return Ok(());
        }
        let schema = temporary(self.dialect);
        sink(format!("INSERT INTO {schema}{} VALUES", undo_table(op)).as_bytes())?;
        sink(&pending.sql)?;
        sink(b";\n")
    }

    /// Writes what is left.
    pub(super) fn finish<E>(mut self, sink: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<Loaded, E> {
        for op in Op::ALL {
            self.flush(op, sink)?;
        }
        Ok(self.loaded)
    }
}

/// The schema of temporary tables, with a point.
pub(super) fn temporary(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "temp.",
        Dialect::Postgres => "pg_temp.",
    }
}

/// A name in quotes, as text.
pub(super) fn quoted(name: &str) -> String {
    let mut out = Vec::new();
    identifier(name, &mut out);
    String::from_utf8(out).expect("a name is UTF-8")
}

/// Columns of the plan with one comma between them, each made by `column`.
pub(super) fn list(positions: impl Iterator<Item = usize>, column: impl Fn(usize) -> String) -> String {
    positions.map(column).collect::<Vec<_>>().join(", ")
}

/// Makes conditions of one dialect over a row `t` of the table and a row `u` of a temporary table.
#[derive(Clone, Copy)]
pub(super) struct Conditions<'l> {
    pub(super) layout: &'l Layout,
    pub(super) dialect: Dialect,
    /// The table, quoted and qualified.
    pub(super) table: &'l str,
}

impl Conditions<'_> {
    /// `t` has the key that `u` has on a side (`w` or `b`).
    pub(super) fn same_key(&self, side: char) -> String {
        let keys = self.layout.key_at().iter();
        let equal = keys.map(|at| format!("t.{} = u.{side}{at}", quoted(&self.layout.column(*at).name)));
        equal.collect::<Vec<_>>().join(" AND ")
    }

    /// `t` holds exactly the value that `u` has at a position of a side. As everywhere, a decimal that was written is
    /// the same with more zeros at its end; one that was put back is not.
    fn same_value(&self, side: char, at: usize) -> String {
        let column = quoted(&self.layout.column(at).name);
        match self.dialect {
            Dialect::Postgres if side == 'w' && self.layout.column(at).kind == Kind::Number => {
                format!("t.{column} IS NOT DISTINCT FROM u.{side}{at}")
            }
            Dialect::Sqlite => {
                format!(
                    "t.{column} COLLATE BINARY IS u.{side}{at} AND typeof(t.{column}) = typeof(u.{side}{at})"
                )
            }
            Dialect::Postgres => {
                format!(
                    "t.{column}::text COLLATE \"C\" IS NOT DISTINCT FROM u.{side}{at}::text COLLATE \"C\""
                )
            }
        }
    }

    /// `t` holds exactly the row that `u` has on a side.
    pub(super) fn same_row(&self, side: char) -> String {
        let values = (0..self.layout.width()).map(|at| self.same_value(side, at));
        values.collect::<Vec<_>>().join("\n            AND ")
    }

    /// `t` holds what is known of the inserted row `u`.
    pub(super) fn same_given(&self, given: &[Given]) -> String {
        let mut conditions = Vec::new();
        for (at, given) in given.iter().enumerate() {
            match given {
                Given::Never => (),
                Given::Always => conditions.push(self.same_value('w', at)),
                Given::Sometimes => {
                    let place = at + 1;
                    conditions
                        .push(format!("(substr(u.given, {place}, 1) = '0' OR {})", self.same_value('w', at)));
                }
            }
        }
        conditions.join("\n            AND ")
    }

    /// Rows of a temporary table as a subquery with `n` and `key`: those for which `t` is there or is not.
    pub(super) fn rows(&self, op: Op, side: char, is_there: bool, row: &str) -> String {
        let not = if is_there { "" } else { "NOT " };
        let mut out = String::new();
        let key = self.layout.key_at().iter().map(|at| format!("u.{side}{at}"));
        let key = match self.dialect {
            Dialect::Sqlite => key.collect::<Vec<_>>().join(" || ',' || "),
            Dialect::Postgres => format!("concat_ws(',', {})", key.collect::<Vec<_>>().join(", ")),
        };
        let schema = temporary(self.dialect);
        let _ = write!(
            out,
            "SELECT u.n, {key} AS key FROM {schema}{} AS u WHERE {not}EXISTS (\n            \
             SELECT 1 FROM {} AS t WHERE {}",
            undo_table(op),
            self.table,
            self.same_key(side)
        );
        if !row.is_empty() {
            let _ = write!(out, "\n            AND {row}");
        }
        out.push(')');
        out
    }

    /// The rows that are not what was written.
    pub(super) fn drifted(&self, op: Op, loaded: &Loaded) -> String {
        match op {
            Op::Insert => self.rows(op, 'w', false, &self.same_given(&loaded.given)),
            Op::Update => self.rows(op, 'w', false, &self.same_row('w')),
            Op::Delete => self.rows(op, 'b', true, ""),
        }
    }

    /// The rows that are as they were before the plan, or those that are not.
    pub(super) fn restored(&self, op: Op, is_restored: bool) -> String {
        match op {
            Op::Insert => self.rows(op, 'w', !is_restored, ""),
            Op::Update | Op::Delete => self.rows(op, 'b', is_restored, &self.same_row('b')),
        }
    }
}

/// The kinds of changes that the script takes back.
pub(super) fn kinds(loaded: &Loaded) -> impl Iterator<Item = Op> + '_ {
    Op::ALL.into_iter().filter(|op| loaded.rows.of(*op) > 0)
}

/// What a verification query counts.
pub(super) fn restored_words(op: Op) -> &'static str {
    match op {
        Op::Insert => "inserted rows that are gone",
        Op::Update => "updated rows that are as they were",
        Op::Delete => "deleted rows that are back",
    }
}
