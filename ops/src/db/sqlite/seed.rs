//! Inserting a seeded run and counting what is there: phases by kind, samples by stratum.

use std::collections::BTreeMap;

use rusqlite::{Connection, Error, Transaction, named_params};

use crate::phases::{Distribution, NewRun, StratumCount};

const RUN: &str = "
INSERT INTO runs (id, state, created_at, updated_at, safety_profile, run_scope, token_cap, max_phases,
    max_duration_minutes, tokens_used, ci_runs_used, minor_issues_count, major_issues_count,
    promotion_eligible_to_main, goal_anchor)
VALUES (:id, 'RUN_CREATED', :now, :now, 'normal', 'multi_tier', :tokens, :phases, :minutes, 0, 0, 0, 0, 'false', :goal)";

const TIER: &str = "
INSERT INTO tiers (tier_id, run_id, tier_index, name, description, state, token_cap, ci_run_cap,
    max_major_issues_tolerated, tokens_used, ci_runs_used, minor_issues_count, major_issues_count, cleanliness,
    created_at, updated_at)
VALUES ('T1', :run, 0, :name, :goal, 'PENDING', :tokens, 20, 0, 0, 0, 0, 0, 'clean', :now, :now)";

const PHASE: &str = "
INSERT INTO phases (phase_id, run_id, tier_id, phase_index, name, description, state, task_category, complexity,
    max_builder_attempts, max_auditor_attempts, incident_token_cap, builder_attempts, auditor_attempts, tokens_used,
    minor_issues_count, major_issues_count, issue_state, quality_blocked, created_at, updated_at, scope, samples_target)
VALUES (:phase, :run, :tier, :index, :name, :description, 'QUEUED', :category, :complexity, 3, 2, 50000, 0, 0, 0,
    0, 0, 'no_issues', 0, :now, :now, :scope, :samples)";

/// Inserts the run, its tier and its phases.
pub(super) fn insert(tx: &Transaction<'_>, run: &NewRun, now: &str) -> Result<(), Error> {
    let whole = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    tx.execute(
        RUN,
        named_params! {
            ":id": run.run_id, ":now": now, ":tokens": whole(run.token_cap), ":phases": whole(run.phases_max),
            ":minutes": whole(run.duration_minutes_max), ":goal": run.goal,
        },
    )?;
    tx.execute(
        TIER,
        named_params! {
            ":run": run.run_id, ":name": run.tier_name, ":goal": run.goal, ":tokens": whole(run.token_cap), ":now": now,
        },
    )?;
    let tier = tx.last_insert_rowid();
    for (index, phase) in run.phases.iter().enumerate() {
        let scope = serde_json::to_string(&phase.scope).expect("a scope is plain data");
        tx.prepare_cached(PHASE)?.execute(named_params! {
            ":phase": phase.phase_id, ":run": run.run_id, ":tier": tier, ":index": whole(index as u64),
            ":name": phase.name, ":description": phase.description, ":category": phase.category,
            ":complexity": phase.complexity, ":now": now, ":scope": scope, ":samples": whole(phase.samples_target),
        })?;
    }
    Ok(())
}

/// How the phases split.
pub(super) fn distribution(conn: &Connection, run_id: Option<&str>) -> Result<Distribution, Error> {
    let split = |what: &str| -> Result<BTreeMap<String, u64>, Error> {
        let sql = format!("SELECT {what}, count(*) FROM phases WHERE ?1 IS NULL OR run_id = ?1 GROUP BY 1");
        conn.prepare(&sql)?.query_map([run_id], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    };
    // A scope that is not JSON has no deliverables; it must not stop the count of the others.
    let scope = "CASE WHEN json_valid(scope) THEN scope END";
    let deliverables =
        split(&format!("CAST(coalesce(json_array_length({scope}, '$.deliverables'), 0) AS TEXT)"))?;
    let by_state = split("state")?;
    Ok(Distribution {
        phases: by_state.values().sum(),
        by_category: split("coalesce(task_category, 'null')")?,
        by_complexity: split("coalesce(complexity, 'null')")?,
        by_stratum: split("coalesce(task_category, 'null') || '/' || coalesce(complexity, 'null')")?,
        by_deliverables: deliverables.iter().map(|(n, count)| (n.parse().unwrap_or(0), *count)).collect(),
        by_state,
    })
}

/// Usable samples by stratum: successful, not truncated, and of an attempt that was verified.
pub(super) fn sample_counts(conn: &Connection) -> Result<Vec<StratumCount>, Error> {
    let sql = "
        SELECT e.category, e.complexity, e.deliverable_count, count(*)
        FROM token_estimation_v2_events e JOIN phase_attempts a ON a.event_id = e.event_id
        WHERE e.success AND NOT e.truncated AND a.verified
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";
    let count = |row: &rusqlite::Row<'_>| {
        Ok(StratumCount {
            category: row.get(0)?,
            complexity: row.get(1)?,
            deliverables: row.get(2)?,
            samples: row.get(3)?,
        })
    };
    conn.prepare(sql)?.query_map([], count)?.collect()
}
