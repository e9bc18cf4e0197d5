//! Which columns the cleaned files have, and in which order.

use super::columns::Columns;
use crate::cleanup::Dataset;
use crate::value::write_json_string;

/// The share of evidence of a row, in cleaned files.
pub(crate) const SCORE: &str = "integrity_score";
/// Whether a row is a fragment, in cleaned files.
pub(crate) const FLAG: &str = "fragment_flag";

/// The columns of all rows. Those that nobody declared are carried along and never dropped.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) columns: Columns,
    /// How many are declared.
    pub(super) declared: usize,
    /// Places of the columns that name a row.
    pub(super) key: Vec<usize>,
    /// Places of the declared columns in the order of the sheet.
    pub(super) sheet: Vec<usize>,
    /// Names as JSON texts, by place.
    pub(super) quoted: Vec<Vec<u8>>,
    /// How a member of an element of the array begins, by place, the end of the line before it included.
    pub(super) members: Vec<Vec<u8>>,
    /// Whole members of an element of the array whose value is NULL, by place, with the comma behind them.
    pub(super) nulls: Vec<Vec<u8>>,
    /// How the member with the score begins.
    pub(super) score: Vec<u8>,
    /// The member that says whether a row is a fragment, which is the last one.
    pub(super) flags: [Vec<u8>; 2],
    /// Places of the undeclared columns that are carried along; the others are made anew.
    carried: Vec<usize>,
}

impl Layout {
    pub(super) fn new(dataset: &Dataset, columns: Columns) -> Self {
        let key = dataset.key.iter().filter_map(|name| columns.place(name)).collect();
        let declared = dataset.columns.len();
        let is_last = |place: &usize| dataset.sheet_last.contains(&columns.names[*place]);
        let (last, mut sheet): (Vec<usize>, Vec<usize>) = (0..declared).partition(is_last);
        sheet.extend(last);
        let quoted: Vec<Vec<u8>> = columns.names.iter().map(|name| quoted_name(name)).collect();
        let member = |name: &Vec<u8>| [b"\n    ", name.as_slice(), b": "].concat();
        let members: Vec<Vec<u8>> = quoted.iter().map(member).collect();
        let nulls = members.iter().map(|start| [start, b"null,".as_slice()].concat()).collect();
        let score = member(&quoted_name(SCORE));
        let flag = member(&quoted_name(FLAG));
        let flags = [b"false".as_slice(), b"true"].map(|value| [b",", flag.as_slice(), value].concat());
        let is_made = |place: &usize| [SCORE, FLAG].contains(&columns.names[*place].as_str());
        let carried = (declared..columns.names.len()).filter(|place| !is_made(place)).collect();
        Self { columns, declared, key, sheet, quoted, members, nulls, score, flags, carried }
    }

    /// All columns, by place.
    pub(super) fn names(&self) -> &[String] {
        &self.columns.names
    }

    /// The place of a column.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.columns.place(name)
    }

    /// Places of the undeclared columns that are carried along.
    pub(super) fn carried(&self) -> impl Iterator<Item = usize> + '_ {
        self.carried.iter().copied()
    }

    /// Places of the columns of which a cleaned row has a cell, in the order of the array.
    pub(super) fn kept(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.declared).chain(self.carried())
    }
}

fn quoted_name(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write_json_string(name, &mut out);
    out
}
