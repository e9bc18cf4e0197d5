//! Which column stands where in the rows of changes.

use crate::target::Change;
use crate::target::schema::{Column, Table};
use crate::value::{Row, Value, ValueRef};

/// The table of a plan, and how the rows of its changes lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The table as it was when the plan was made.
    pub table: Table,
    /// The columns that rows hold, as indices into the table.
    pub columns: Vec<usize>,
    /// The key, as indices into the table; see [`Layout::key_at`] for where it stands in a row.
    pub key: Vec<usize>,
    key_at: Vec<usize>,
}

impl Layout {
    /// The layout of rows over `columns`; `None` when a column of the key is not among them.
    pub fn new(table: Table, columns: Vec<usize>, key: Vec<usize>) -> Option<Self> {
        let place = |k: &usize| columns.iter().position(|c| c == k);
        let key_at = key.iter().map(place).collect::<Option<Vec<_>>>()?;
        Some(Self { table, columns, key, key_at })
    }

    /// Where the columns of the key stand in a row.
    pub fn key_at(&self) -> &[usize] {
        &self.key_at
    }

    /// How many values a row holds.
    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// The column that stands at a position of a row.
    pub fn column(&self, at: usize) -> &Column {
        &self.table.columns[self.columns[at]]
    }

    /// The columns in the order of a row.
    pub fn each_column(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().map(|i| &self.table.columns[*i])
    }

    /// The key of a change. A column that an insertion leaves to its default is NULL here; a plan has none.
    pub fn key_of(&self, change: &Change) -> Row {
        self.key_at.iter().map(|at| value_at(change, *at).to_value()).collect()
    }

    /// The rows that a table's full rows become in changes.
    pub fn project(&self, full: &[Value]) -> Row {
        self.columns.iter().map(|i| full[*i].clone()).collect()
    }
}

fn value_at(change: &Change, at: usize) -> ValueRef<'_> {
    match change {
        Change::Insert { after } => after[at].as_ref().map_or(ValueRef::Null, Value::as_ref),
        Change::Update { before, .. } | Change::Delete { before } => before[at].as_ref(),
    }
}

/// What a change does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    /// Makes a row.
    Insert,
    /// Changes a row.
    Update,
    /// Removes a row.
    Delete,
}

impl Op {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Insert, Self::Update, Self::Delete];

    /// What `change` does.
    pub fn of(change: &Change) -> Self {
        match change {
            Change::Insert { .. } => Self::Insert,
            Change::Update { .. } => Self::Update,
            Change::Delete { .. } => Self::Delete,
        }
    }

    /// The word in artifacts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.as_str() == text)
    }
}

/// The positions at which two rows differ.
pub(crate) fn changed<'a>(before: &'a [Value], after: &'a [Value]) -> impl Iterator<Item = usize> + 'a {
    let pairs = before.iter().zip(after).enumerate();
    pairs.filter(|(_, (a, b))| !a.as_ref().same(b.as_ref())).map(|(at, _)| at)
}
