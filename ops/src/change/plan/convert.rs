//! Between the types of `plan.json` and those the engine works with.

use super::manifest::{CapabilityFacts, ColumnFacts, CountFacts, LineageFacts, TableFacts, TargetFacts};
use crate::change::Counts;
use crate::db::Lineage;
use crate::target::schema::{Column, Table, TableName};
use crate::target::{Capabilities, TargetIdentity};

impl From<&TargetIdentity> for TargetFacts {
    fn from(identity: &TargetIdentity) -> Self {
        Self {
            driver: identity.driver.clone(),
            url: identity.url.clone(),
            fingerprint: identity.fingerprint.clone(),
            lineage: identity.lineage.as_ref().map(|lineage| LineageFacts {
                id: lineage.id.clone(),
                purpose: lineage.purpose.clone(),
                stamped_at: lineage.stamped_at.clone(),
            }),
        }
    }
}

impl From<&TargetFacts> for TargetIdentity {
    fn from(facts: &TargetFacts) -> Self {
        Self {
            driver: facts.driver.clone(),
            url: facts.url.clone(),
            fingerprint: facts.fingerprint.clone(),
            lineage: facts.lineage.as_ref().map(|lineage| Lineage {
                id: lineage.id.clone(),
                purpose: lineage.purpose.clone(),
                stamped_at: lineage.stamped_at.clone(),
            }),
        }
    }
}

impl From<&Capabilities> for CapabilityFacts {
    fn from(capabilities: &Capabilities) -> Self {
        Self {
            snapshot: capabilities.snapshot,
            books_in_target: capabilities.books_in_target,
            atomic_batches: capabilities.atomic_batches,
            atomic_rollback: capabilities.atomic_rollback,
            batch_rows_max: capabilities.batch_rows_max as u64,
            limits: capabilities.limits.clone(),
        }
    }
}

impl From<&CapabilityFacts> for Capabilities {
    fn from(facts: &CapabilityFacts) -> Self {
        Self {
            snapshot: facts.snapshot,
            books_in_target: facts.books_in_target,
            atomic_batches: facts.atomic_batches,
            atomic_rollback: facts.atomic_rollback,
            batch_rows_max: usize::try_from(facts.batch_rows_max).unwrap_or(usize::MAX),
            limits: facts.limits.clone(),
        }
    }
}

impl From<&Table> for TableFacts {
    fn from(table: &Table) -> Self {
        Self {
            schema: table.name.schema.clone(),
            name: table.name.name.clone(),
            digest: table.digest(),
            columns: table.columns.iter().map(ColumnFacts::from).collect(),
            primary_key: names(table, &table.primary_key),
            unique: table.unique.iter().map(|key| names(table, key)).collect(),
            notes: table.notes.clone(),
        }
    }
}

impl From<&Column> for ColumnFacts {
    fn from(column: &Column) -> Self {
        Self {
            name: column.name.clone(),
            type_name: column.type_name.clone(),
            kind: column.kind,
            nullable: column.nullable,
            default: column.default.clone(),
            origin: column.origin,
        }
    }
}

/// The names of columns.
pub(super) fn names(table: &Table, columns: &[usize]) -> Vec<String> {
    columns.iter().map(|i| table.columns[*i].name.clone()).collect()
}

/// The columns of these names; the error is the first name that the table does not have.
pub(super) fn indices(table: &Table, names: &[String]) -> Result<Vec<usize>, String> {
    names.iter().map(|name| table.column(name).ok_or_else(|| name.clone())).collect()
}

impl TableFacts {
    /// The table; the error is a column that a key names and the table does not have.
    pub(super) fn to_table(&self) -> Result<Table, String> {
        let columns = self.columns.iter().map(|facts| Column {
            name: facts.name.clone(),
            type_name: facts.type_name.clone(),
            kind: facts.kind,
            nullable: facts.nullable,
            default: facts.default.clone(),
            origin: facts.origin,
        });
        let mut table = Table {
            name: TableName { schema: self.schema.clone(), name: self.name.clone() },
            columns: columns.collect(),
            primary_key: Vec::new(),
            unique: Vec::new(),
            notes: self.notes.clone(),
        };
        table.primary_key = indices(&table, &self.primary_key)?;
        table.unique = self.unique.iter().map(|key| indices(&table, key)).collect::<Result<_, _>>()?;
        Ok(table)
    }
}

impl From<&Counts> for CountFacts {
    fn from(counts: &Counts) -> Self {
        Self {
            desired: counts.desired,
            live: counts.live,
            insert: counts.insert,
            update: counts.update,
            delete: counts.delete,
            unchanged: counts.unchanged,
            only_live: counts.only_live,
            cells_changed: counts.cells_changed.clone(),
            suppressed: counts.suppressed.clone(),
        }
    }
}

impl From<&CountFacts> for Counts {
    fn from(facts: &CountFacts) -> Self {
        Self {
            desired: facts.desired,
            live: facts.live,
            insert: facts.insert,
            update: facts.update,
            delete: facts.delete,
            unchanged: facts.unchanged,
            only_live: facts.only_live,
            cells_changed: facts.cells_changed.clone(),
            suppressed: facts.suppressed.clone(),
        }
    }
}
