//! What a run would send, against the rows as they are now. Only reads; nothing here can write.

use serde::Serialize;

use super::context::{Job, Why};
use super::readback;
use super::session::Session;
use super::settings::Settings;
use super::{Context, not_begun};
use crate::change::error::RunError;
use crate::change::journal::Tally;
use crate::change::plan::{Op, Standing, key_json};
use crate::report::{Align, Document, Table};
use crate::target::Change;
use crate::text::thousands;
use crate::value::{Value, write_json};

/// Batches that the report for people lists.
const LISTED_MAX: usize = 20;

/// What a run would send.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// Changes in all.
    pub total: u64,
    /// How they would end if the rows stay as they are: nothing can fail here, only the database refuses.
    pub expected: Tally,
    /// The batches, in order.
    pub batches: Vec<BatchCounts>,
    /// The first rows as they would be sent.
    pub rows: Vec<PreviewRow>,
}

/// What one batch holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BatchCounts {
    /// Position of its first change.
    pub first: u64,
    /// Rows to insert.
    pub insert: u64,
    /// Rows to update.
    pub update: u64,
    /// Rows to delete.
    pub delete: u64,
    /// Rows that already are as they shall be.
    pub already: u64,
    /// Rows that are neither what the plan saw nor what it wants, and would be left alone.
    pub drifted: u64,
}

/// One row as it would be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PreviewRow {
    /// Its position in the plan.
    pub position: u64,
    /// `insert`, `update` or `delete`.
    pub op: &'static str,
    /// Its key, as JSON.
    pub key: String,
    /// What would be written, `column = value` in JSON: the changed cells of an update, all of an insert.
    pub cells: Vec<String>,
    /// `send`, `already` or `drifted`.
    pub now: &'static str,
}

/// Reads the rows that a run would change and says what it would do: counts for every batch, the first `rows` rows
/// in full.
pub(super) fn preview(
    job: &Job<'_>,
    settings: &Settings,
    context: &mut Context<'_>,
    rows: usize,
) -> Result<Preview, RunError> {
    let total = job.changes.total();
    let size = settings.batch.rows.get().min(context.target.capabilities().batch_rows_max.max(1));
    let mut session = Session::new(context, settings, job.run, total);
    let mut preview = Preview { total, ..Preview::default() };
    let mut changes = job.changes.read(0)?;
    let mut first = 0;
    loop {
        let batch: Vec<Change> = changes.by_ref().take(size).collect::<Result<_, _>>()?;
        if batch.is_empty() {
            return Ok(preview);
        }
        session.check().map_err(not_begun)?;
        look(&mut session, job, first, &batch, rows, &mut preview).map_err(not_begun)?;
        first += batch.len() as u64;
    }
}

fn look(
    session: &mut Session<'_, '_>,
    job: &Job<'_>,
    first: u64,
    batch: &[Change],
    rows: usize,
    preview: &mut Preview,
) -> Result<(), Why> {
    let standings = readback::standings(session, job, batch)?;
    let mut counts = BatchCounts { first, ..BatchCounts::default() };
    for ((position, change), (standing, _)) in (first..).zip(batch).zip(standings) {
        *match change {
            Change::Insert { .. } => &mut counts.insert,
            Change::Update { .. } => &mut counts.update,
            Change::Delete { .. } => &mut counts.delete,
        } += 1;
        let now = match standing {
            Standing::Fresh => {
                preview.expected.applied += 1;
                "send"
            }
            Standing::Already => {
                counts.already += 1;
                "already"
            }
            Standing::Drifted => {
                counts.drifted += 1;
                "drifted"
            }
        };
        if preview.rows.len() < rows {
            let key = key_json(&job.layout.key_of(change));
            preview.rows.push(PreviewRow {
                position,
                op: Op::of(change).as_str(),
                key,
                cells: cells(job, change),
                now,
            });
        }
    }
    preview.expected.already += counts.already;
    preview.expected.drifted += counts.drifted;
    preview.batches.push(counts);
    Ok(())
}

fn cells(job: &Job<'_>, change: &Change) -> Vec<String> {
    let cell = |name: &String, value: &Value| {
        let mut json = Vec::new();
        write_json(value.as_ref(), &mut json);
        format!("{name} = {}", String::from_utf8_lossy(&json))
    };
    let names = job.layout.each_column().map(|column| &column.name);
    match change {
        Change::Delete { .. } => Vec::new(),
        Change::Insert { after } => {
            let given = names.zip(after);
            given.filter_map(|(name, value)| value.as_ref().map(|value| cell(name, value))).collect()
        }
        Change::Update { before, after } => {
            let pairs = names.zip(before.iter().zip(after));
            let changed = pairs.filter(|(_, (before, after))| !before.as_ref().same(after.as_ref()));
            changed.map(|(name, (_, after))| cell(name, after)).collect()
        }
    }
}

impl Preview {
    /// The preview as a report.
    pub fn document(&self) -> Document {
        let mut document = Document::new();
        let Tally { applied, already, drifted, .. } = self.expected;
        document.heading(2, "What would be sent");
        document.facts([
            ("changes", thousands(self.total)),
            ("to be written", thousands(applied)),
            ("already as wanted", thousands(already)),
            ("drifted, would be left alone", thousands(drifted)),
            ("batches", thousands(self.batches.len() as u64)),
        ]);
        let number = |name| (name, Align::Right);
        let names = ["first", "insert", "update", "delete", "already", "drifted"];
        let mut batches = Table::new(names.map(number));
        for batch in self.batches.iter().take(LISTED_MAX) {
            let BatchCounts { first, insert, update, delete, already, drifted } = batch;
            batches.row([first, insert, update, delete, already, drifted].map(u64::to_string));
        }
        document.table(batches);
        if self.batches.len() > LISTED_MAX {
            document.text(format!("and {} more", thousands((self.batches.len() - LISTED_MAX) as u64)));
        }
        if !self.rows.is_empty() {
            document.heading(2, format!("The first {} rows", self.rows.len()));
            let left = |name| (name, Align::Left);
            let mut rows = Table::new(["key", "op", "now", "cells"].map(left));
            for row in &self.rows {
                rows.row([row.key.clone(), row.op.into(), row.now.into(), row.cells.join(", ")]);
            }
            document.table(rows);
        }
        document
    }
}
