//! The small plan of a health check, in the form of the original pipeline's plan files, which `backfill plan` reads.
//!
//! It promises what its steps will do and no more. It is a proposal: `backfill plan` reads the database again.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Found, Health, Lack, Verdict};
use crate::backfill::seed_plan::{Head, Operation, Promise, SeedBatch, SeedPlan};
use crate::backfill::settings::{ResultTable, Settings, Step};
use crate::text::plural;

/// Whose plan it is: a file with another source is somebody else's.
pub const SOURCE: &str = "cargo xtask health";

/// What became of a small plan.
#[derive(Debug, Clone, PartialEq)]
pub enum Mini {
    /// A plan, ready to be written.
    Plan(Box<SeedPlan>),
    /// Nothing needs one.
    Nothing,
    /// It cannot be said in this form: why.
    Unsayable(String),
}

/// The plan for what a check found.
pub fn mini_plan(health: &Health, settings: &Settings) -> Mini {
    let Some(found) = health.found.as_ref().filter(|_| health.verdict == Verdict::NeedsBackfill) else {
        return Mini::Nothing;
    };
    let operations: Option<Vec<Operation>> = settings.steps.iter().map(operation).collect();
    let Some(operations) = operations else {
        return Mini::Unsayable("only calls of functions can be said in it".to_owned());
    };
    let ids: Vec<String> = found.lacking.iter().map(|row| row.id.clone()).collect();
    if let Some(id) = ids.iter().find(|id| !is_uuid(id)) {
        return Mini::Unsayable(format!("it takes UUIDs only, and `{id}` is none"));
    }
    let count = ids.len() as u64;
    let purpose =
        health.target.as_ref().and_then(|target| target.lineage.as_ref()).map(|l| l.purpose.clone());
    let head = Head {
        version: "prod-health-v1.0".to_owned(),
        timestamp: health.at.clone(),
        environment: purpose.unwrap_or_else(|| "production".to_owned()),
        engine_version: parameter(&settings.steps, "engine_version"),
        fc_version: parameter(&settings.steps, "version"),
        throttle_per_minute: settings.per_minute,
        batch_size: Some(5),
        total_candidates: count,
        expected_runtime_minutes: Some(count.div_ceil(u64::from(settings.per_minute).max(1))),
        discovery_source: Some(SOURCE.to_owned()),
        safety_notes: vec![
            "a proposal: the database is read again when a plan is made of it".to_owned(),
            "nothing was changed by the check that found these sessions".to_owned(),
        ],
    };
    let batch = SeedBatch {
        batch_id: "prod_health_recovery".to_owned(),
        description: format!("{} without a current result", plural(count, "session")),
        sessions: Some(ids),
        session_count: None,
        operations,
    };
    Mini::Plan(Box::new(SeedPlan {
        backfill_plan: head,
        batches: vec![batch],
        expected_changes: promises(found, settings),
        rollback_strategy: BTreeMap::new(),
    }))
}

fn operation(step: &Step) -> Option<Operation> {
    let mut params: Map<String, Value> = step.params.clone();
    if step.if_missing {
        params.insert("if_missing".to_owned(), json!(true));
    }
    Some(Operation { function: step.function.clone()?, params })
}

fn parameter(steps: &[Step], name: &str) -> Option<String> {
    steps.iter().find_map(|step| Some(step.params.get(name)?.as_str()?.to_owned()))
}

/// What will be new and what will be overwritten, a table each.
fn promises(found: &Found, settings: &Settings) -> BTreeMap<String, Promise> {
    let mut promises = BTreeMap::new();
    for (place, result) in settings.results.iter().enumerate() {
        let steps = || settings.steps.iter().filter(|step| written(step, settings) == place);
        let keeps_others = steps().all(|step| step.if_missing);
        let (mut new, mut updated) = (0, 0);
        for row in found.lacking.iter().filter(|_| steps().next().is_some()) {
            match &row.lacks[place] {
                Some(Lack::Missing) => new += 1,
                Some(Lack::Null | Lack::Other(_)) if keeps_others => {}
                Some(Lack::Null | Lack::Other(_)) if has_version_in_key(result) => new += 1,
                Some(Lack::Null | Lack::Other(_)) => updated += 1,
                None => {}
            }
        }
        let stamp = result
            .stamp
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), serde_json::to_value(value).ok()?)));
        let stamp = stamp.collect();
        promises.insert(result.table.clone(), Promise { new_rows: new, updated_rows: Some(updated), stamp });
    }
    promises
}

/// Which table of results a step writes: the only one where it does not say.
fn written(step: &Step, settings: &Settings) -> usize {
    let named = |writes: &String| settings.results.iter().position(|result| result.table == *writes);
    step.writes.as_ref().and_then(named).unwrap_or(0)
}

/// Whether results of several versions stand beside each other.
fn has_version_in_key(result: &ResultTable) -> bool {
    result.key.iter().any(|column| result.stamp.contains_key(column))
}

fn is_uuid(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}
