//! What a table must look like, as digests: what is there, and what a plan makes of it.

use std::collections::BTreeMap;

use crate::change::apply::{Changes, Past};
use crate::change::error::RunError;
use crate::change::plan::{Layout, PlanDir, changed};
use crate::change::snapshot::TableDigest;
use crate::target::{Change, Outcome, Target, TargetError};
use crate::value::{Row, Value, ValueRef, digest_row};
use std::path::Path;

/// The digests of a table's rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Over all columns, as a backup's certificate has it.
    pub(super) whole: TableDigest,
    /// Over the columns that a plan can write.
    pub(super) planned: TableDigest,
}

impl Seen {
    pub(super) fn add(&mut self, row: &[ValueRef<'_>], layout: &Layout, scratch: &mut Vec<u8>) {
        self.whole.add_row(row, scratch);
        self.planned.add(digest_row(layout.columns.iter().map(|column| row[*column]), scratch));
    }
}

/// Reads the whole table.
pub(super) fn look(target: &mut dyn Target, layout: &Layout) -> Result<Seen, TargetError> {
    let (mut seen, mut scratch) = (Seen::default(), Vec::new());
    target.scan(&layout.table, &mut |row| {
        seen.add(row, layout, &mut scratch);
        Ok(())
    })?;
    Ok(seen)
}

/// What the plan wants, given what was there; with what the database made of it instead.
#[derive(Debug, Default)]
pub(super) struct Desired {
    /// Over the columns of the plan.
    pub(super) digest: TableDigest,
    /// Rows that were stored otherwise than the plan has them, by column.
    pub(super) otherwise: BTreeMap<String, u64>,
}

/// Computes the rows that must be there from those that were, and from the plan. Only where the plan leaves a column to
/// its default the value is taken from what the run in `folder` stored, which reached `reached` changes.
pub(super) fn desired(
    plan: &PlanDir,
    before: TableDigest,
    folder: &Path,
    reached: u64,
) -> Result<Desired, RunError> {
    let layout = plan.layout();
    let mut desired = Desired { digest: before, otherwise: BTreeMap::new() };
    let mut scratch = Vec::new();
    for done in Past::open(plan, folder, reached)? {
        let done = done?;
        let stored = match done.outcome {
            Outcome::Applied { stored } => stored,
            _ => None,
        };
        desired.take(layout, &done.change, stored.as_ref(), &mut scratch);
    }
    for change in plan.read(reached)? {
        desired.take(layout, &change?, None, &mut scratch);
    }
    Ok(desired)
}

impl Desired {
    fn take(&mut self, layout: &Layout, change: &Change, stored: Option<&Row>, scratch: &mut Vec<u8>) {
        let (before, after) = match change {
            Change::Insert { after } => (None, Some(filled(after, stored))),
            Change::Update { before, after } => (Some(before), Some(after.clone())),
            Change::Delete { before } => (Some(before), None),
        };
        let mut digest = |row: &[Value]| digest_row(row.iter().map(Value::as_ref), scratch);
        if let Some(before) = before {
            self.digest.remove(digest(before));
        }
        let Some(after) = after else { return };
        self.digest.add(digest(&after));
        for at in stored.iter().flat_map(|stored| changed(&after, stored)) {
            *self.otherwise.entry(layout.column(at).name.clone()).or_insert(0) += 1;
        }
    }
}

/// What an insertion makes: what it gives, and what the database filled in.
fn filled(after: &[Option<Value>], stored: Option<&Row>) -> Row {
    let stored = |at: usize| stored.map_or(Value::Null, |stored| stored[at].clone());
    after.iter().enumerate().map(|(at, value)| value.clone().unwrap_or_else(|| stored(at))).collect()
}
