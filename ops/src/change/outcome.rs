//! What became of each row of a run, and where a row stands against what a plan wants with it.
//!
//! Pure: a row that was read, a change, and what that means. The same comparison decides what a dry run shows, what
//! a lost answer has done, and whether a written row reads back.

use serde::Serialize;

use super::error::RunError;
use crate::target::schema::Table;
use crate::target::{Change, Outcome};
use crate::value::{Row, Value, same_row};

/// What became of one change, as journals and reports keep it.
#[derive(Debug, Clone, PartialEq)]
pub enum RowOutcome {
    /// Done by this run. `stored` is the row as it was then, where that is not exactly what was sent.
    Applied {
        /// The row over the run's columns.
        stored: Option<Row>,
    },
    /// The row already was as it shall be.
    Already,
    /// The row was neither what the plan saw nor what it wants, and was left alone.
    Drifted {
        /// The columns in which it differs from what the plan saw; `None` when the row was gone.
        columns: Option<Vec<String>>,
    },
    /// The database refused the row.
    Failed {
        /// Why, without row contents.
        reason: String,
    },
}

impl RowOutcome {
    /// The stable word of reports and journals.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Applied { .. } => "applied",
            Self::Already => "already",
            Self::Drifted { .. } => "drifted",
            Self::Failed { .. } => "failed",
        }
    }

    /// What a person wants to know beyond the word.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Applied { .. } | Self::Already => None,
            Self::Drifted { columns: None } => Some("the row is gone".to_owned()),
            Self::Drifted { columns: Some(columns) } => Some(format!("changed: {}", columns.join(", "))),
            Self::Failed { reason } => Some(reason.clone()),
        }
    }
}

/// How many rows ended in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Written by the run.
    pub applied: u64,
    /// Were already as they shall be.
    pub already: u64,
    /// Were left alone.
    pub drifted: u64,
    /// Were refused by the database.
    pub failed: u64,
}

impl Tally {
    /// Counts one row.
    pub fn count(&mut self, outcome: &RowOutcome) {
        *match outcome {
            RowOutcome::Applied { .. } => &mut self.applied,
            RowOutcome::Already => &mut self.already,
            RowOutcome::Drifted { .. } => &mut self.drifted,
            RowOutcome::Failed { .. } => &mut self.failed,
        } += 1;
    }

    /// Rows that have an outcome.
    pub fn reached(&self) -> u64 {
        self.applied + self.already + self.drifted + self.failed
    }
}

/// Which columns the rows of a run hold and which of them are its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Indices into the table, as in [`crate::target::Batch::columns`].
    pub columns: Vec<usize>,
    /// Indices into the table, as in [`crate::target::Batch::key`].
    pub key: Vec<usize>,
    /// The key as positions in `columns`.
    key_at: Vec<usize>,
    /// Names of `columns`.
    names: Vec<String>,
}

/// Where a row of the target stands against a change.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// As the plan saw it.
    Before,
    /// As the plan wants it. `stored` is the whole row where the change leaves columns to their defaults.
    After {
        /// The row over the run's columns.
        stored: Option<Row>,
    },
    /// Neither: the columns in which it differs from what the plan saw, or `None` when it is gone.
    Other {
        /// Names of columns.
        columns: Option<Vec<String>>,
    },
}

impl Shape {
    /// The shape of a run over `table`. `None` when the key is not among the columns.
    pub fn new(table: &Table, columns: &[usize], key: &[usize]) -> Option<Self> {
        let key_at = key.iter().map(|k| columns.iter().position(|c| c == k)).collect::<Option<_>>()?;
        let names = columns.iter().map(|c| table.columns[*c].name.clone()).collect();
        Some(Self { columns: columns.to_vec(), key: key.to_vec(), key_at, names })
    }

    /// Names of the columns.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The key of a change, which is at `position` in its plan.
    pub fn key(&self, change: &Change, position: u64) -> Result<Row, RunError> {
        let value = |at: &usize| match change {
            Change::Insert { after } => after.get(*at)?.clone(),
            Change::Update { before, .. } | Change::Delete { before } => before.get(*at).cloned(),
        };
        let key: Option<Row> = self.key_at.iter().map(value).collect();
        key.ok_or_else(|| RunError::Change { position, source: "it does not name its key".into() })
    }

    /// The run's columns of a row that was read with all columns of the table.
    pub fn pick(&self, row: &[Value]) -> Row {
        self.columns.iter().map(|c| row[*c].clone()).collect()
    }

    /// Where a row of the target, over the run's columns, stands against a change.
    pub fn standing(&self, change: &Change, found: Option<Row>) -> Standing {
        match (change, found) {
            (Change::Insert { .. }, None) => Standing::Before,
            (Change::Delete { .. }, None) => Standing::After { stored: None },
            (Change::Update { .. }, None) => Standing::Other { columns: None },
            (Change::Insert { after }, Some(found)) => {
                let columns = self.differing(after.iter().map(Option::as_ref), &found);
                let is_partial = after.iter().any(Option::is_none);
                if columns.is_empty() {
                    Standing::After { stored: is_partial.then_some(found) }
                } else {
                    Standing::Other { columns: Some(columns) }
                }
            }
            (Change::Update { after, .. }, Some(found)) if same_row(after, &found) => {
                Standing::After { stored: None }
            }
            (Change::Update { before, .. } | Change::Delete { before }, Some(found)) => {
                let columns = self.differing(before.iter().map(Some), &found);
                if columns.is_empty() { Standing::Before } else { Standing::Other { columns: Some(columns) } }
            }
        }
    }

    /// What a target said about a change, without the contents of rows that are not ours.
    pub fn outcome(&self, change: &Change, outcome: Outcome) -> RowOutcome {
        match outcome {
            Outcome::Applied { stored } => RowOutcome::Applied { stored },
            Outcome::Already => RowOutcome::Already,
            Outcome::Failed { reason } => RowOutcome::Failed { reason },
            Outcome::Drifted { found: None } => RowOutcome::Drifted { columns: None },
            Outcome::Drifted { found: Some(found) } => {
                let columns = match change {
                    Change::Insert { after } => self.differing(after.iter().map(Option::as_ref), &found),
                    Change::Update { before, .. } | Change::Delete { before } => {
                        self.differing(before.iter().map(Some), &found)
                    }
                };
                RowOutcome::Drifted { columns: Some(columns) }
            }
        }
    }

    /// Names of the columns in which `found` is not what is `expected` of it.
    pub fn differing<'a>(
        &self,
        expected: impl Iterator<Item = Option<&'a Value>>,
        found: &[Value],
    ) -> Vec<String> {
        let pairs = expected.zip(found).zip(&self.names);
        pairs
            .filter(|((expected, found), _)| expected.is_some_and(|e| !e.as_ref().same(found.as_ref())))
            .map(|(_, name)| name.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::schema::{Column, Origin, TableName};
    use crate::value::Kind;

    fn shape() -> Shape {
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
        assert_eq!(Shape::new(&table, &[2, 3], &[1]), None, "the key must be among the columns");
        Shape::new(&table, &[1, 2, 3], &[1]).unwrap()
    }

    fn row(a: i64, b: i64) -> Row {
        [1, a, b].map(Value::Int).to_vec()
    }

    fn other(columns: &[&str]) -> Standing {
        Standing::Other { columns: Some(columns.iter().map(|c| (*c).to_owned()).collect()) }
    }

    #[test]
    fn an_update() {
        let shape = shape();
        let update = Change::Update { before: row(1, 1), after: row(2, 1) };
        assert_eq!(shape.key(&update, 0).unwrap(), [Value::Int(1)]);
        assert_eq!(shape.pick(&[1, 2, 3, 4].map(Value::Int)), [2, 3, 4].map(Value::Int));
        for (found, expected) in [
            (Some(row(1, 1)), Standing::Before),
            (Some(row(2, 1)), Standing::After { stored: None }),
            (Some(row(2, 9)), other(&["a", "b"])),
            (None, Standing::Other { columns: None }),
        ] {
            assert_eq!(shape.standing(&update, found), expected);
        }
        let said = shape.outcome(&update, Outcome::Drifted { found: Some(row(1, 9)) });
        assert_eq!(said, RowOutcome::Drifted { columns: Some(vec!["b".into()]) });
        assert_eq!(said.detail().unwrap(), "changed: b");
    }

    #[test]
    fn an_insert_that_leaves_a_column_to_its_default() {
        let shape = shape();
        let insert = Change::Insert { after: vec![Some(Value::Int(1)), None, Some(Value::Int(1))] };
        for (found, expected) in [
            (None, Standing::Before),
            (Some(row(7, 1)), Standing::After { stored: Some(row(7, 1)) }),
            (Some(row(7, 2)), other(&["b"])),
        ] {
            assert_eq!(shape.standing(&insert, found), expected);
        }
        let keyless = Change::Insert { after: vec![None, None, None] };
        let error = shape.key(&keyless, 7).unwrap_err();
        assert_eq!(error.to_string(), "failed to read change 7 of the plan");
    }

    #[test]
    fn a_deletion() {
        let shape = shape();
        let delete = Change::Delete { before: row(1, 1) };
        for (found, expected) in [
            (None, Standing::After { stored: None }),
            (Some(row(1, 1)), Standing::Before),
            (Some(row(1, 2)), other(&["b"])),
        ] {
            assert_eq!(shape.standing(&delete, found), expected);
        }
    }

    #[test]
    fn a_tally_counts_each_row_once() {
        let mut tally = Tally::default();
        for outcome in [
            RowOutcome::Applied { stored: None },
            RowOutcome::Already,
            RowOutcome::Drifted { columns: None },
            RowOutcome::Failed { reason: "23505".into() },
            RowOutcome::Already,
        ] {
            tally.count(&outcome);
        }
        assert_eq!(tally, Tally { applied: 1, already: 2, drifted: 1, failed: 1 });
        assert_eq!(tally.reached(), 5);
    }
}
