//! What a drain did, for people and for programs.

use serde::Serialize;

use super::Policy;
use crate::clock::Stamp;
use crate::ledger::Ledger;
use crate::phases::{PhaseKey, PhaseState};
use crate::report::{Align, Document, Table};
use crate::text::{plural, thousands};

/// At most this many failed attempts and warnings are listed; all are counted.
const LISTED_MAX: usize = 100;

/// The account of one drain. Both ledgers must balance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DrainReport {
    /// Version of this JSON document.
    pub format: u32,
    /// Name of the drain in the database.
    pub session_id: String,
    /// Which executor.
    pub executor: &'static str,
    /// The run that the drain was restricted to.
    pub run_id: Option<String>,
    /// Why telemetry is on or off.
    pub telemetry: String,
    /// When it began.
    pub started_at: Stamp,
    /// When it ended.
    pub finished_at: Stamp,
    /// Phases whose lease had expired and that were put back first.
    pub recovered: Vec<PhaseKey>,
    /// Attempts by outcome.
    pub attempts: Ledger,
    /// One event an attempt: `written`, or the reason why not.
    pub events: Ledger,
    /// Phases that became COMPLETE.
    pub phases_completed: u64,
    /// Phases that became FAILED.
    pub phases_failed: u64,
    /// Phases that still wait.
    pub left_waiting: u64,
    /// Phases that others work on, or whose worker is gone and whose lease has not yet expired.
    pub left_executing: u64,
    /// Why it ended before nothing waited: `interrupted`, `phase_failed` or `attempt_limit`.
    pub stopped: Option<&'static str>,
    /// Attempts that were no success, the first 100.
    pub failures: Vec<Failure>,
    /// Doubtful data, the first 100.
    pub warnings: Vec<String>,
    /// All warnings, listed or not.
    pub warning_count: u64,
}

/// One attempt that was no success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Which phase.
    pub phase: PhaseKey,
    /// Which attempt at it.
    pub attempt: u64,
    /// How it ended.
    pub outcome: &'static str,
    /// Why, as a stable word.
    pub reason: &'static str,
    /// Why, for people.
    pub detail: String,
    /// Where the phase stands now.
    pub state: PhaseState,
}

impl DrainReport {
    pub(super) fn new(policy: &Policy, executor: &'static str, now: Stamp) -> Self {
        Self {
            format: 1,
            session_id: policy.session_id.clone(),
            executor,
            run_id: policy.selection.run_id.clone(),
            telemetry: policy.telemetry.explain(),
            started_at: now,
            finished_at: now,
            recovered: Vec::new(),
            attempts: Ledger::default(),
            events: Ledger::default(),
            phases_completed: 0,
            phases_failed: 0,
            left_waiting: 0,
            left_executing: 0,
            stopped: None,
            failures: Vec::new(),
            warnings: Vec::new(),
            warning_count: 0,
        }
    }

    pub(super) fn warn(&mut self, warning: String) {
        self.warning_count += 1;
        if self.warnings.len() < LISTED_MAX {
            self.warnings.push(warning);
        }
    }

    pub(super) fn fail(&mut self, failure: Failure) {
        if self.failures.len() < LISTED_MAX {
            self.failures.push(failure);
        }
    }

    /// Whether every attempt has one outcome and one account of its event.
    pub fn balances(&self) -> bool {
        self.attempts.balances() && self.events.balances() && self.attempts.total == self.events.total
    }

    /// The account as a report.
    pub fn document(&self) -> Document {
        let mut document = Document::new();
        document.heading(2, "Drain");
        let mut facts = vec![
            ("session", format!("{}, executor {}", self.session_id, self.executor)),
            ("attempts", self.attempts.equation()),
            ("events", self.events.equation()),
            (
                "phases",
                format!(
                    "{} completed, {} failed, {} still waiting",
                    thousands(self.phases_completed),
                    thousands(self.phases_failed),
                    thousands(self.left_waiting)
                ),
            ),
            ("telemetry", self.telemetry.clone()),
        ];
        if self.left_executing > 0 {
            facts.push((
                "executing",
                format!("{} under a lease of another drain", plural(self.left_executing, "phase")),
            ));
        }
        if !self.recovered.is_empty() {
            facts.push((
                "recovered",
                format!("{} with an expired lease", plural(self.recovered.len() as u64, "phase")),
            ));
        }
        if self.attempts.total == 0 && self.stopped.is_none() {
            facts.push(("nothing to do", "no phase is QUEUED".to_owned()));
        }
        if let Some(stopped) = self.stopped {
            facts.push(("stopped", stopped.replace('_', " ")));
        }
        document.facts(facts);
        if !self.failures.is_empty() {
            let unsuccessful = self.attempts.total - self.attempts.count("success");
            document.text(format!("{} without success:", plural(unsuccessful, "attempt")));
            document.table(self.failure_table());
        }
        for warning in &self.warnings {
            document.text(format!("warning: {warning}"));
        }
        document
    }

    fn failure_table(&self) -> Table {
        let mut table = Table::new([
            ("phase", Align::Left),
            ("attempt", Align::Right),
            ("outcome", Align::Left),
            ("why", Align::Left),
            ("phase is now", Align::Left),
        ]);
        for failure in &self.failures {
            table.row([
                failure.phase.phase_id.clone(),
                failure.attempt.to_string(),
                failure.outcome.replace('_', " "),
                format!("{}: {}", failure.reason.replace('_', " "), failure.detail),
                failure.state.as_str().to_owned(),
            ]);
        }
        table
    }
}
