//! How a backlog stands, in a few counts that indexes answer.

use std::collections::BTreeMap;

use super::link::{Failure, Link};
use super::whole;
use crate::phases::{Overview, RunOverview, SessionOverview};

const SESSIONS: &str = "
WITH ended AS (
    SELECT owner, max(session_id) AS session_id, count(*) AS attempts,
           count(*) FILTER (WHERE telemetry = 'written') AS events
    FROM (SELECT owner, session_id, telemetry FROM phase_attempts ORDER BY attempt_id DESC LIMIT $1::bigint) a
    GROUP BY owner
), held AS (
    SELECT owner, count(*) AS phases FROM phase_leases
    WHERE owner IS NOT NULL AND expires_at >= clock_timestamp() GROUP BY owner
)
SELECT held.owner, ended.session_id, held.phases, coalesce(ended.attempts, 0), coalesce(ended.events, 0)
FROM held LEFT JOIN ended ON ended.owner = held.owner ORDER BY held.owner";

const TELEMETRY: &str = "
SELECT telemetry, count(*)
FROM (SELECT telemetry FROM phase_attempts ORDER BY attempt_id DESC LIMIT $1::bigint) a GROUP BY 1";

const PHASES: &str = "
SELECT run_id, state, count(*) FROM phases WHERE run_id = ANY ($1::text[]) GROUP BY run_id, state";

pub(super) fn read(link: &mut Link) -> Result<Overview, Failure> {
    let attempts = i64::try_from(Overview::ATTEMPTS_MAX).unwrap_or(i64::MAX);
    let runs_max = i64::try_from(Overview::RUNS_MAX).unwrap_or(i64::MAX);
    let counts = |rows: Vec<::postgres::Row>| {
        rows.iter().map(|row| (row.get::<_, String>(0), whole(row.get(1)))).collect::<BTreeMap<_, _>>()
    };
    let mut overview = Overview {
        run_count: whole(link.one("SELECT count(*) FROM runs", &[])?.get(0)),
        by_state: counts(link.all("SELECT state, count(*) FROM phases GROUP BY state", &[])?),
        telemetry: counts(link.all(TELEMETRY, &[&attempts])?),
        ..Overview::default()
    };
    let latest = "SELECT id, coalesce(state, '') FROM runs ORDER BY updated_at DESC, id LIMIT $1::bigint";
    for row in link.all(latest, &[&runs_max])? {
        let run = RunOverview { run_id: row.get(0), state: row.get(1), by_state: BTreeMap::new() };
        overview.runs.push(run);
    }
    let ids: Vec<String> = overview.runs.iter().map(|run| run.run_id.clone()).collect();
    for row in link.all(PHASES, &[&ids])? {
        overview.add(row.get(0), row.get(1), whole(row.get(2)));
    }
    for row in link.all(SESSIONS, &[&attempts])? {
        overview.sessions.push(SessionOverview {
            owner: row.get(0),
            session_id: row.get(1),
            in_work: whole(row.get(2)),
            attempts: whole(row.get(3)),
            events: whole(row.get(4)),
        });
    }
    Ok(overview)
}
