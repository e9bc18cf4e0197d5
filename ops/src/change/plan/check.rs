//! `plan check`: is every row still what the plan saw? Only reads.

use serde::Serialize;

use super::keys::key_text;
use super::layout::{Layout, Op, changed};
use super::{PlanDir, PlanError};
use crate::guard::Refusal;
use crate::report::{Align, Document, Table};
use crate::target::{Change, Target, TargetError};
use crate::text::{ellipsis, one_line, thousands};
use crate::value::{Row, Value, same_row};

/// Rows that are read at once.
const BATCH_ROWS: usize = 500;
/// Drifted rows that are named.
const NAMED_ROWS: usize = 50;

/// Why a plan could not be held against its target.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The plan could not be read.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The target could not be read.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// It is not the target of this plan, or its table changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Where a live row stands against a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// As the plan saw it: the change can be made.
    Fresh,
    /// As the plan wants it: there is nothing left to do.
    Already,
    /// Neither.
    Drifted,
}

/// Where `found` stands against a change; both hold the columns of the plan.
pub fn standing(change: &Change, found: Option<&[Value]>) -> Standing {
    let is = |row: &Row| found.is_some_and(|found| same_row(found, row));
    let (is_before, is_after) = match change {
        Change::Insert { after } => (found.is_none(), found.is_some_and(|found| is_given(found, after))),
        Change::Update { before, after } => (is(before), is(after)),
        Change::Delete { before } => (is(before), found.is_none()),
    };
    match (is_before, is_after) {
        (true, _) => Standing::Fresh,
        (false, true) => Standing::Already,
        (false, false) => Standing::Drifted,
    }
}

/// Whether a row holds what an insertion gives; what it leaves to defaults may be anything.
fn is_given(found: &[Value], after: &[Option<Value>]) -> bool {
    found
        .iter()
        .zip(after)
        .all(|(found, after)| after.as_ref().is_none_or(|a| a.as_ref().same(found.as_ref())))
}

/// A row that is neither what the plan saw nor what it wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DriftedRow {
    /// Position in the plan.
    pub position: u64,
    /// What the plan would do.
    pub op: String,
    /// The key as people read it.
    pub key: String,
    /// The columns that are not what the plan saw; empty when the row is gone, or is there and should not be.
    pub columns: Vec<String>,
}

/// How fresh a plan is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Freshness {
    /// Version of this JSON document.
    pub format: u32,
    /// Full id of the plan.
    pub plan: String,
    /// Changes of the plan.
    pub changes: u64,
    /// Rows that are as the plan saw them.
    pub fresh: u64,
    /// Rows that are as the plan wants them.
    pub already: u64,
    /// Rows that are neither.
    pub drifted: u64,
    /// The first of those.
    pub drifted_rows: Vec<DriftedRow>,
}

impl Freshness {
    /// Whether applying would change every row of the plan.
    pub fn is_fresh(&self) -> bool {
        self.fresh == self.changes
    }

    /// What `plan check` prints.
    pub fn document(&self) -> Document {
        let mut table = Table::new([("rows", Align::Left), ("count", Align::Right)]);
        for (words, count) in [
            ("as the plan saw them", self.fresh),
            ("already as the plan wants them", self.already),
            ("drifted: neither", self.drifted),
        ] {
            table.row([words.to_owned(), thousands(count)]);
        }
        let mut document = Document::new();
        document.heading(1, format!("Is plan {} still fresh?", self.plan.get(..12).unwrap_or(&self.plan)));
        document.table(table).list([format!(
            "changes {} = {} fresh + {} already + {} drifted",
            thousands(self.changes),
            thousands(self.fresh),
            thousands(self.already),
            thousands(self.drifted)
        )]);
        if self.drifted > 0 {
            let named = self.drifted_rows.len() as u64;
            if named < self.drifted {
                document.text(format!("The first {named} of {} drifted rows:", thousands(self.drifted)));
            }
            document.table(self.drifted_table());
        }
        document.text(match (self.is_fresh(), self.drifted) {
            (true, _) => "It is fresh.",
            (false, 0) => "A part of it is done already; applying does the rest.",
            (false, _) => "Drifted rows would be left alone. Make the plan again to decide about them.",
        });
        document
    }

    fn drifted_table(&self) -> Table {
        let mut table = Table::new([
            ("position", Align::Right),
            ("op", Align::Left),
            ("key", Align::Code),
            ("differs", Align::Left),
        ]);
        for row in &self.drifted_rows {
            let columns = match (row.columns.is_empty(), row.op.as_str()) {
                (false, _) => one_line(&row.columns.join(", ")),
                (true, "insert") => "another row is there".to_owned(),
                (true, _) => "the row is gone".to_owned(),
            };
            table.row([row.position.to_string(), row.op.clone(), ellipsis(&one_line(&row.key), 48), columns]);
        }
        table
    }

    fn count(&mut self, layout: &Layout, position: u64, change: &Change, found: Option<&[Value]>) {
        match standing(change, found) {
            Standing::Fresh => self.fresh += 1,
            Standing::Already => self.already += 1,
            Standing::Drifted => {
                self.drifted += 1;
                if self.drifted_rows.len() < NAMED_ROWS {
                    self.drifted_rows.push(drifted(layout, position, change, found));
                }
            }
        }
    }
}

fn drifted(layout: &Layout, position: u64, change: &Change, found: Option<&[Value]>) -> DriftedRow {
    let seen = match change {
        Change::Insert { .. } => None,
        Change::Update { before, .. } | Change::Delete { before } => Some(before),
    };
    let columns = seen.zip(found).map(|(seen, found)| {
        changed(seen, found).map(|at| layout.column(at).name.clone()).collect::<Vec<_>>()
    });
    DriftedRow {
        position,
        op: Op::of(change).as_str().to_owned(),
        key: key_text(&layout.key_of(change)),
        columns: columns.unwrap_or_default(),
    }
}

/// Reads every row of the plan and says where it stands. Refuses another target, and a table that changed.
pub fn check(plan: &PlanDir, target: &mut dyn Target) -> Result<Freshness, CheckError> {
    require_target(plan, target)?;
    let layout = plan.layout();
    let table = target.table(&layout.table.name)?;
    if table.digest() != plan.facts().table.digest {
        let what = format!("the table `{}` is not what plan {} saw", table.name, plan.short());
        let expected = format!("a schema of digest {}", plan.facts().table.digest);
        return Err(Refusal::new(what, expected, format!("digest {}", table.digest()))
            .next("make the plan again")
            .into());
    }
    let mut freshness =
        Freshness { format: 1, plan: plan.id().to_owned(), changes: plan.len(), ..Freshness::default() };
    let rows_max = target.capabilities().batch_rows_max.clamp(1, BATCH_ROWS);
    let mut changes = plan.changes()?;
    let mut position = 0;
    loop {
        let batch = changes.by_ref().take(rows_max).collect::<Result<Vec<_>, _>>()?;
        if batch.is_empty() {
            return Ok(freshness);
        }
        let keys: Vec<Row> = batch.iter().map(|change| layout.key_of(change)).collect();
        let found = target.read(&table, &layout.key, &keys)?;
        for (change, found) in batch.iter().zip(found) {
            let found = found.map(|row| layout.project(&row));
            freshness.count(layout, position, change, found.as_deref());
            position += 1;
        }
    }
}

fn require_target(plan: &PlanDir, target: &mut dyn Target) -> Result<(), CheckError> {
    let (expected, found) = (plan.target(), target.identity()?);
    let is_same = expected.fingerprint == found.fingerprint
        && expected.lineage.as_ref().map(|l| &l.id) == found.lineage.as_ref().map(|l| &l.id);
    if is_same {
        return Ok(());
    }
    let show = |identity: &crate::target::TargetIdentity| {
        let lineage = identity.lineage.as_ref().map_or("none", |lineage| lineage.id.as_str());
        format!("{} ({}, lineage {lineage})", identity.url, identity.fingerprint)
    };
    let what = format!("this is not the target of plan {}", plan.short());
    Err(Refusal::new(what, show(&expected), show(&found))
        .next("name the target of the plan, or make a plan for this one")
        .into())
}

#[cfg(test)]
mod tests;
