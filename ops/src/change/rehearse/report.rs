//! The account of a rehearsal, for people and for programs.

use std::path::Path;

use serde::Serialize;

use super::{REPORT_JSON, REPORT_MD};
use crate::change::apply::Problem;
use crate::change::gate::{Decision, Entry, Stage};
use crate::change::plan::{Manifest, PlanDir, commands};
use crate::clock::Stamp;
use crate::files::{self, FileError};
use crate::ledger::Ledger;
use crate::report::{Align, Check, Document, Table};
use crate::text::{ellipsis, one_line, plural, thousands};

/// Version of the JSON document.
const FORMAT: u32 = 1;
/// Rows that are shown.
const PROBLEMS_MAX: usize = 20;

/// What became of the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shell {
    /// This program is not there to run it.
    Missing(String),
    /// It ran and failed.
    Failed {
        /// The program.
        program: String,
        /// What it said, without contents of rows.
        said: String,
    },
    /// This program ran it to its end.
    Done(String),
}

/// Where the rows were tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CloneFacts {
    /// Where, without secrets.
    pub place: String,
    /// Rows that were loaded from the backup.
    pub rows: u64,
    /// What it lacks of the original, or has otherwise.
    pub lacks: Vec<String>,
}

/// The table at each step, by digest. Over all columns, but for `desired` and `applied`, which are over those that the plan
/// can write.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Digests {
    /// What the backup's certificate says.
    pub certificate: String,
    /// The clone as it was loaded.
    pub loaded: String,
    /// What the plan makes of that, computed from the plan.
    pub desired: String,
    /// The clone when the plan was applied.
    pub applied: String,
    /// The clone when the script had taken it back.
    pub by_script: Option<String>,
    /// The clone when the rollback had taken it back.
    pub rolled_back: Option<String>,
}

/// What was killed, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Crashes {
    /// Writes of a run in one direction: its batches, and its end.
    pub writes: u64,
    /// At how many of them processes were killed.
    pub points: u64,
    /// Processes that were killed: before a write, after it, and with its answer lost, in both directions.
    pub killed: u64,
    /// Of these, those after which the run ended with the same digest as if nobody had been killed.
    pub recovered: u64,
    /// Processes in all.
    pub processes: u64,
}

/// The account of a rehearsal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rehearsal {
    /// What kind of document this is.
    pub artifact: &'static str,
    /// Version of this JSON document.
    pub format: u32,
    /// The plan's full id.
    pub plan: String,
    /// Its seal.
    pub seal: String,
    /// The table of the plan.
    pub table: String,
    /// When it began.
    pub started_at: Stamp,
    /// When it ended.
    pub ended_at: Stamp,
    /// Whether the plan passed.
    pub passed: bool,
    /// Why not, or that it did: one sentence.
    pub why: String,
    /// Where it was tried.
    pub clone: CloneFacts,
    /// The table at each step.
    pub digests: Digests,
    /// What the undisturbed run did, row by row.
    pub ledger: Ledger,
    /// What must hold.
    pub checks: Vec<Check>,
    /// What was not tried, and why.
    pub not_tried: Vec<String>,
    /// Processes that were killed, when that was asked for.
    pub crashes: Option<Crashes>,
    /// The first rows that somebody should look at.
    pub problems: Vec<Problem>,
}

impl Rehearsal {
    pub(super) fn new(plan: &PlanDir, place: &str, now: Stamp) -> Self {
        Self {
            artifact: "rehearsal",
            format: FORMAT,
            plan: plan.id().to_owned(),
            seal: plan.manifest().seal.clone(),
            table: plan.layout().table.name.to_string(),
            started_at: now,
            ended_at: now,
            passed: false,
            why: String::new(),
            clone: CloneFacts { place: place.to_owned(), rows: 0, lacks: Vec::new() },
            digests: Digests::default(),
            ledger: Ledger::default(),
            checks: Vec::new(),
            not_tried: Vec::new(),
            crashes: None,
            problems: Vec::new(),
        }
    }

    /// Whether everything holds so far.
    pub(super) fn is_met(&self) -> bool {
        self.checks.iter().all(|check| check.met)
    }

    /// Draws the conclusion.
    pub(super) fn conclude(&mut self, now: Stamp) {
        self.ended_at = now;
        self.passed = self.is_met();
        self.problems.truncate(PROBLEMS_MAX);
        let unmet = self.checks.iter().find(|check| !check.met);
        self.why = unmet.map_or_else(
            || "on a clone the plan does what it says, and can be taken back".to_owned(),
            |check| format!("it does not hold that {} ({})", check.claim, check.measured),
        );
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), FileError> {
        let mut json = serde_json::to_vec_pretty(self).expect("a report is JSON");
        json.push(b'\n');
        files::write_atomic(&folder.join(REPORT_JSON), &json)?;
        files::write_atomic(&folder.join(REPORT_MD), self.document().markdown().as_bytes())
    }

    /// What the chain of gates keeps of it.
    pub fn entry(&self, manifest: &Manifest) -> Entry {
        let decision = if self.passed { Decision::Pass } else { Decision::Fail };
        let mut entry = Entry::about(manifest, Stage::Rehearse, decision)
            .with("seal", self.seal.as_str())
            .with("why", self.why.as_str())
            .with("before", self.digests.loaded.as_str())
            .with("after", self.digests.applied.as_str());
        if let Some(rolled_back) = &self.digests.rolled_back {
            entry = entry.with("rolled_back", rolled_back.as_str());
        }
        if let Some(crashes) = &self.crashes {
            entry = entry.with("crash_points", crashes.killed).with("recovered", crashes.recovered);
        }
        entry
    }

    /// The account as a report.
    pub fn document(&self) -> Document {
        let mut document = Document::new();
        let short = self.plan.get(..12).unwrap_or(&self.plan);
        let verdict = if self.passed { "passed" } else { "failed" };
        document.heading(1, format!("Rehearsal of plan {short}: {verdict}"));
        document.text(format!("{}.", capital(&self.why)));
        document.facts(self.facts());
        document.heading(2, "What must hold").checks(self.checks.clone());
        document.heading(2, "Digests").table(self.digest_table());
        if !self.problems.is_empty() {
            document.heading(2, "Rows to look at").table(self.problem_table());
        }
        let missing = self.clone.lacks.iter().map(|lack| format!("not in the clone: {lack}"));
        let not_tried = self.not_tried.iter().map(|what| format!("not tried: {what}"));
        let limits: Vec<String> = missing.chain(not_tried).collect();
        if !limits.is_empty() {
            document.heading(2, "What this does not show").list(limits);
        }
        document
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = vec![
            ("table", self.table.clone()),
            ("clone", format!("{} in {}, removed again", plural(self.clone.rows, "row"), self.clone.place)),
            ("rows", self.ledger.equation().replace('_', " ")),
        ];
        if let Some(Crashes { writes, points, killed, recovered, processes }) = &self.crashes {
            let [writes, points, killed, recovered, processes] =
                [writes, points, killed, recovered, processes].map(|n| thousands(*n));
            facts.push((
                "crashes",
                format!("{killed} crash points, {recovered} recovered to the same digest"),
            ));
            facts.push((
                "how",
                format!("{processes} processes, killed at {points} of {writes} writes a direction, before, after and with the answer lost"),
            ));
        }
        facts.extend([("from", self.started_at.iso()), ("to", self.ended_at.iso())]);
        facts
    }

    fn digest_table(&self) -> Table {
        let Digests { certificate, loaded, desired, applied, by_script, rolled_back } = &self.digests;
        let mut table = Table::new([
            ("the table", Align::Left),
            ("rows and digest", Align::Code),
            ("columns", Align::Left),
        ]);
        let some = |digest: &str| if digest.is_empty() { "–".to_owned() } else { digest.to_owned() };
        let or_none = |digest: &Option<String>| digest.clone().unwrap_or_else(|| "–".to_owned());
        for (what, digest, columns) in [
            ("in the backup's certificate", some(certificate), "all"),
            ("as loaded", some(loaded), "all"),
            ("as the plan wants it", some(desired), "of the plan"),
            ("as applied", some(applied), "of the plan"),
            ("taken back by script", or_none(by_script), "all"),
            ("rolled back", or_none(rolled_back), "all"),
        ] {
            table.row([what.to_owned(), digest, columns.to_owned()]);
        }
        table
    }

    fn problem_table(&self) -> Table {
        let mut table = Table::new([
            ("n", Align::Right),
            ("key", Align::Code),
            ("op", Align::Left),
            ("what", Align::Left),
            ("detail", Align::Left),
        ]);
        for problem in &self.problems {
            let key = ellipsis(&one_line(&problem.key), 48);
            let (n, detail) = (problem.position.to_string(), one_line(&problem.detail));
            table.row([n, key, problem.op.to_owned(), problem.what.to_owned(), detail]);
        }
        table
    }

    /// What to do next.
    pub fn next(&self, manifest: &Manifest, folder: &str) -> String {
        if self.passed {
            let approve = commands::approve(manifest);
            format!("cargo xtask upsert --plan {folder} --apply {approve} --require-rehearsal")
        } else {
            "make another plan; this one was tried on a clone only, and the target is as it was".to_owned()
        }
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
