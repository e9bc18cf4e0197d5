//! What the attempts of a session add up to.
//!
//! Fed by the journal's accounts only, so that a resumed session counts the same as one that was never interrupted.

use std::collections::BTreeMap;

use serde::Serialize;

use super::journal::Ended;
use crate::ledger::Ledger;
use crate::phases::{PhaseKey, PhaseState};
use crate::text;

/// At most this many failed attempts and warnings are listed; all are counted.
const LISTED_MAX: usize = 100;

/// One attempt that was no success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Which phase.
    pub phase: PhaseKey,
    /// Which attempt at it.
    pub attempt: u64,
    /// How it ended.
    pub outcome: String,
    /// Why, as a stable word.
    pub reason: String,
    /// Why, for people.
    pub detail: String,
    /// Where the phase stands now.
    pub state: PhaseState,
}

/// What the attempts of one run add up to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RunAccount {
    /// Attempts.
    pub attempts: u64,
    /// Attempts that were a success.
    pub successes: u64,
    /// Attempts that ran out of time.
    pub timeouts: u64,
    /// Events written.
    pub events: u64,
}

/// Counts of a session.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) attempts: Ledger,
    pub(super) events: Ledger,
    pub(super) zero_yield: Ledger,
    pub(super) phases_completed: u64,
    pub(super) phases_failed: u64,
    pub(super) asked_model: Ledger,
    pub(super) tokens: u64,
    pub(super) took_ms: u64,
    /// Events a minute of each attempt that left one.
    pub(super) yields: Vec<f64>,
    pub(super) runs: BTreeMap<String, RunAccount>,
    /// Attempts in stopped runs, and those that were worth something.
    pub(super) held_out: (u64, u64),
    pub(super) overtaken: u64,
    pub(super) out_of_attempts: u64,
    pub(super) repeat_hits: u64,
    pub(super) reopened: u64,
    pub(super) failures: Vec<Failure>,
    pub(super) warnings: Vec<String>,
    pub(super) warning_count: u64,
}

impl Tally {
    /// Books an attempt.
    pub(super) fn account(&mut self, ended: &Ended, held_out: bool, is_worth: bool) {
        let has_event = ended.telemetry == "written";
        self.attempts.take();
        self.attempts.end(&ended.outcome);
        self.events.take();
        self.events.end(&ended.telemetry);
        if let Some(reason) = &ended.zero_yield {
            self.zero_yield.take();
            self.zero_yield.end(reason);
        }
        self.asked_model.take();
        self.asked_model.end(match ended.asked_model {
            Some(true) => "reached",
            Some(false) => "not_reached",
            None => "unknown",
        });
        match ended.state {
            PhaseState::Complete => self.phases_completed += 1,
            PhaseState::Failed => self.phases_failed += 1,
            PhaseState::Queued => {}
        }
        self.tokens = self.tokens.saturating_add(ended.tokens);
        self.took_ms += ended.took_ms;
        if has_event && ended.took_ms > 0 {
            self.yields.push(60_000.0 / ended.took_ms as f64);
        }
        let run = self.runs.entry(ended.run_id.clone()).or_default();
        run.attempts += 1;
        run.successes += u64::from(ended.outcome == "success");
        run.timeouts += u64::from(ended.outcome == "timed_out");
        run.events += u64::from(has_event);
        if held_out {
            self.held_out.0 += 1;
            self.held_out.1 += u64::from(is_worth);
        }
        if let Some(warning) = &ended.warning {
            self.warn(warning.clone());
        }
        self.fail(ended);
    }

    fn fail(&mut self, ended: &Ended) {
        let Some(reason) = ended.reason.clone().filter(|_| self.failures.len() < LISTED_MAX) else { return };
        self.failures.push(Failure {
            phase: PhaseKey { run_id: ended.run_id.clone(), phase_id: ended.phase_id.clone() },
            attempt: ended.attempt,
            outcome: ended.outcome.clone(),
            reason,
            detail: text::ellipsis(ended.detail.as_deref().unwrap_or_default(), 300),
            state: ended.state,
        });
    }

    /// Books an attempt whose account somebody else is to give.
    pub(super) fn lost(&mut self, phase: &str) {
        for ledger in [&mut self.attempts, &mut self.events] {
            ledger.take();
            ledger.end("lease_lost");
        }
        self.warn(format!("{phase}: the lease was lost during the attempt; nothing of it was recorded"));
    }

    pub(super) fn warn(&mut self, warning: String) {
        self.warning_count += 1;
        if self.warnings.len() < LISTED_MAX {
            self.warnings.push(warning);
        }
    }
}
