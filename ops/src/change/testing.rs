//! Tables, and a target in memory, for the unit tests of the change engine.

use crate::clock::Stamp;
use crate::target::schema::{Column, Origin, Table, TableName};
use crate::target::{
    Batch, Capabilities, Outcome, RecordedBatch, RunId, RunState, ScanProof, Target, TargetError,
    TargetIdentity,
};
use crate::value::{Kind, Row, Value, ValueRef};

/// A table named `t` with these columns, the first of which is its primary key.
pub(crate) fn table(columns: &[(&str, Kind)]) -> Table {
    let column = |&(name, kind): &(&str, Kind)| Column {
        name: name.to_owned(),
        type_name: "any".to_owned(),
        kind,
        nullable: true,
        default: None,
        origin: Origin::Written,
    };
    Table {
        name: TableName { schema: None, name: "t".to_owned() },
        columns: columns.iter().map(column).collect(),
        primary_key: vec![0],
        unique: vec![],
        notes: vec![],
    }
}

/// A table in memory that can be read, and nothing else. Keys are found in the order of the columns asked for.
pub(crate) struct MemoryTarget {
    pub(crate) rows: Vec<Row>,
    /// The scan fails before this row.
    pub(crate) fails_at: usize,
    /// How many more rows the proof names than there are.
    pub(crate) more: u64,
    /// The rows that reads after the scan find instead.
    pub(crate) later: Option<Vec<Row>>,
}

impl MemoryTarget {
    pub(crate) fn new(rows: Vec<Row>) -> Self {
        Self { rows, fails_at: usize::MAX, more: 0, later: None }
    }
}

fn cannot<T>() -> Result<T, TargetError> {
    Err(TargetError::Lost("a table in memory can only be read".to_owned()))
}

impl Target for MemoryTarget {
    fn identity(&mut self) -> Result<TargetIdentity, TargetError> {
        cannot()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            snapshot: true,
            books_in_target: false,
            atomic_batches: true,
            atomic_rollback: true,
            batch_rows_max: 1000,
            limits: Vec::new(),
        }
    }

    fn table(&mut self, _name: &TableName) -> Result<Table, TargetError> {
        cannot()
    }

    fn scan(
        &mut self,
        _table: &Table,
        row: &mut dyn FnMut(&[ValueRef<'_>]) -> Result<(), TargetError>,
    ) -> Result<ScanProof, TargetError> {
        for (number, values) in self.rows.iter().enumerate() {
            if number == self.fails_at {
                return cannot();
            }
            row(&values.iter().map(Value::as_ref).collect::<Vec<_>>())?;
        }
        let rows = self.rows.len() as u64 + self.more;
        Ok(ScanProof { rows, count_before: rows, count_after: rows, pages: 1, snapshot: true })
    }

    fn read(&mut self, _table: &Table, key: &[usize], keys: &[Row]) -> Result<Vec<Option<Row>>, TargetError> {
        let rows = self.later.as_ref().unwrap_or(&self.rows);
        let has =
            |row: &Row, wanted: &Row| key.iter().zip(wanted).all(|(i, v)| row[*i].as_ref().same(v.as_ref()));
        Ok(keys.iter().map(|wanted| rows.iter().find(|row| has(row, wanted)).cloned()).collect())
    }

    fn begin(
        &mut self,
        _table: &Table,
        _run: &RunId,
        _owner: &str,
        _now: Stamp,
        _expires: Stamp,
    ) -> Result<RunState, TargetError> {
        cannot()
    }

    fn apply(&mut self, _batch: &Batch<'_>) -> Result<Vec<Outcome>, TargetError> {
        cannot()
    }

    fn recorded(&mut self, _run: &RunId, _from: u64) -> Result<Vec<RecordedBatch>, TargetError> {
        cannot()
    }

    fn renew(&mut self, _run: &RunId, _owner: &str, _expires: Stamp) -> Result<(), TargetError> {
        cannot()
    }

    fn close(&mut self, _run: &RunId, _owner: &str, _is_done: bool) -> Result<(), TargetError> {
        cannot()
    }

    fn measure(&mut self, _sql: &str) -> Result<f64, TargetError> {
        cannot()
    }
}
