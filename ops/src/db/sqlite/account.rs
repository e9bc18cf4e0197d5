//! The account of an attempt as one job of the telemetry store: its event, its row, the state of its phase.
//!
//! A job is written whole or not at all, so an event is in the database exactly when its attempt says that it is.
//! The lease is checked by the job itself: the owner of an attempt is taken from the lease, and without one it is NULL,
//! which the table refuses.

use crate::clock::Stamp;
use crate::phases::{AttemptRecord, Claim, Escalation};
use crate::telemetry::store::{Job, Value};
use crate::telemetry::{EventRow, Rejection};
use crate::text;

/// What the database says when the lease was lost.
pub(super) const LEASE_LOST: &str = "NOT NULL constraint failed: phase_attempts.owner";

const EVENT: &str = "
INSERT INTO token_estimation_v2_events (run_id, phase_id, timestamp, category, complexity, deliverable_count,
    deliverables_json, predicted_output_tokens, actual_output_tokens, selected_budget, actual_max_tokens, success,
    truncated, is_truncated_output, stop_reason, model, smape_percent, waste_ratio, underestimated,
    estimator_version, coefficient_digest, attempt, input_tokens, outcome_source, features_json, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
    $24, $3)";

/// `last_insert_rowid()` is the event that the same job has inserted.
const ATTEMPT: &str = "
INSERT INTO phase_attempts (run_id, phase_id, attempt, session_id, fencing_token, outcome, reason, detail,
    outcome_source, verified, telemetry, started_at, finished_at, zero_yield, milestones, fingerprint,
    fingerprint_version, fingerprint_detail, event_id, owner)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $16, $17, $18, $19, $20,
    CASE WHEN $11 = 'written' THEN last_insert_rowid() END,
    (SELECT l.owner FROM phases p JOIN phase_leases l ON l.phase_pk = p.id
     WHERE p.id = $14 AND p.state = 'EXECUTING' AND l.owner = $15 AND l.fencing_token = $5))";

const ESCALATION: &str = "
INSERT INTO token_budget_escalation_events (run_id, phase_id, timestamp, attempt_index, reason, was_truncated,
    output_utilization, escalation_factor, base_value, base_source, retry_max_tokens, selected_budget,
    actual_max_tokens, tokens_used)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";

const FINISH: &str = "
UPDATE phases SET state = $1, builder_attempts = builder_attempts + 1,
    retry_attempt = retry_attempt + $2, tokens_used = tokens_used + $3, updated_at = $5,
    last_attempt_timestamp = $5,
    started_at = coalesce(started_at, $4),
    last_failure_reason = CASE WHEN $2 THEN $6 ELSE last_failure_reason END,
    completed_at = CASE WHEN $1 = 'QUEUED' THEN completed_at ELSE $5 END
WHERE id = $7";

/// The job that accounts for an attempt with its event, or with the reason why there is none.
pub(super) fn job(
    claim: &Claim,
    record: &AttemptRecord,
    event: Result<&EventRow, &Rejection>,
    zero_yield: Option<&'static str>,
) -> Job {
    let mut job = Job::new();
    let telemetry = match event {
        Ok(row) => {
            add_event(&mut job, row);
            "written".to_owned()
        }
        Err(rejection) => rejection.code(),
    };
    let (started, finished) = (record.started_at.db(), record.finished_at.db());
    let key = &claim.key;
    let fingerprint = record.fingerprint.as_ref();
    let explained = record.explained();
    job.add_statement(
        ATTEMPT,
        &[
            (&key.run_id).into(),
            (&key.phase_id).into(),
            claim.attempt.into(),
            (&record.session_id).into(),
            claim.fencing_token.into(),
            record.outcome.as_ref().into(),
            record.reason.as_deref().into(),
            record.detail.as_ref().into(),
            record.outcome_source.as_ref().into(),
            record.verified.into(),
            (&telemetry).into(),
            (&started).into(),
            (&finished).into(),
            claim.phase_pk.into(),
            (&claim.owner).into(),
            zero_yield.into(),
            (&record.milestones).into(),
            fingerprint.map(|found| &found.id).into(),
            fingerprint.map(|found| u64::from(found.version)).into(),
            explained.as_ref().into(),
        ],
    );
    if let Some(escalation) = &record.escalation {
        add_escalation(&mut job, claim, escalation, &finished);
    }
    add_state(&mut job, claim, record);
    job
}

fn add_escalation(job: &mut Job, claim: &Claim, escalation: &Escalation, at: &str) {
    job.add_statement(
        ESCALATION,
        &[
            (&claim.key.run_id).into(),
            (&claim.key.phase_id).into(),
            at.into(),
            claim.attempt.into(),
            escalation.reason().into(),
            escalation.was_truncated.into(),
            escalation.utilization().into(),
            Escalation::FACTOR.into(),
            escalation.base_value.into(),
            escalation.base_source.as_ref().into(),
            escalation.retry_max_tokens.into(),
            escalation.selected_budget.into(),
            escalation.actual_max_tokens.into(),
            escalation.tokens_used.into(),
        ],
    );
}

fn add_state(job: &mut Job, claim: &Claim, record: &AttemptRecord) {
    let failure = record.failure();
    let db = |stamp: Stamp| stamp.db();
    let (started, now) = (db(record.started_at), db(record.finished_at));
    let tokens: Value<'_> = record.tokens_used.into();
    job.add_statement(
        FINISH,
        &[
            record.state.as_str().into(),
            record.reason.is_some().into(),
            tokens,
            (&started).into(),
            (&now).into(),
            failure.as_ref().into(),
            claim.phase_pk.into(),
        ],
    );
    job.add_statement(
        "UPDATE runs SET tokens_used = tokens_used + $2 WHERE id = $1",
        &[(&claim.key.run_id).into(), tokens],
    );
    job.add_statement("UPDATE phase_leases SET owner = NULL WHERE phase_pk = $1", &[claim.phase_pk.into()]);
}

fn add_event(job: &mut Job, row: &EventRow) {
    let metrics = row.metrics.as_ref();
    job.add_statement(
        EVENT,
        &[
            (&row.run_id).into(),
            (&row.phase_id).into(),
            (&row.timestamp).into(),
            (&row.category).into(),
            row.complexity.as_str().into(),
            row.deliverable_count.into(),
            (&row.deliverables_json).into(),
            row.predicted.into(),
            row.actual.into(),
            row.selected_budget.into(),
            row.actual_max_tokens.into(),
            row.success.into(),
            row.truncated.into(),
            row.stop_reason.as_ref().into(),
            (&row.model).into(),
            metrics.map(|m| m.smape_percent).into(),
            metrics.map(|m| m.waste_ratio).into(),
            metrics.map(|m| m.underestimated).into(),
            (&row.estimator_version).into(),
            (&row.coefficient_digest).into(),
            row.attempt.into(),
            row.input_tokens.into(),
            (&row.outcome_source).into(),
            (&row.features).into(),
        ],
    );
}

/// Names the constraint that refused an event: SQLite says `CHECK constraint failed: name`, `NOT NULL constraint failed:
/// t.c`; of a trigger it says what the trigger's author wrote.
pub(super) fn rejection(why: &str) -> Rejection {
    if let Some(said) = why.strip_prefix(super::telemetry::TRIGGER) {
        return Rejection::Constraint(format!("trigger:{}", text::ellipsis(said, 100)));
    }
    let Some((kind, name)) = why.split_once(" constraint failed") else {
        return Rejection::Database(why.to_owned());
    };
    let kind = kind.to_lowercase().replace(' ', "_");
    let name = name.trim_start_matches(':').trim();
    Rejection::Constraint(if name.is_empty() { kind } else { format!("{kind}:{name}") })
}
