//! Single token events of a file with everything that is recorded of them, and the tasks of its phases.
//!
//! Old schemas lack columns; what they lack is not recorded, which is not the same as false.

use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::analyse::AnalyseError;
use super::open::Snapshot;
use crate::db::DbError;
use crate::phases::{PhaseKey, Scope};
use crate::tokens::event::TokenEvent;
use crate::tokens::sample::{Extra, SAMPLES_MAX, Sample, Samples};

const TABLE: &str = "token_estimation_v2_events";

/// The columns, in the order of [`sample`].
const COLUMNS: [&str; 19] = [
    "rowid",
    "category",
    "complexity",
    "deliverable_count",
    "predicted_output_tokens",
    "actual_output_tokens",
    "selected_budget",
    "success",
    "truncated",
    "run_id",
    "phase_id",
    "timestamp",
    "deliverables_json",
    "features_json",
    "is_truncated_output",
    "outcome_source",
    "estimator_version",
    "coefficient_digest",
    "event_id",
];

/// Reads the events of the database at `path`, in the order of their row ids, without changing it. Rows that cannot be read
/// are left out here; the analysis counts them.
pub fn read_samples(path: &Path, scratch: &Path) -> Result<Samples, AnalyseError> {
    let snapshot = Snapshot::open(path, scratch)?;
    let read = |conn: &Connection| -> rusqlite::Result<Samples> {
        let sql = statement(conn)?;
        let mut samples = Samples::default();
        let mut statement = conn.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if let Some(sample) = sample(row)? {
                samples.push(|| sample);
            }
        }
        let all: u64 = conn.query_row(&format!("SELECT count(*) FROM {TABLE}"), [], |row| row.get(0))?;
        samples.left_out = all.saturating_sub(SAMPLES_MAX as u64);
        Ok(samples)
    };
    Ok(read(snapshot.connection())
        .map_err(|error| DbError::new(format!("read the events in `{TABLE}`"), error))?)
}

/// The columns that are there, NULL in place of the others, and whether the attempt of the event was verified.
fn statement(conn: &Connection) -> rusqlite::Result<String> {
    let names = |table: &str| -> rusqlite::Result<Vec<String>> {
        let mut names = conn.prepare_cached("SELECT name FROM pragma_table_info(?1)")?;
        names.query_map([table], |row| row.get(0))?.collect()
    };
    let present = names(TABLE)?;
    let has = |column: &str| column == "rowid" || present.iter().any(|name| name == column);
    let columns = COLUMNS.map(|c| if has(c) { format!("e.{c}") } else { "NULL".to_owned() }).join(", ");
    let attempts = names("phase_attempts")?;
    let knows = |column: &str| attempts.iter().any(|name| name == column);
    let verified = if knows("verified") && knows("event_id") && has("event_id") {
        "(SELECT max(a.verified) FROM phase_attempts a WHERE a.event_id = e.event_id)"
    } else {
        "NULL"
    };
    Ok(format!("SELECT {columns}, {verified} FROM {TABLE} e ORDER BY e.rowid LIMIT {SAMPLES_MAX}"))
}

fn sample(row: &Row<'_>) -> rusqlite::Result<Option<Sample>> {
    let text = |at: usize| -> rusqlite::Result<Option<&str>> {
        Ok(row.get_ref(at)?.as_str_or_null().ok().flatten())
    };
    let count = |at: usize| -> rusqlite::Result<Option<u64>> {
        Ok(row.get_ref(at)?.as_i64_or_null().ok().flatten().and_then(|n| u64::try_from(n).ok()))
    };
    let flag = |at: usize| -> rusqlite::Result<Option<bool>> {
        Ok(match row.get_ref(at)? {
            ValueRef::Integer(n @ 0..=1) => Some(n == 1),
            _ => None,
        })
    };
    let needed = (text(1)?, text(2)?, count(3)?, count(4)?, count(5)?, flag(7)?);
    let (
        Some(category),
        Some(complexity),
        Some(deliverable_count),
        Some(predicted),
        Some(actual),
        Some(success),
    ) = needed
    else {
        return Ok(None);
    };
    let event = TokenEvent {
        id: row.get(0)?,
        category,
        complexity,
        deliverable_count,
        predicted,
        actual,
        selected_budget: count(6)?,
        success,
        truncated: flag(8)?,
        smape_percent: None,
        waste_ratio: None,
        underestimated: None,
    };
    let extra = Extra {
        run: text(9)?.unwrap_or_default(),
        phase: text(10)?.unwrap_or_default(),
        at: text(11)?,
        deliverables: text(12)?,
        features: text(13)?,
        is_truncated_output: flag(14)?,
        source: text(15)?,
        version: text(16)?,
        digest: text(17)?,
        verified: flag(COLUMNS.len())?,
    };
    Ok(Some(Sample::new(&event, &extra)))
}

/// A phase as a task to be estimated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhaseTask {
    /// Which phase.
    pub key: PhaseKey,
    /// Category as stored.
    pub category: String,
    /// Complexity as stored.
    pub complexity: String,
    /// What it may touch and must deliver; why it cannot be read otherwise.
    pub scope: Result<Scope, String>,
}

/// The phases of this id in the database at `path`, of all runs or of one.
pub fn find_phases(
    path: &Path,
    scratch: &Path,
    phase: &str,
    run: Option<&str>,
) -> Result<Vec<PhaseTask>, AnalyseError> {
    let snapshot = Snapshot::open(path, scratch)?;
    let read = |conn: &Connection| -> rusqlite::Result<Vec<PhaseTask>> {
        let mut statement = conn.prepare(
            "SELECT run_id, phase_id, coalesce(task_category, ''), coalesce(complexity, ''), CAST(scope AS BLOB)
             FROM phases WHERE phase_id = ?1 AND (?2 IS NULL OR run_id = ?2) ORDER BY run_id LIMIT 100",
        )?;
        let tasks = statement.query_map((phase, run), |row| {
            let scope: Option<Vec<u8>> = row.get(4)?;
            Ok(PhaseTask {
                key: PhaseKey { run_id: row.get(0)?, phase_id: row.get(1)? },
                category: row.get(2)?,
                complexity: row.get(3)?,
                scope: crate::phases::Scope::parse(&scope.unwrap_or_default()).map(Option::unwrap_or_default),
            })
        })?;
        tasks.collect()
    };
    Ok(read(snapshot.connection()).map_err(|error| DbError::new("read the phases", error))?)
}
