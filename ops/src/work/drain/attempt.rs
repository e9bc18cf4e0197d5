//! One attempt: predict, execute, judge, account.
//!
//! What the account says is decided here, from what the executor reported and recorded; the executor decides nothing.

use std::cell::RefCell;
use std::sync::atomic::AtomicBool;

use super::classify::{Verdict, classify};
use super::escalation;
use super::executor::{Attempted, Execution, Executor, NotReserved, Order, Purse};
use super::journal::{Ended, Event};
use super::milestones::{Milestone, Milestones};
use super::{Policy, ZeroYield};
use crate::clock::{Clock, Stamp};
use crate::fingerprint::{Evidence, Fingerprint};
use crate::phases::{AttemptRecord, Claim, EventWrite, PhaseState, Store, StoreError};
use crate::telemetry::{Draft, EventRow, Rejection};
use crate::text;
use crate::tokens::canonical::Complexity;
use crate::tokens::estimator::{ESTIMATOR_VERSION, Estimate, EstimateInput, Features};

/// Characters of a detail that the journal keeps; the database keeps all.
const DETAIL_MAX: usize = 300;

/// What every attempt of a session shares.
pub(super) struct Attempts<'a> {
    policy: &'a Policy,
    clock: Clock,
    digest: String,
    version: String,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(policy: &'a Policy, clock: Clock) -> Self {
        let digest = policy.coefficients.digest();
        Self { policy, clock, digest, version: ESTIMATOR_VERSION.to_string() }
    }

    /// Makes one attempt and accounts for it; cut short by `cancel`, it gives its phase back.
    pub(super) fn make(
        &self,
        store: &mut dyn Store,
        executor: &mut dyn Executor,
        claim: &Claim,
        cancel: &AtomicBool,
    ) -> Result<Event, StoreError> {
        let started_at = self.clock.now();
        let (complexity, recognised) = Complexity::or_medium(&claim.complexity);
        let features = features(claim, complexity);
        let mut prediction = features.estimate(&self.policy.coefficients);
        prediction.selected_budget = prediction.selected_budget.max(claim.raised_budget.unwrap_or(0));
        let purse = LeasedPurse { store: RefCell::new(&mut *store), claim };
        let attempted = match &claim.scope_error {
            Some(error) => Execution::Broken { reason: "scope_invalid", detail: error.clone() }.into(),
            None => executor.execute(Order { claim, estimate: &prediction, purse: &purse }, cancel),
        };
        let Attempted { execution, milestones, exit, escalation, tokens_at_risk } = attempted;
        let Some(verdict) = classify(execution, claim.scope.deliverables.len()) else {
            return match store.release(claim, self.clock.now()) {
                Ok(()) => Ok(Event::Released { pk: claim.phase_pk }),
                // What another drain holds by now need not be given back.
                Err(StoreError::LeaseLost(key)) => {
                    Ok(Event::Lost { pk: claim.phase_pk, phase: key.to_string() })
                }
                Err(error) => Err(error),
            };
        };
        let finished_at = self.clock.now();
        let state = next_state(claim, &verdict);
        let escalation =
            escalation.or_else(|| escalation::of_attempt(claim, prediction.selected_budget, &verdict, state));
        let event = self.event(claim, (&features, &prediction), &verdict, executor.source(), finished_at);
        let record = AttemptRecord {
            session_id: self.policy.session_id.clone(),
            outcome: verdict.outcome.into(),
            reason: verdict.reason.map(Into::into),
            detail: verdict.detail.clone(),
            outcome_source: executor.source().into(),
            verified: verdict.verified,
            state,
            tokens_used: verdict.tokens_used().saturating_add(tokens_at_risk),
            milestones: serde_json::to_string(&milestones).expect("milestones are plain data"),
            fingerprint: fingerprint(claim, &verdict, &milestones, exit),
            escalation,
            started_at,
            finished_at,
        };
        let zero_yield = |rejection: &Rejection| ZeroYield::derive(&verdict, &milestones, rejection).as_str();
        let written = match store.finish(claim, &record, event.as_ref().map_err(Clone::clone), &zero_yield) {
            Ok(written) => written,
            Err(StoreError::LeaseLost(key)) => {
                return Ok(Event::Lost { pk: claim.phase_pk, phase: key.to_string() });
            }
            Err(error) => return Err(error),
        };
        let zero_yield = match &written {
            EventWrite::Written(_) => None,
            EventWrite::NotWritten(rejection) => Some(zero_yield(rejection).to_owned()),
        };
        let warning = warning(claim, recognised, &written);
        Ok(account(claim, &record, &written, &milestones, zero_yield, warning))
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
            estimator_version: &self.version,
            coefficient_digest: &self.digest,
            features: &features.json(),
            attempt: claim.attempt,
            input_tokens: report.and_then(|r| r.input_tokens),
            outcome_source: source,
            at,
        })
    }
}

/// Sets tokens aside in the lease of the phase, where everybody sees them who shares the run.
struct LeasedPurse<'a> {
    store: RefCell<&'a mut dyn Store>,
    claim: &'a Claim,
}

impl Purse for LeasedPurse<'_> {
    fn reserve(&self, tokens: u64) -> Result<(), NotReserved> {
        match self.store.borrow_mut().reserve(&self.claim.lease(), tokens) {
            Ok(None) => Ok(()),
            Ok(Some(left)) => Err(NotReserved::Short(left)),
            Err(error) => Err(NotReserved::Failed(error.to_string())),
        }
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

/// A phase is complete after enough good attempts and has failed after too many bad ones; else it waits. One that had
/// failed before and fails again stays where it was.
fn next_state(claim: &Claim, verdict: &Verdict) -> PhaseState {
    if verdict.is_success() {
        if claim.successes + 1 >= claim.samples_target { PhaseState::Complete } else { PhaseState::Queued }
    } else if claim.prior == PhaseState::Failed || claim.failures + 1 >= claim.failures_max {
        PhaseState::Failed
    } else {
        PhaseState::Queued
    }
}

fn fingerprint(
    claim: &Claim,
    verdict: &Verdict,
    milestones: &Milestones,
    exit: Option<i32>,
) -> Option<Fingerprint> {
    verdict.reason?;
    let timed_out = verdict.outcome == "timed_out";
    Some(Fingerprint::of(&Evidence {
        state: &verdict.outcome.to_uppercase(),
        exit,
        stage: timed_out.then(|| milestones.stage()),
        timed_out,
        raw: verdict.detail.as_deref().unwrap_or_default(),
        known: &[&claim.key.run_id, &claim.key.phase_id],
    }))
}

fn account(
    claim: &Claim,
    record: &AttemptRecord,
    written: &EventWrite,
    milestones: &Milestones,
    zero_yield: Option<String>,
    warning: Option<String>,
) -> Event {
    let took = record.finished_at.since(record.started_at).as_millis();
    let fingerprint = record.fingerprint.as_ref();
    Event::Ended(Box::new(Ended {
        pk: claim.phase_pk,
        run_id: claim.key.run_id.clone(),
        phase_id: claim.key.phase_id.clone(),
        attempt: claim.attempt,
        outcome: record.outcome.to_string(),
        reason: record.reason.as_deref().map(str::to_owned),
        detail: record.detail.as_deref().map(|detail| text::ellipsis(detail, DETAIL_MAX)),
        state: record.state,
        telemetry: match written {
            EventWrite::Written(_) => "written".to_owned(),
            EventWrite::NotWritten(rejection) => rejection.code(),
        },
        zero_yield,
        asked_model: model(milestones),
        stage: milestones.stage().to_owned(),
        fingerprint: fingerprint.map(|found| found.id.clone()),
        template: fingerprint.map(|found| text::ellipsis(&found.template, DETAIL_MAX)),
        is_systemic: fingerprint.is_some_and(|found| found.is_systemic),
        took_ms: u64::try_from(took).unwrap_or(u64::MAX),
        tokens: record.tokens_used,
        warning,
    }))
}

/// What is doubtful about an attempt, if anything.
fn warning(claim: &Claim, recognised: bool, written: &EventWrite) -> Option<String> {
    match written {
        EventWrite::NotWritten(Rejection::Database(message) | Rejection::TableMissing(message)) => {
            return Some(format!("{}: the event was not written: {message}", claim.key));
        }
        EventWrite::NotWritten(_) | EventWrite::Written(_) => {}
    }
    if claim.complexity.is_empty() {
        return Some(format!("{}: no complexity is recorded; taken as medium", claim.key));
    }
    (!recognised).then(|| {
        let complexity = text::ellipsis(&text::one_line(&claim.complexity), 40);
        format!("{}: complexity `{complexity}` is not known; taken as medium", claim.key)
    })
}

fn model(milestones: &Milestones) -> Option<bool> {
    let asked = milestones.has(Milestone::ModelCallStarted) || milestones.has(Milestone::ModelCallEnded);
    milestones.is_recorded().then_some(asked)
}

/// Whether a model was asked, by the milestones of an account.
pub(super) fn asked_model(milestones: &str) -> Option<bool> {
    serde_json::from_str(milestones).ok().as_ref().and_then(model)
}

/// The last of the milestones of an account.
pub(super) fn stage(milestones: &str) -> String {
    let milestones: Milestones = serde_json::from_str(milestones).unwrap_or_default();
    milestones.stage().to_owned()
}
