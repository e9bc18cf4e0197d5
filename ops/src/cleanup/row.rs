//! A row as cleanup sees it: cells in the order of the dataset's columns, then what the file had besides.

use std::borrow::Cow;

/// One value of a row, the same whatever format it was read from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Cell<'a> {
    /// The column is not in the record.
    #[default]
    Absent,
    /// NULL, or an empty cell of CSV without quotes.
    Null,
    /// Text, without the quotes and escapes of its format.
    Text(Cow<'a, str>),
    /// A number, boolean, array or object as JSON spells it.
    Json(Cow<'a, str>),
}

impl Cell<'_> {
    /// The text of a text cell.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Absent | Self::Null | Self::Json(_) => None,
        }
    }
}

/// One row and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row<'a> {
    /// Its place among the records of the input, from 0, rejected ones counted.
    pub ordinal: u64,
    /// Offset in the decompressed input, in bytes.
    pub at: u64,
    /// The line where it starts, from 1.
    pub line: u64,
    /// The column whose text ends where the input does, with nothing to show that it is whole.
    pub open: Option<usize>,
    /// The dataset's columns in its order, then columns that only the input has, in the input's order.
    pub cells: Vec<Cell<'a>>,
}
