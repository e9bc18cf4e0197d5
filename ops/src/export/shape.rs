//! What a column really holds: the type that a format with typed columns gives it, from its values.

use super::{Column, ExportError, Mixed, Rows};
use crate::value::ValueRef;

/// Integers up to here are floats without loss.
const EXACT: u64 = 1 << 53;

/// The type of a column of Parquet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    Int,
    Real,
    Text,
    Bytes,
}

/// Where the values of a column go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) name: String,
    pub(super) kind: Type,
    /// The column of the values that are of another type.
    pub(super) raw: Option<String>,
    counts: Counts,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    bools: u64,
    ints: u64,
    /// Integers that are 0 or 1.
    bits: u64,
    /// Integers that no float holds.
    large: u64,
    reals: u64,
    texts: u64,
    bytes: u64,
}

impl Counts {
    fn add(&mut self, value: ValueRef<'_>) {
        match value {
            ValueRef::Null => {}
            ValueRef::Bool(_) => self.bools += 1,
            ValueRef::Int(n) => {
                self.ints += 1;
                self.bits += u64::from(n == 0 || n == 1);
                self.large += u64::from(n.unsigned_abs() > EXACT);
            }
            ValueRef::Real(_) => self.reals += 1,
            ValueRef::Number(_) | ValueRef::Text(_) | ValueRef::Json(_) => self.texts += 1,
            ValueRef::Bytes(_) => self.bytes += 1,
        }
    }

    fn total(self) -> u64 {
        self.bools + self.ints + self.reals + self.texts + self.bytes
    }

    /// The type that most values have, and how many have it. `declared` decides whether 0 and 1 are truth values.
    fn main(self, declared: &str) -> (Type, u64) {
        let is_bool = declared.to_ascii_uppercase().starts_with("BOOL") && self.bits == self.ints;
        let bools = if is_bool { self.bools + self.ints } else { self.bools };
        // Integers become floats beside floats, where that loses nothing.
        let (ints, reals) = match (is_bool, self.reals > 0 && self.large == 0) {
            (true, _) => (0, self.reals),
            (false, true) => (0, self.reals + self.ints),
            (false, false) => (self.ints, self.reals),
        };
        let candidates = [
            (Type::Text, self.texts),
            (Type::Bytes, self.bytes),
            (Type::Real, reals),
            (Type::Int, ints),
            (Type::Bool, bools),
        ];
        // Of equally many the last one; a column without values is text.
        let most = candidates.into_iter().max_by_key(|(_, count)| *count);
        most.filter(|(_, count)| *count > 0).unwrap_or((Type::Text, 0))
    }
}

impl Shape {
    /// The part of a mixed column.
    pub(super) fn mixed(&self) -> Option<Mixed> {
        let raw_column = self.raw.clone()?;
        let typed = self.counts.main(if self.kind == Type::Bool { "BOOL" } else { "" }).1;
        let raw = self.counts.total() - typed;
        Some(Mixed { column: self.name.clone(), raw_column, typed, raw })
    }
}

/// Reads all rows once and says what each column holds, and how many rows there are.
pub(super) fn shapes(rows: &mut dyn Rows) -> Result<(Vec<Shape>, u64), ExportError> {
    let columns: Vec<Column> = rows.columns().to_vec();
    let mut counts = vec![Counts::default(); columns.len()];
    let mut total = 0;
    rows.read(&mut |values| {
        total += 1;
        for (counts, value) in counts.iter_mut().zip(values) {
            counts.add(*value);
        }
        Ok(())
    })?;
    let mut names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let mut shapes = Vec::new();
    for (column, counts) in columns.iter().zip(counts) {
        let (kind, typed) = counts.main(&column.declared);
        let raw = (typed < counts.total()).then(|| free_name(&column.name, &mut names));
        shapes.push(Shape { name: column.name.clone(), kind, raw, counts });
    }
    Ok((shapes, total))
}

/// A name for the other values of a column that no column has yet.
fn free_name(column: &str, names: &mut Vec<String>) -> String {
    let mut name = format!("{column}_raw");
    while names.iter().any(|other| other.eq_ignore_ascii_case(&name)) {
        name.push('_');
    }
    names.push(name.clone());
    name
}
