//! The account of one run, for people and for programs.

use serde::Serialize;

use super::context::{Job, Why};
use super::readback::{Problem, Written};
use super::session::Effort;
use crate::change::error::RunError;
use crate::change::journal::{Canary, Found};
use crate::clock::Stamp;
use crate::ledger::Ledger;
use crate::report::{Align, Check, Document, Table};
use crate::target::TargetIdentity;
use crate::text::thousands;

/// Version of the JSON document.
const FORMAT: u32 = 1;

/// How a run ended, as its exit code says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Every change has its outcome, and every claim of the report holds.
    Done,
    /// Something is left to do or to look at; the journal is kept.
    Partly,
    /// A guard stopped it before the first row.
    Refused,
    /// Somebody stopped it; it can be resumed.
    Interrupted,
    /// It went wrong before the first row, or its books do not balance.
    Failed,
}

/// What planning again has shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Replan {
    /// This many changes are left.
    Left {
        /// Rows to insert.
        insert: u64,
        /// Rows to update.
        update: u64,
        /// Rows to delete.
        delete: u64,
    },
    /// It could not be planned again; the rows that were read back are all there is.
    NotPlanned {
        /// Why: the desired file is gone, for example.
        reason: String,
    },
}

/// What reading back has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Rows that are as they were written.
    pub verified: u64,
    /// Rows that are not.
    pub altered: u64,
}

/// Where the time went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Seconds {
    /// Sending batches, waits included.
    pub apply: f64,
    /// Reading back and planning again.
    pub verify: f64,
}

/// The account of one run. The ledger must balance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunReport {
    /// What kind of document this is.
    pub artifact: &'static str,
    /// Version of this JSON document.
    pub format: u32,
    /// The plan's full digest.
    pub plan: String,
    /// `apply`, `rollback`, …
    pub direction: String,
    /// Which database.
    pub target: TargetIdentity,
    /// Which table.
    pub table: String,
    /// The run was over before; this process has written nothing.
    pub is_old: bool,
    /// When this process began.
    pub started_at: Stamp,
    /// When it ended.
    pub ended_at: Stamp,
    /// How it ended.
    pub end: End,
    /// Why it ended, always one sentence.
    pub why: String,
    /// `planned = applied + already + drifted + failed + not_reached`, over all processes of the run.
    pub ledger: Ledger,
    /// What the applied rows were, over all processes of the run.
    pub written: Written,
    /// Rows that had an outcome before this process.
    pub before: u64,
    /// What this process took.
    pub effort: Effort,
    /// Where its time went.
    pub seconds: Seconds,
    /// What reading back has shown; `None` when the run did not get there.
    pub verification: Option<Verification>,
    /// What planning again has shown; `None` when nobody asked or the run did not get there.
    pub replan: Option<Replan>,
    /// The rows that went first, when there were any.
    pub canary: Option<Canary>,
    /// Bytes of a torn line that were cut from the journal.
    pub journal_torn: u64,
    /// Outcomes that were missing in the journal and came from the target's books.
    pub journal_recovered: u64,
    /// The first rows that somebody should look at; `outcomes.ndjson` has all of the run.
    pub problems: Vec<Problem>,
    /// What must hold for the run to be done.
    pub checks: Vec<Check>,
}

impl RunReport {
    /// The account of a run that has nothing to do.
    pub(crate) fn nothing(job: &Job<'_>, why: impl Into<String>, now: Stamp) -> Self {
        let mut report = Self::new(job, &Found::default(), now);
        report.why = why.into();
        report.conclude(None);
        report
    }

    /// The account of a run that was over before.
    pub(crate) fn already(job: &Job<'_>, found: &Found, now: Stamp) -> Self {
        let mut report = Self::new(job, found, now);
        report.before = found.next;
        report.is_old = true;
        report.why = Self::was_done(job);
        report.conclude(None);
        report
    }

    /// Why a run that was over before ends at once.
    pub(crate) fn was_done(job: &Job<'_>) -> String {
        format!("the {} of this plan was done before; nothing was written", job.run.direction)
    }

    pub(crate) fn new(job: &Job<'_>, found: &Found, now: Stamp) -> Self {
        let total = job.changes.total();
        let tally = found.tally;
        let ended = [
            ("applied", tally.applied),
            ("already", tally.already),
            ("drifted", tally.drifted),
            ("failed", tally.failed),
            ("not_reached", total.saturating_sub(found.next)),
        ];
        let ended = ended.into_iter().map(|(how, n)| (how.to_owned(), n)).collect();
        Self {
            artifact: "change-run",
            format: FORMAT,
            plan: job.run.plan.clone(),
            direction: job.run.direction.clone(),
            target: job.identity.clone(),
            table: job.layout.table.name.to_string(),
            is_old: false,
            started_at: now,
            ended_at: now,
            end: End::Failed,
            why: String::new(),
            ledger: Ledger { total, ended },
            written: Written::default(),
            before: 0,
            effort: Effort::default(),
            seconds: Seconds::default(),
            verification: None,
            replan: None,
            canary: found.canary,
            journal_torn: found.torn,
            journal_recovered: 0,
            problems: job.left_out.to_vec(),
            checks: Vec::new(),
        }
    }

    /// Draws the conclusion from everything else.
    pub(crate) fn conclude(&mut self, stopped: Option<&Why>) {
        self.checks = self.claims();
        let reached = self.ledger.total - self.ledger.count("not_reached");
        self.end = match stopped {
            _ if !self.ledger.balances() => End::Failed,
            Some(Why::Interrupted) => End::Interrupted,
            Some(Why::Error(RunError::Refused(_))) if reached == 0 => End::Refused,
            Some(Why::Error(_) | Why::Whole { .. }) if reached == 0 => End::Failed,
            None if self.checks.iter().all(|check| check.met) => End::Done,
            _ => End::Partly,
        };
        if let Some(why) = stopped {
            self.why = why.to_string();
        } else if self.why.is_empty() {
            let unmet = self.checks.iter().find(|check| !check.met);
            self.why = unmet.map_or_else(
                || "every change has its outcome and reads back".to_owned(),
                |check| format!("all changes were reached, but not: {} ({})", check.claim, check.measured),
            );
        }
    }

    fn claims(&self) -> Vec<Check> {
        let count = |how| self.ledger.count(how);
        let check = |claim: &str, met, measured| Check { claim: claim.to_owned(), met, measured };
        let mut checks = vec![
            check("the books balance", self.ledger.balances(), self.ledger.equation()),
            check(
                "every change was reached",
                count("not_reached") == 0,
                format!("{} not reached", thousands(count("not_reached"))),
            ),
            check(
                "no row drifted and none was refused",
                count("drifted") + count("failed") == 0,
                format!("{} drifted, {} failed", thousands(count("drifted")), thousands(count("failed"))),
            ),
        ];
        let unknown = self.problems.iter().filter(|problem| problem.what == "unknown").count() as u64;
        if unknown > 0 {
            checks.push(check("it is known of every row what to do", false, format!("{unknown} unknown")));
        }
        if let Some(Verification { verified, altered }) = self.verification {
            let measured = format!("{} as written, {} not", thousands(verified), thousands(altered));
            checks.push(check("every written row reads back", altered == 0, measured));
        }
        if let Some(Replan::Left { insert, update, delete }) = self.replan {
            let measured = format!("{insert} to insert, {update} to update, {delete} to delete");
            checks.push(check("a new plan is empty", insert + update + delete == 0, measured));
        }
        checks
    }

    /// The account as a report.
    pub fn document(&self) -> Document {
        let mut document = Document::new();
        let short: String = self.plan.chars().take(12).collect();
        document.heading(1, format!("Plan {short}: {}", self.direction));
        document.text(self.why.clone());
        document.facts(self.facts());
        document.heading(2, "What must hold").checks(self.checks.clone());
        if !self.problems.is_empty() {
            document.heading(2, "Rows to look at");
            let mut table = Table::new([
                ("n", Align::Right),
                ("key", Align::Left),
                ("op", Align::Left),
                ("what", Align::Left),
                ("detail", Align::Left),
            ]);
            for problem in &self.problems {
                let (n, key) = (problem.position.to_string(), problem.key.clone());
                table.row([n, key, problem.op.into(), problem.what.into(), problem.detail.clone()]);
            }
            document.table(table);
        }
        document
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let effort = &self.effort;
        let mut facts = vec![
            ("target", self.target.url.clone()),
            ("table", self.table.clone()),
            ("rows", self.ledger.equation().replace('_', " ")),
            (
                "written",
                format!(
                    "{} inserted, {} updated, {} deleted",
                    thousands(self.written.insert),
                    thousands(self.written.update),
                    thousands(self.written.delete)
                ),
            ),
            ("from", self.started_at.iso()),
            ("to", self.ended_at.iso()),
            (
                "batches",
                format!(
                    "{} of at most {} rows, {} cut in two, {} retries, {} lost answers",
                    thousands(effort.batches),
                    thousands(effort.rows_max),
                    thousands(effort.splits),
                    thousands(effort.retries),
                    thousands(effort.in_doubt)
                ),
            ),
        ];
        if self.before > 0 {
            facts.push(("done before", format!("{} rows", thousands(self.before))));
        }
        if effort.throttled_ms > 0 {
            facts.push(("throttled", format!("{:.1} s", effort.throttled_ms as f64 / 1000.0)));
        }
        if self.journal_torn > 0 {
            facts.push(("journal", format!("{} bytes of a torn line were cut off", self.journal_torn)));
        }
        if self.journal_recovered > 0 {
            let recovered = thousands(self.journal_recovered);
            facts.push(("journal", format!("{recovered} outcomes came from the target's books")));
        }
        if let Some(canary) = self.canary {
            let Canary { rows, verified, altered } = canary;
            facts.push(("canary", format!("{rows} rows, {verified} as written, {altered} not")));
        }
        if let Some(Replan::NotPlanned { reason }) = &self.replan {
            facts.push(("new plan", format!("not made: {reason}")));
        }
        facts
    }
}
