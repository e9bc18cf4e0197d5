//! Inserting a telemetry event: in a savepoint, so that a rejected row does not undo the attempt it is of.

use rusqlite::{Error, ErrorCode, Transaction, ffi, named_params};

use crate::phases::EventWrite;
use crate::telemetry::{EventRow, Rejection};
use crate::text;

const INSERT: &str = "
INSERT INTO token_estimation_v2_events (run_id, phase_id, timestamp, category, complexity, deliverable_count,
    deliverables_json, predicted_output_tokens, actual_output_tokens, selected_budget, actual_max_tokens, success,
    truncated, is_truncated_output, stop_reason, model, smape_percent, waste_ratio, underestimated,
    estimator_version, coefficient_digest, attempt, input_tokens, outcome_source, created_at)
VALUES (:run_id, :phase_id, :timestamp, :category, :complexity, :count, :deliverables, :predicted, :actual, :budget,
    :max_tokens, :success, :truncated, :truncated, :stop_reason, :model, :smape, :waste, :under, :version, :digest,
    :attempt, :input_tokens, :source, :timestamp)";

/// Inserts one event. A row that the database rejects comes back with the name of the constraint; a
/// database that is full or broken is an error of the whole transaction.
pub(super) fn insert(tx: &Transaction<'_>, row: &EventRow) -> Result<EventWrite, Error> {
    tx.execute_batch("SAVEPOINT event")?;
    let inserted = execute(tx, row);
    match inserted {
        Ok(()) => {
            tx.execute_batch("RELEASE event")?;
            Ok(EventWrite::Written(tx.last_insert_rowid()))
        }
        Err(error) => {
            tx.execute_batch("ROLLBACK TO event; RELEASE event")?;
            Ok(EventWrite::NotWritten(rejection(&error)))
        }
    }
}

fn execute(tx: &Transaction<'_>, row: &EventRow) -> Result<(), Error> {
    tx.prepare_cached(INSERT)?.execute(named_params! {
        ":run_id": row.run_id, ":phase_id": row.phase_id, ":timestamp": row.timestamp, ":category": row.category,
        ":complexity": row.complexity.as_str(), ":count": integer(row.deliverable_count),
        ":deliverables": row.deliverables_json, ":predicted": integer(row.predicted), ":actual": integer(row.actual),
        ":budget": integer(row.selected_budget), ":max_tokens": row.actual_max_tokens.map(integer),
        ":success": row.success, ":truncated": row.truncated, ":stop_reason": row.stop_reason, ":model": row.model,
        ":smape": row.metrics.as_ref().map(|m| m.smape_percent), ":waste": row.metrics.as_ref().map(|m| m.waste_ratio),
        ":under": row.metrics.as_ref().map(|m| m.underestimated), ":version": row.estimator_version,
        ":digest": row.coefficient_digest, ":attempt": integer(row.attempt),
        ":input_tokens": row.input_tokens.map(integer), ":source": row.outcome_source,
    })?;
    Ok(())
}

/// SQLite has no unsigned integers; a count beyond 2^63 is nobody's token count.
fn integer(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Names the constraint: SQLite says `CHECK constraint failed: name`, `NOT NULL constraint failed: t.c`; of a
/// trigger it says what the trigger's author wrote.
fn rejection(error: &Error) -> Rejection {
    let Error::SqliteFailure(cause, Some(message)) = error else {
        return Rejection::Database(error.to_string());
    };
    if cause.code != ErrorCode::ConstraintViolation {
        return Rejection::Database(message.clone());
    }
    if cause.extended_code == ffi::SQLITE_CONSTRAINT_TRIGGER {
        return Rejection::Constraint(format!("trigger:{}", text::ellipsis(&text::one_line(message), 100)));
    }
    let (kind, name) = message.split_once(" constraint failed").unwrap_or((message, ""));
    let kind = kind.to_lowercase().replace(' ', "_");
    let name = name.trim_start_matches(':').trim();
    Rejection::Constraint(if name.is_empty() { kind } else { format!("{kind}:{name}") })
}
