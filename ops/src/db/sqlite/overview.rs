//! How a backlog stands, in a few counts that indexes answer.

use std::collections::BTreeMap;

use rusqlite::{Connection, Error};

use crate::clock::Stamp;
use crate::phases::{Overview, RunOverview, SessionOverview};

const SESSIONS: &str = "
WITH ended AS (
    SELECT owner, max(session_id) AS session_id, count(*) AS attempts, sum(telemetry = 'written') AS events
    FROM (SELECT owner, session_id, telemetry FROM phase_attempts ORDER BY attempt_id DESC LIMIT ?2) GROUP BY owner
), held AS (
    SELECT owner, count(*) AS phases FROM phase_leases WHERE owner IS NOT NULL AND expires_at >= ?1 GROUP BY owner
)
SELECT held.owner, ended.session_id, held.phases, coalesce(ended.attempts, 0), coalesce(ended.events, 0)
FROM held LEFT JOIN ended ON ended.owner = held.owner ORDER BY held.owner";

const TELEMETRY: &str = "
SELECT telemetry, count(*) FROM (SELECT telemetry FROM phase_attempts ORDER BY attempt_id DESC LIMIT ?1) GROUP BY 1";

pub(super) fn read(conn: &Connection, now: Stamp) -> Result<Overview, Error> {
    let counts = |sql: &str, limit: &[u64]| -> Result<BTreeMap<String, u64>, Error> {
        let mut statement = conn.prepare_cached(sql)?;
        let rows = statement.query_map(rusqlite::params_from_iter(limit), |row| {
            Ok((row.get::<_, Option<String>>(0)?.unwrap_or_default(), row.get(1)?))
        })?;
        rows.collect()
    };
    let mut overview = Overview {
        run_count: conn.prepare_cached("SELECT count(*) FROM runs")?.query_row([], |row| row.get(0))?,
        by_state: counts("SELECT state, count(*) FROM phases GROUP BY state", &[])?,
        telemetry: counts(TELEMETRY, &[Overview::ATTEMPTS_MAX])?,
        ..Overview::default()
    };
    let mut latest =
        conn.prepare_cached("SELECT id, state FROM runs ORDER BY updated_at DESC, id LIMIT ?1")?;
    let runs = latest.query_map([Overview::RUNS_MAX], |row| {
        let state = row.get::<_, Option<String>>(1)?.unwrap_or_default();
        Ok(RunOverview { run_id: row.get(0)?, state, by_state: BTreeMap::new() })
    })?;
    overview.runs = runs.collect::<Result<_, _>>()?;
    let mut of_run =
        conn.prepare_cached("SELECT state, count(*) FROM phases WHERE run_id = ?1 GROUP BY state")?;
    for run in &mut overview.runs {
        let rows = of_run.query_map([&run.run_id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        run.by_state = rows.collect::<Result<_, _>>()?;
    }
    let mut sessions = conn.prepare_cached(SESSIONS)?;
    let rows = sessions.query_map((now.db(), Overview::ATTEMPTS_MAX), |row| {
        Ok(SessionOverview {
            owner: row.get(0)?,
            session_id: row.get(1)?,
            in_work: row.get(2)?,
            attempts: row.get(3)?,
            events: row.get(4)?,
        })
    })?;
    overview.sessions = rows.collect::<Result<_, _>>()?;
    Ok(overview)
}
