//! Where a row of the target stands against a change: as the plan saw it, as it wants it, or neither.
//!
//! Pure. The same comparison decides what a dry run shows, what a lost answer has done, whether a written row reads
//! back, and in which columns somebody else was there first.

use super::plan::Layout;
use crate::target::Change;
use crate::value::{Row, Value, same_row};

/// Where a row stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// As the plan saw it.
    Before,
    /// As the plan wants it. `stored` is the whole row where the change leaves columns to their defaults.
    After {
        /// The row over the layout's columns.
        stored: Option<Row>,
    },
    /// Neither.
    Other {
        /// The row that is there; `None` when it is gone.
        found: Option<Row>,
    },
}

impl Standing {
    /// Where `found`, over the layout's columns, stands against a change.
    pub fn of(change: &Change, found: Option<Row>) -> Self {
        match (change, found) {
            (Change::Insert { .. }, None) => Self::Before,
            (Change::Delete { .. }, None) => Self::After { stored: None },
            (Change::Update { .. }, None) => Self::Other { found: None },
            (Change::Insert { after }, Some(found)) => {
                if !after.iter().zip(&found).all(|(after, found)| is(after.as_ref(), found)) {
                    return Self::Other { found: Some(found) };
                }
                Self::After { stored: after.iter().any(Option::is_none).then_some(found) }
            }
            (Change::Update { after, .. }, Some(found)) if same_row(after, &found) => {
                Self::After { stored: None }
            }
            (Change::Update { before, .. } | Change::Delete { before }, Some(found)) => {
                if same_row(before, &found) { Self::Before } else { Self::Other { found: Some(found) } }
            }
        }
    }
}

/// Whether a value is the expected one; any is where none is expected.
fn is(expected: Option<&Value>, found: &Value) -> bool {
    expected.is_none_or(|expected| expected.as_ref().same(found.as_ref()))
}

/// What the plan saw of a row: nothing for an insertion, which is compared with what it wants.
pub fn seen(change: &Change) -> Vec<Option<&Value>> {
    match change {
        Change::Insert { after } => after.iter().map(Option::as_ref).collect(),
        Change::Update { before, .. } | Change::Delete { before } => before.iter().map(Some).collect(),
    }
}

/// Names of the columns in which `found` is not as expected.
pub fn differing<'l>(layout: &'l Layout, expected: &[Option<&Value>], found: &[Value]) -> Vec<&'l str> {
    let pairs = layout.each_column().zip(expected.iter().zip(found));
    pairs.filter(|(_, (expected, found))| !is(**expected, found)).map(|(column, _)| &*column.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::schema::{Column, Origin, Table, TableName};
    use crate::value::Kind;

    fn layout() -> Layout {
        let column = |name: &str| Column {
            name: name.into(),
            type_name: "TEXT".into(),
            kind: Kind::Any,
            nullable: true,
            default: None,
            origin: Origin::Written,
        };
        let table = Table {
            name: TableName::parse("t").unwrap(),
            columns: ["computed", "id", "a", "b"].map(column).to_vec(),
            primary_key: vec![1],
            unique: vec![],
            notes: vec![],
        };
        Layout::new(table, vec![1, 2, 3], vec![1]).unwrap()
    }

    fn row(a: i64, b: i64) -> Row {
        [1, a, b].map(Value::Int).to_vec()
    }

    #[test]
    fn an_update() {
        let update = Change::Update { before: row(1, 1), after: row(2, 1) };
        for (found, expected) in [
            (Some(row(1, 1)), Standing::Before),
            (Some(row(2, 1)), Standing::After { stored: None }),
            (Some(row(2, 9)), Standing::Other { found: Some(row(2, 9)) }),
            (None, Standing::Other { found: None }),
        ] {
            assert_eq!(Standing::of(&update, found), expected);
        }
        assert_eq!(differing(&layout(), &seen(&update), &row(2, 9)), ["a", "b"]);
        assert_eq!(differing(&layout(), &seen(&update), &row(1, 1)), [""; 0]);
    }

    #[test]
    fn an_insert_that_leaves_a_column_to_its_default() {
        let insert = Change::Insert { after: vec![Some(Value::Int(1)), None, Some(Value::Int(1))] };
        for (found, expected) in [
            (None, Standing::Before),
            (Some(row(7, 1)), Standing::After { stored: Some(row(7, 1)) }),
            (Some(row(7, 2)), Standing::Other { found: Some(row(7, 2)) }),
        ] {
            assert_eq!(Standing::of(&insert, found), expected);
        }
        assert_eq!(differing(&layout(), &seen(&insert), &row(7, 2)), ["b"]);
    }

    #[test]
    fn a_deletion() {
        let delete = Change::Delete { before: row(1, 1) };
        for (found, expected) in [
            (None, Standing::After { stored: None }),
            (Some(row(1, 1)), Standing::Before),
            (Some(row(1, 2)), Standing::Other { found: Some(row(1, 2)) }),
        ] {
            assert_eq!(Standing::of(&delete, found), expected);
        }
    }
}
