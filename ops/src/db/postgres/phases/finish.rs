//! The account of an attempt: its event, its row and the state of its phase, in the transaction of the caller.
//!
//! An event that the server refuses is undone alone; the reason becomes part of the account.

use std::borrow::Cow;

use ::postgres::error::SqlState;
use ::postgres::types::ToSql;

use super::link::{Failure, Link};
use crate::phases::{AttemptRecord, Claim, Escalation, EventWrite, LeaseKey, StoreError};
use crate::telemetry::{EventRow, Rejection};
use crate::text;

const HELD: &str = "
SELECT FROM phases p JOIN phase_leases l ON l.phase_pk = p.id
WHERE p.id = $1::bigint AND p.state = 'EXECUTING' AND l.owner = $2::text AND l.fencing_token = $3::bigint
FOR UPDATE";

const EVENT: &str = "
INSERT INTO token_estimation_v2_events (run_id, phase_id, timestamp, category, complexity, deliverable_count,
    deliverables_json, predicted_output_tokens, actual_output_tokens, selected_budget, actual_max_tokens, success,
    truncated, is_truncated_output, stop_reason, model, smape_percent, waste_ratio, underestimated,
    estimator_version, coefficient_digest, attempt, input_tokens, outcome_source, features_json, created_at)
VALUES ($1::text, $2::text, $3::text::timestamptz, $4::text, $5::text, $6::bigint, $7::text, $8::bigint, $9::bigint,
    $10::bigint, $11::bigint, $12::boolean, $13::boolean, $13::boolean, $14::text, $15::text, $16::float8, $17::float8,
    $18::boolean, $19::text, $20::text, $21::bigint, $22::bigint, $23::text, $24::text, $3::text::timestamptz)
RETURNING event_id::bigint";

const ATTEMPT: &str = "
INSERT INTO phase_attempts (run_id, phase_id, attempt, session_id, owner, fencing_token, outcome, reason, detail,
    outcome_source, verified, telemetry, event_id, started_at, finished_at, zero_yield, milestones, fingerprint,
    fingerprint_version, fingerprint_detail)
VALUES ($1::text, $2::text, $3::bigint, $4::text, $5::text, $6::bigint, $7::text, $8::text, $9::text, $10::text,
    $11::boolean, $12::text, $13::bigint, $14::text::timestamptz, $15::text::timestamptz, $16::text, $17::text,
    $18::text, $19::bigint, $20::text)";

const ESCALATION: &str = "
INSERT INTO token_budget_escalation_events (run_id, phase_id, timestamp, attempt_index, reason, was_truncated,
    output_utilization, escalation_factor, base_value, base_source, retry_max_tokens, selected_budget,
    actual_max_tokens, tokens_used)
VALUES ($1::text, $2::text, $3::text::timestamptz, $4::bigint, $5::text, $6::boolean, $7::float8, $8::float8, $9::bigint,
    $10::text, $11::bigint, $12::bigint, $13::bigint, $14::bigint)";

const FINISH: &str = "
UPDATE phases SET state = $1::text, builder_attempts = builder_attempts + 1,
    retry_attempt = retry_attempt + CASE WHEN $2::boolean THEN 1 ELSE 0 END,
    tokens_used = tokens_used + $3::bigint, updated_at = $5::text::timestamptz,
    last_attempt_timestamp = $5::text::timestamptz,
    started_at = coalesce(started_at, $4::text::timestamptz),
    last_failure_reason = CASE WHEN $2::boolean THEN $6::text ELSE last_failure_reason END,
    completed_at = CASE WHEN $1::text = 'QUEUED' THEN completed_at ELSE $5::text::timestamptz END
WHERE id = $7::bigint";

/// Locks the phase and its lease; refuses unless the claim still holds both.
pub(super) fn require_lease(link: &mut Link, claim: &Claim) -> Result<(), Failure> {
    require_held(link, &claim.lease())
}

/// As [`require_lease`], by what names the lease.
pub(super) fn require_held(link: &mut Link, lease: &LeaseKey) -> Result<(), Failure> {
    let held = link.maybe(HELD, &[&lease.phase_pk, &lease.owner, &lease.fencing_token])?;
    if held.is_some() { Ok(()) } else { Err(StoreError::LeaseLost(lease.key.clone()).into()) }
}

/// What became of the event of an attempt that is accounted for already, by this claim.
pub(super) fn accounted(link: &mut Link, claim: &Claim) -> Result<Option<EventWrite>, Failure> {
    let sql = "SELECT event_id::bigint, telemetry FROM phase_attempts
         WHERE run_id = $1::text AND phase_id = $2::text AND attempt = $3::bigint AND owner = $4::text
           AND fencing_token = $5::bigint";
    let key = &claim.key;
    let attempt = signed(claim.attempt);
    let found =
        link.maybe(sql, &[&key.run_id, &key.phase_id, &attempt, &claim.owner, &claim.fencing_token])?;
    Ok(found.map(|row| match row.get::<_, Option<i64>>(0) {
        Some(id) => EventWrite::Written(id),
        None => EventWrite::NotWritten(Rejection::Database(row.get(1))),
    }))
}

/// Accounts for an attempt.
pub(super) fn finish(
    link: &mut Link,
    claim: &Claim,
    record: &AttemptRecord,
    event: Result<&EventRow, &Rejection>,
    zero_yield: &dyn Fn(&Rejection) -> &'static str,
) -> Result<EventWrite, Failure> {
    require_lease(link, claim)?;
    let written = match event {
        Ok(row) => insert_event(link, row)?,
        Err(rejection) => EventWrite::NotWritten(rejection.clone()),
    };
    let (event_id, telemetry, why_none) = match &written {
        EventWrite::Written(id) => (Some(*id), "written".to_owned(), None),
        EventWrite::NotWritten(rejection) => (None, rejection.code(), Some(zero_yield(rejection))),
    };
    let key = &claim.key;
    let fingerprint = record.fingerprint.as_ref();
    let values: [&(dyn ToSql + Sync); 20] = [
        &key.run_id,
        &key.phase_id,
        &signed(claim.attempt),
        &record.session_id,
        &claim.owner,
        &claim.fencing_token,
        &record.outcome,
        &record.reason,
        &record.detail.as_deref().map(plain),
        &record.outcome_source,
        &record.verified,
        &telemetry,
        &event_id,
        &record.started_at.db(),
        &record.finished_at.db(),
        &why_none,
        &record.milestones,
        &fingerprint.map(|found| found.id.as_str()),
        &fingerprint.map(|found| i64::from(found.version)),
        &record.explained(),
    ];
    link.execute(ATTEMPT, &values)?;
    if let Some(escalation) = &record.escalation {
        insert_escalation(link, claim, escalation, &record.finished_at.db())?;
    }
    change_state(link, claim, record)?;
    Ok(written)
}

fn insert_escalation(
    link: &mut Link,
    claim: &Claim,
    escalation: &Escalation,
    at: &str,
) -> Result<(), Failure> {
    let values: [&(dyn ToSql + Sync); 14] = [
        &claim.key.run_id,
        &claim.key.phase_id,
        &at,
        &signed(claim.attempt),
        &escalation.reason(),
        &escalation.was_truncated,
        &escalation.utilization(),
        &Escalation::FACTOR,
        &signed(escalation.base_value),
        &escalation.base_source.as_ref(),
        &signed(escalation.retry_max_tokens),
        &signed(escalation.selected_budget),
        &escalation.actual_max_tokens.map(signed),
        &escalation.tokens_used.map(signed),
    ];
    link.execute(ESCALATION, &values)?;
    Ok(())
}

fn change_state(link: &mut Link, claim: &Claim, record: &AttemptRecord) -> Result<(), Failure> {
    let tokens = signed(record.tokens_used);
    let failure = record.failure();
    let values: [&(dyn ToSql + Sync); 7] = [
        &record.state.as_str(),
        &record.reason.is_some(),
        &tokens,
        &record.started_at.db(),
        &record.finished_at.db(),
        &failure.as_deref().map(plain),
        &claim.phase_pk,
    ];
    link.execute(FINISH, &values)?;
    link.execute("UPDATE phase_leases SET owner = NULL WHERE phase_pk = $1::bigint", &[&claim.phase_pk])?;
    // Last, because all workers on a run want this row.
    let sql =
        "UPDATE runs SET tokens_used = tokens_used + $2::bigint WHERE id = $1::text AND $2::bigint <> 0";
    link.execute(sql, &[&claim.key.run_id, &tokens])?;
    Ok(())
}

fn insert_event(link: &mut Link, row: &EventRow) -> Result<EventWrite, Failure> {
    let metrics = row.metrics.as_ref();
    let values: [&(dyn ToSql + Sync); 24] = [
        &row.run_id,
        &row.phase_id,
        &row.timestamp,
        &row.category,
        &row.complexity.as_str(),
        &signed(row.deliverable_count),
        &row.deliverables_json,
        &signed(row.predicted),
        &signed(row.actual),
        &signed(row.selected_budget),
        &row.actual_max_tokens.map(signed),
        &row.success,
        &row.truncated,
        &row.stop_reason,
        &row.model,
        &metrics.map(|m| m.smape_percent),
        &metrics.map(|m| m.waste_ratio),
        &metrics.map(|m| m.underestimated),
        &row.estimator_version,
        &row.coefficient_digest,
        &signed(row.attempt),
        &row.input_tokens.map(signed),
        &row.outcome_source,
        &row.features,
    ];
    match link.attempt(EVENT, &values)? {
        Ok(row) => Ok(EventWrite::Written(row.get(0))),
        Err(error) => rejection(link, &error).map(EventWrite::NotWritten),
    }
}

/// Names what refused an event. A server that is away has refused nothing.
fn rejection(link: &Link, error: &::postgres::Error) -> Result<Rejection, Failure> {
    let Some(db) = error.as_db_error() else { return Err(link.failure(error)) };
    let constraint = |kind: &str| {
        let name = match (db.constraint(), db.table(), db.column()) {
            (Some(name), ..) => name.to_owned(),
            (None, Some(table), Some(column)) => format!("{table}.{column}"),
            _ => return Rejection::Constraint(kind.to_owned()),
        };
        Rejection::Constraint(format!("{kind}:{name}"))
    };
    let why = || match link.failure(error) {
        Failure::Server(cause) => cause.to_string(),
        Failure::Store(error) => error.to_string(),
    };
    Ok(match *db.code() {
        SqlState::CHECK_VIOLATION => constraint("check"),
        SqlState::UNIQUE_VIOLATION => constraint("unique"),
        SqlState::NOT_NULL_VIOLATION => constraint("not_null"),
        SqlState::FOREIGN_KEY_VIOLATION => constraint("foreign_key"),
        SqlState::EXCLUSION_VIOLATION => constraint("exclusion"),
        // What the author of a trigger has written.
        SqlState::RAISE_EXCEPTION => {
            let said = text::ellipsis(&text::one_line(db.message()), 100);
            Rejection::Constraint(format!("trigger:{said}"))
        }
        SqlState::UNDEFINED_TABLE => Rejection::TableMissing(why()),
        ref code if ["40", "53", "55", "57", "08"].contains(&&code.code()[..2]) => {
            return Err(link.failure(error));
        }
        _ => Rejection::Database(why()),
    })
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Text as the server can keep it: it has no place for a NUL.
fn plain(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{FFFD}").into() } else { text.into() }
}
