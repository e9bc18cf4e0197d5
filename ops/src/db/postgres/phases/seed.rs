//! Inserting a seeded run and counting what is there: phases by kind, samples by stratum.

use std::collections::BTreeMap;

use ::postgres::types::ToSql;

use super::link::{Failure, Link};
use super::whole;
use crate::phases::{Distribution, NewRun, StratumCount};

const RUN: &str = "
INSERT INTO runs (id, state, created_at, updated_at, token_cap, max_phases, max_duration_minutes, goal_anchor)
VALUES ($1::text, 'RUN_CREATED', $2::text::timestamptz, $2::text::timestamptz, $3::bigint, $4::bigint, $5::bigint, $6::text)
ON CONFLICT (id) DO NOTHING";

const TIER: &str = "
INSERT INTO tiers (tier_id, run_id, tier_index, name, description, state, token_cap, ci_run_cap, created_at, updated_at)
VALUES ('T1', $1::text, 0, $2::text, $3::text, 'PENDING', $4::bigint, 20, $5::text::timestamptz, $5::text::timestamptz)
RETURNING id::bigint";

const PHASE: &str = "
INSERT INTO phases (phase_id, run_id, tier_id, phase_index, name, description, state, task_category, complexity,
    max_builder_attempts, max_auditor_attempts, incident_token_cap, created_at, updated_at, scope, samples_target)
VALUES ($1::text, $2::text, $3::bigint, $4::bigint, $5::text, $6::text, 'QUEUED', $7::text, $8::text, 3, 2, 50000,
    $9::text::timestamptz, $9::text::timestamptz, $10::text::json, $11::bigint)";

/// Inserts the run, its tier and its phases; `false` when the run exists already.
pub(super) fn insert(link: &mut Link, run: &NewRun, now: &str) -> Result<bool, Failure> {
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let values: [&(dyn ToSql + Sync); 6] = [
        &run.run_id,
        &now,
        &signed(run.token_cap),
        &signed(run.phases_max),
        &signed(run.duration_minutes_max),
        &run.goal,
    ];
    if link.execute(RUN, &values)? == 0 {
        return Ok(false);
    }
    let values: [&(dyn ToSql + Sync); 5] =
        [&run.run_id, &run.tier_name, &run.goal, &signed(run.token_cap), &now];
    let tier: i64 = link.one(TIER, &values)?.get(0);
    for (index, phase) in run.phases.iter().enumerate() {
        let scope = serde_json::to_string(&phase.scope).expect("a scope is plain data");
        let values: [&(dyn ToSql + Sync); 11] = [
            &phase.phase_id,
            &run.run_id,
            &tier,
            &signed(index as u64),
            &phase.name,
            &phase.description,
            &phase.category,
            &phase.complexity,
            &now,
            &scope,
            &signed(phase.samples_target),
        ];
        link.execute(PHASE, &values)?;
    }
    Ok(true)
}

const BY_CATEGORY: &str = "SELECT coalesce(task_category, 'null'), count(*) FROM phases
    WHERE $1::text IS NULL OR run_id = $1::text GROUP BY 1";
const BY_COMPLEXITY: &str = "SELECT coalesce(complexity, 'null'), count(*) FROM phases
    WHERE $1::text IS NULL OR run_id = $1::text GROUP BY 1";
const BY_STRATUM: &str =
    "SELECT coalesce(task_category, 'null') || '/' || coalesce(complexity, 'null'), count(*)
    FROM phases WHERE $1::text IS NULL OR run_id = $1::text GROUP BY 1";
const BY_STATE: &str =
    "SELECT state, count(*) FROM phases WHERE $1::text IS NULL OR run_id = $1::text GROUP BY 1";
const BY_DELIVERABLES: &str = "
SELECT CASE WHEN json_typeof(scope -> 'deliverables') = 'array' THEN json_array_length(scope -> 'deliverables') ELSE 0 END::text,
    count(*)
FROM phases WHERE $1::text IS NULL OR run_id = $1::text GROUP BY 1";

/// How the phases split.
pub(super) fn distribution(link: &mut Link, run_id: Option<&str>) -> Result<Distribution, Failure> {
    let mut split = |sql: &'static str| -> Result<BTreeMap<String, u64>, Failure> {
        Ok(link.all(sql, &[&run_id])?.iter().map(|row| (row.get(0), whole(row.get(1)))).collect())
    };
    let by_state = split(BY_STATE)?;
    Ok(Distribution {
        phases: by_state.values().sum(),
        by_category: split(BY_CATEGORY)?,
        by_complexity: split(BY_COMPLEXITY)?,
        by_stratum: split(BY_STRATUM)?,
        by_deliverables: split(BY_DELIVERABLES)?
            .iter()
            .map(|(n, count)| (n.parse().unwrap_or(0), *count))
            .collect(),
        by_state,
    })
}

/// Usable samples by stratum: successful, not truncated, and of an attempt that was verified.
pub(super) fn sample_counts(link: &mut Link) -> Result<Vec<StratumCount>, Failure> {
    let sql = "
        SELECT e.category, e.complexity, e.deliverable_count::bigint, count(*)
        FROM token_estimation_v2_events e JOIN phase_attempts a ON a.event_id = e.event_id
        WHERE e.success AND NOT e.truncated AND a.verified
        GROUP BY 1, 2, 3 ORDER BY e.category COLLATE \"C\", e.complexity COLLATE \"C\", 3";
    let count = |row: &::postgres::Row| StratumCount {
        category: row.get(0),
        complexity: row.get(1),
        deliverables: whole(row.get(2)),
        samples: whole(row.get(3)),
    };
    Ok(link.all(sql, &[])?.iter().map(count).collect())
}
