//! Draining: claim a waiting phase, attempt it, account for it, until none waits.
//!
//! Every attempt ends in exactly one outcome and its event either in the database or under a reason; both
//! ledgers must balance. A telemetry error never stops a drain. Being stopped leaves the phase as if it had
//! not been claimed.

mod classify;
mod command;
mod executor;
mod recorded;
mod report;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use classify::{Verdict, classify};
pub use command::CommandExecutor;
pub use executor::{Execution, Executor, Order, Report, Status};
pub use recorded::{Delivered, Recorded, Recording, Recordings};
pub use report::{DrainReport, Failure};

use crate::clock::{Clock, Stamp};
use crate::phases::{AttemptRecord, Claim, EventWrite, PhaseKey, PhaseState, Selection, Store, StoreError};
use crate::telemetry::{Draft, EventRow, Flag, Rejection};
use crate::text;
use crate::tokens::canonical::Complexity;
use crate::tokens::estimator::{Coefficients, ESTIMATOR_VERSION, Estimate, EstimateInput, Features};

/// What a drain may do.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Which phases.
    pub selection: Selection,
    /// At most this many attempts.
    pub attempts_max: Option<u64>,
    /// Whether to stop once a phase has failed for good.
    pub stop_on_failure: bool,
    /// How long a lease lasts; longer than any attempt may take.
    pub lease: Duration,
    /// Whether events are written.
    pub telemetry: Flag,
    /// The name of this drain in the database.
    pub session_id: String,
    /// Who holds the leases.
    pub owner: String,
    /// What predictions are made with.
    pub coefficients: Coefficients,
}

/// Works off the waiting phases. `progress` is told after each attempt how many are done and how many
/// phases still wait. Returns when nothing waits, a limit is reached or `stop` is true.
pub fn drain(
    store: &mut dyn Store,
    executor: &mut dyn Executor,
    policy: &Policy,
    clock: &Clock,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(u64, u64, &str),
) -> Result<DrainReport, StoreError> {
    let digest = policy.coefficients.digest();
    let version = ESTIMATOR_VERSION.to_string();
    let mut report = DrainReport::new(policy, executor.source(), clock.now());
    report.recovered = store.recover_stale(clock.now())?;
    let limit = policy.attempts_max.unwrap_or(u64::MAX);
    loop {
        if stop.load(Ordering::Relaxed) {
            report.stopped = Some("interrupted");
            break;
        }
        if report.attempts.total >= limit {
            let more = store.queued(&policy.selection)? > 0;
            report.stopped = more.then_some("attempt_limit");
            break;
        }
        let claimed = store.claim_next(&policy.selection, &policy.owner, clock.now(), policy.lease)?;
        let Some(claim) = claimed else { break };
        let waiting = store.queued(&policy.selection)?;
        progress(report.attempts.total, report.attempts.total + waiting + 1, &claim.key.phase_id);
        let shared = Shared { digest: &digest, version: &version, policy, clock, stop };
        match shared.attempt(store, executor, &claim, &mut report)? {
            Ended::Stopped => {
                report.stopped = Some("interrupted");
                break;
            }
            Ended::Accounted(PhaseState::Failed) if policy.stop_on_failure => {
                report.stopped = Some("phase_failed");
                break;
            }
            Ended::Accounted(_) | Ended::LeaseLost => {}
        }
    }
    store.settle_runs(clock.now())?;
    report.left_waiting = store.queued(&policy.selection)?;
    report.left_executing = store.executing(&policy.selection)?;
    report.finished_at = clock.now();
    Ok(report)
}

/// What became of a claim.
enum Ended {
    /// Its attempt is in the database, and the phase is now in this state.
    Accounted(PhaseState),
    /// Somebody else had the phase by the end of the attempt, which changed nothing.
    LeaseLost,
    /// It was stopped and the claim given back.
    Stopped,
}

/// What every attempt of a drain shares.
struct Shared<'a> {
    digest: &'a str,
    version: &'a str,
    policy: &'a Policy,
    clock: &'a Clock,
    stop: &'a AtomicBool,
}

impl Shared<'_> {
    /// Makes one attempt and accounts for it.
    fn attempt(
        &self,
        store: &mut dyn Store,
        executor: &mut dyn Executor,
        claim: &Claim,
        report: &mut DrainReport,
    ) -> Result<Ended, StoreError> {
        let started_at = self.clock.now();
        let (complexity, recognised) = Complexity::or_medium(&claim.complexity);
        if claim.complexity.is_empty() {
            report.warn(format!("{}: no complexity is recorded; taken as medium", claim.key));
        } else if !recognised {
            let complexity = text::ellipsis(&text::one_line(&claim.complexity), 40);
            report.warn(format!("{}: complexity `{complexity}` is not known; taken as medium", claim.key));
        }
        let features = features(claim, complexity);
        let prediction = features.estimate(&self.policy.coefficients);
        let execution = match &claim.scope_error {
            Some(error) => Execution::Broken { reason: "scope_invalid", detail: error.clone() },
            None => executor.execute(Order { claim, estimate: &prediction }, self.stop),
        };
        let Some(verdict) = classify(execution, claim.scope.deliverables.len()) else {
            return match store.release(claim, self.clock.now()) {
                // What another drain holds by now need not be given back.
                Ok(()) | Err(StoreError::LeaseLost(_)) => Ok(Ended::Stopped),
                Err(error) => Err(error),
            };
        };
        let finished_at = self.clock.now();
        let event = self.event(claim, (&features, &prediction), &verdict, executor.source(), finished_at);
        let record = AttemptRecord {
            session_id: self.policy.session_id.clone(),
            outcome: verdict.outcome,
            reason: verdict.reason,
            detail: verdict.detail.clone(),
            outcome_source: executor.source(),
            verified: verdict.verified,
            state: next_state(claim, &verdict),
            tokens_used: verdict.tokens_used(),
            started_at,
            finished_at,
        };
        match store.finish(claim, &record, event.as_ref().map_err(Clone::clone)) {
            Ok(written) => report.account(claim, &verdict, &record, &written),
            Err(StoreError::LeaseLost(key)) => {
                report.lose(&key);
                return Ok(Ended::LeaseLost);
            }
            Err(error) => return Err(error),
        }
        Ok(Ended::Accounted(record.state))
    }

    fn event(
        &self,
        claim: &Claim,
        (features, prediction): (&Features, &Estimate),
        verdict: &Verdict,
        source: &'static str,
        at: Stamp,
    ) -> Result<EventRow, Rejection> {
        if !self.policy.telemetry.is_on() {
            return Err(Rejection::Disabled);
        }
        let report = verdict.report.as_ref();
        EventRow::new(&Draft {
            run_id: &claim.key.run_id,
            phase_id: &claim.key.phase_id,
            category: &prediction.category,
            complexity: &claim.complexity,
            deliverables: &claim.scope.deliverables,
            predicted: prediction.output_tokens,
            actual: report.and_then(|r| r.output_tokens),
            selected_budget: prediction.selected_budget,
            actual_max_tokens: report.and_then(|r| r.max_tokens),
            success: verdict.is_success(),
            truncated: verdict.truncated,
            stop_reason: report.and_then(|r| r.stop_reason.as_deref()),
            model: report.and_then(|r| r.model.as_deref()).unwrap_or("unknown"),
            estimator_version: self.version,
            coefficient_digest: self.digest,
            features: &features.json(),
            attempt: claim.attempt,
            input_tokens: report.and_then(|r| r.input_tokens),
            outcome_source: source,
            at,
        })
    }
}

/// What a prediction rests on. A phase is attempted in a new workspace: there are no files yet to be changed.
fn features(claim: &Claim, complexity: Complexity) -> Features {
    Features::of(&EstimateInput {
        deliverables: &claim.scope.deliverables,
        files: &[],
        category: &claim.category,
        complexity,
        scope_path_count: claim.scope.paths.len(),
    })
}

/// A phase is complete after enough good attempts and has failed after too many bad ones; else it waits.
fn next_state(claim: &Claim, verdict: &Verdict) -> PhaseState {
    if verdict.is_success() {
        if claim.successes + 1 >= claim.samples_target { PhaseState::Complete } else { PhaseState::Queued }
    } else if claim.failures + 1 >= claim.failures_max {
        PhaseState::Failed
    } else {
        PhaseState::Queued
    }
}

impl DrainReport {
    /// Books an attempt whose account somebody else is to give.
    fn lose(&mut self, key: &PhaseKey) {
        for ledger in [&mut self.attempts, &mut self.events] {
            ledger.take();
            ledger.end("lease_lost");
        }
        self.warn(format!("{key}: the lease was lost during the attempt; nothing of it was recorded"));
    }

    fn account(&mut self, claim: &Claim, verdict: &Verdict, record: &AttemptRecord, written: &EventWrite) {
        self.attempts.take();
        self.attempts.end(verdict.outcome);
        self.events.take();
        match written {
            EventWrite::Written(_) => self.events.end("written"),
            EventWrite::NotWritten(rejection) => {
                self.events.end(&rejection.code());
                if let Rejection::Database(message) = rejection {
                    self.warn(format!("{}: the event was not written: {message}", claim.key));
                }
            }
        }
        match record.state {
            PhaseState::Complete => self.phases_completed += 1,
            PhaseState::Failed => self.phases_failed += 1,
            PhaseState::Queued => {}
        }
        if let Some(reason) = verdict.reason {
            self.fail(Failure {
                phase: claim.key.clone(),
                attempt: claim.attempt,
                outcome: verdict.outcome,
                reason,
                detail: text::ellipsis(verdict.detail.as_deref().unwrap_or_default(), 300),
                state: record.state,
            });
        }
    }
}
