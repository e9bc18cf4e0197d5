//! The clone of a table, answering to the names of the original, so that a plan runs on it as it will run there.

use crate::clock::Stamp;
use crate::target::schema::{Table, TableName};
use crate::target::{
    Batch, Capabilities, Outcome, RecordedBatch, RunId, RunState, ScanProof, Target, TargetError,
    TargetIdentity,
};
use crate::value::{Row, ValueRef};

/// A clone under the name of the original.
pub(super) struct StandIn {
    clone: Box<dyn Target>,
    /// The original's identity.
    identity: TargetIdentity,
    /// The table as the plan knows it.
    shown: Table,
    /// The table as the clone has it.
    pub(super) real: Table,
}

impl StandIn {
    /// Opens the clone's table `name`, to stand for `shown` of the database `identity`.
    pub(super) fn new(
        mut clone: Box<dyn Target>,
        name: &TableName,
        identity: TargetIdentity,
        shown: Table,
    ) -> Result<Self, TargetError> {
        let real = clone.table(name)?;
        let columns = |table: &Table| table.columns.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
        if columns(&real) != columns(&shown) {
            return Err(TargetError::failed("clone the table", "it has other columns".to_owned()));
        }
        Ok(Self { clone, identity, shown, real })
    }

    /// What a column of the clone is otherwise than in the original.
    pub(super) fn differences(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (shown, real) in self.shown.columns.iter().zip(&self.real.columns) {
            if shown.type_name != real.type_name {
                found.push(format!(
                    "column `{}`: it is {} here, not {}",
                    shown.name, real.type_name, shown.type_name
                ));
            }
            if shown.nullable != real.nullable {
                found.push(format!(
                    "column `{}`: NULL is {}allowed here",
                    shown.name,
                    if real.nullable { "" } else { "not " }
                ));
            }
            if shown.default.is_some() != real.default.is_some() {
                found.push(format!("column `{}`: its default", shown.name));
            }
        }
        found
    }
}

impl Target for StandIn {
    fn identity(&mut self) -> Result<TargetIdentity, TargetError> {
        Ok(self.identity.clone())
    }

    fn capabilities(&self) -> Capabilities {
        self.clone.capabilities()
    }

    fn table(&mut self, name: &TableName) -> Result<Table, TargetError> {
        if name.name != self.shown.name.name {
            return Err(TargetError::failed("read the catalogue", "a clone has one table".to_owned()));
        }
        Ok(self.shown.clone())
    }

    fn scan(
        &mut self,
        _: &Table,
        row: &mut dyn FnMut(&[ValueRef<'_>]) -> Result<(), TargetError>,
    ) -> Result<ScanProof, TargetError> {
        self.clone.scan(&self.real, row)
    }

    fn read(&mut self, _: &Table, key: &[usize], keys: &[Row]) -> Result<Vec<Option<Row>>, TargetError> {
        self.clone.read(&self.real, key, keys)
    }

    fn begin(
        &mut self,
        _: &Table,
        run: &RunId,
        owner: &str,
        now: Stamp,
        expires: Stamp,
    ) -> Result<RunState, TargetError> {
        self.clone.begin(&self.real, run, owner, now, expires)
    }

    fn apply(&mut self, batch: &Batch<'_>) -> Result<Vec<Outcome>, TargetError> {
        self.clone.apply(&Batch { table: &self.real, ..*batch })
    }

    fn recorded(&mut self, run: &RunId, from: u64) -> Result<Vec<RecordedBatch>, TargetError> {
        self.clone.recorded(run, from)
    }

    fn renew(&mut self, run: &RunId, owner: &str, expires: Stamp) -> Result<(), TargetError> {
        self.clone.renew(run, owner, expires)
    }

    fn close(&mut self, run: &RunId, owner: &str, is_done: bool) -> Result<(), TargetError> {
        self.clone.close(run, owner, is_done)
    }

    fn measure(&mut self, sql: &str) -> Result<f64, TargetError> {
        self.clone.measure(sql)
    }
}
