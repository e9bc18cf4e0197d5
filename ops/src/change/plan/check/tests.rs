//! Plans against rows that stayed, were changed, or came.

use std::collections::BTreeMap;

use super::*;
use crate::change::plan::tests::{plan, some_changes, subject};
use crate::clock::Stamp;
use crate::target::schema::{Table, TableName};
use crate::target::{
    Batch, Capabilities, Outcome, RecordedBatch, RunId, RunState, ScanProof, TargetIdentity,
};
use crate::value::ValueRef;

/// A table in memory that can only be read.
struct Memory {
    identity: TargetIdentity,
    table: Table,
    rows: BTreeMap<String, Row>,
    reads: usize,
}

impl Memory {
    /// Holds the rows as the plan saw them.
    fn before(changes: &[Change]) -> Self {
        let subject = subject();
        let mut rows =
            Self { identity: subject.target, table: subject.table, rows: BTreeMap::new(), reads: 0 };
        for change in changes {
            if let Change::Update { before, .. } | Change::Delete { before } = change {
                rows.put(before.clone());
            }
        }
        rows
    }

    fn key(row: &[Value]) -> String {
        format!("{:?}", [&row[1], &row[0]])
    }

    fn put(&mut self, row: Row) {
        self.rows.insert(Self::key(&row), row);
    }

    fn remove(&mut self, row: &[Value]) {
        self.rows.remove(&Self::key(row)).unwrap();
    }
}

fn never() -> ! {
    panic!("a check only reads rows by their keys")
}

impl Target for Memory {
    fn identity(&mut self) -> Result<TargetIdentity, TargetError> {
        Ok(self.identity.clone())
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { batch_rows_max: 2, ..subject().capabilities }
    }

    fn table(&mut self, _: &TableName) -> Result<Table, TargetError> {
        Ok(self.table.clone())
    }

    fn scan(
        &mut self,
        _: &Table,
        _: &mut dyn FnMut(&[ValueRef<'_>]) -> Result<(), TargetError>,
    ) -> Result<ScanProof, TargetError> {
        never()
    }

    fn read(&mut self, _: &Table, key: &[usize], keys: &[Row]) -> Result<Vec<Option<Row>>, TargetError> {
        assert!(keys.len() <= 2);
        assert_eq!(key, [1, 0]);
        self.reads += 1;
        Ok(keys.iter().map(|key| self.rows.get(&format!("{:?}", [&key[0], &key[1]])).cloned()).collect())
    }

    fn begin(&mut self, _: &Table, _: &RunId, _: &str, _: Stamp, _: Stamp) -> Result<RunState, TargetError> {
        never()
    }

    fn apply(&mut self, _: &Batch<'_>) -> Result<Vec<Outcome>, TargetError> {
        never()
    }

    fn recorded(&mut self, _: &RunId, _: u64) -> Result<Vec<RecordedBatch>, TargetError> {
        never()
    }

    fn renew(&mut self, _: &RunId, _: &str, _: Stamp) -> Result<(), TargetError> {
        never()
    }

    fn close(&mut self, _: &RunId, _: &str, _: bool) -> Result<(), TargetError> {
        never()
    }

    fn measure(&mut self, _: &str) -> Result<f64, TargetError> {
        never()
    }
}

fn numbers(freshness: &Freshness) -> [u64; 3] {
    [freshness.fresh, freshness.already, freshness.drifted]
}

#[test]
fn rows_are_fresh_done_or_drifted() {
    let dir = tempfile::tempdir().unwrap();
    let changes = some_changes();
    let plan = plan(dir.path(), &changes);
    let [Change::Insert { after: made }, Change::Update { before, after }, Change::Delete { before: gone }] =
        &changes[..]
    else {
        panic!("one of each")
    };
    let mut target = Memory::before(&changes);
    let fresh = check(&plan, &mut target).unwrap();
    assert_eq!(numbers(&fresh), [3, 0, 0]);
    assert!(fresh.is_fresh() && fresh.document().markdown().contains("It is fresh."));
    assert_eq!(target.reads, 2, "two rows at a time");

    let mut made: Row = made.iter().cloned().map(Option::unwrap).collect();
    target.put(made.clone());
    target.put(after.clone());
    target.remove(gone);
    let done = check(&plan, &mut target).unwrap();
    assert_eq!(numbers(&done), [0, 3, 0]);
    assert!(done.document().markdown().contains("A part of it is done already"));

    made[2] = Value::Text("another".into());
    target.put(made);
    let mut other = before.clone();
    other[2] = Value::Null;
    other[4] = Value::Real(1.0);
    target.put(other);
    let drifted = check(&plan, &mut target).unwrap();
    assert_eq!(numbers(&drifted), [0, 1, 2]);
    assert_eq!(drifted.drifted_rows[1].columns, ["name \"quoted\"", "weight"]);
    let text = drifted.document().markdown();
    assert!(text.contains("another row is there") && text.contains("Make the plan again"), "{text}");
    target.remove(before);
    assert!(check(&plan, &mut target).unwrap().document().markdown().contains("the row is gone"));
}

#[test]
fn what_an_insertion_leaves_to_defaults_may_be_anything() {
    let some = |n| Some(Value::Int(n));
    let insert = Change::Insert { after: vec![some(1), None, some(3)] };
    let row = |n| vec![Value::Int(1), Value::Int(n), Value::Int(3)];
    assert_eq!(standing(&insert, Some(&row(7))), Standing::Already);
    assert_eq!(standing(&insert, None), Standing::Fresh);
    assert_eq!(standing(&insert, Some(&vec![Value::Int(1); 3])), Standing::Drifted);
}

#[test]
fn another_target_and_another_schema_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let changes = some_changes();
    let plan = plan(dir.path(), &changes);
    let refused = |change: &dyn Fn(&mut Memory)| {
        let mut target = Memory::before(&changes);
        change(&mut target);
        match check(&plan, &mut target) {
            Err(CheckError::Refused(refusal)) => refusal.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert!(
        refused(&|target| target.identity.fingerprint = "other".into()).contains("is not the target of plan")
    );
    let text = refused(&|target| {
        target.identity.lineage = Some(crate::db::Lineage {
            id: "0123456789abcdef".into(),
            purpose: "seed".into(),
            stamped_at: String::new(),
        });
    });
    assert!(text.contains("lineage 0123456789abcdef"), "{text}");
    assert!(refused(&|target| target.table.columns[2].nullable = false).contains("a schema of digest"));
}
