//! What the comparison asks of its two guests: a source of desired rows, and an opinion about cells.
//!
//! Files, formats and types of columns are the source's business; which differences count is the comparators'.
//! The comparison itself knows neither.

use crate::value::ValueRef;

/// One desired row.
#[derive(Debug)]
pub struct DesiredRow<'a> {
    /// Where it is, in a way that [`Desired::row_at`] understands; larger for every later row.
    pub at: u64,
    /// Where it is for people: the line or the ordinal in the file, from 1.
    pub line: u64,
    /// One entry a column of the table, in its order. `None` is not given: an update keeps what is live, an insert
    /// leaves it to the column's default.
    pub values: Vec<Option<ValueRef<'a>>>,
}

/// Why a source could not give a row: its own error, given back as it is.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// The rows as they shall be, read twice: all of them once in their own order, then some of them by place.
pub trait Desired: Send {
    /// The next row; `None` after the last.
    fn next(&mut self) -> Result<Option<DesiredRow<'_>>, SourceError>;

    /// The row at a place that [`Desired::next`] named. Called after the last row only, in batches of ascending
    /// places; a batch may start before the one ahead of it ended.
    fn row_at(&mut self, at: u64) -> Result<DesiredRow<'_>, SourceError>;
}

/// What a comparator says about two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Same {
    /// The same value.
    Equal,
    /// Not the same value, but taken for no change; counted by column.
    Suppressed,
    /// A change.
    Different,
}

/// When two values of a column are the same. Values that are the same by [`ValueRef::same`] must be `Equal`: rows
/// with equal digests are never asked about.
pub trait Comparators: Sync {
    /// Compares the values of one column, an index into the table.
    fn same(&self, column: usize, live: ValueRef<'_>, desired: ValueRef<'_>) -> Same;
}

/// Every difference is a change.
#[derive(Debug, Clone, Copy)]
pub struct Exact;

impl Comparators for Exact {
    fn same(&self, _column: usize, live: ValueRef<'_>, desired: ValueRef<'_>) -> Same {
        if live.same(desired) { Same::Equal } else { Same::Different }
    }
}
