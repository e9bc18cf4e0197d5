//! A plan file of the original pipeline against this database: what it names must be known, and what it promises kept.
//!
//! Nothing here reads the database. An error names the key of the plan file.

use std::collections::HashMap;

use super::plan::{Batch, Facts, Promised};
use super::seed_plan::{Operation, SeedBatch, SeedPlan};
use super::settings::{Scalar, Settings, Step};
use crate::clock::Stamp;
use crate::guard::Refusal;
use crate::target::TargetIdentity;
use crate::value::{Digest128, Kind, Value, digest_key};

/// The sessions that a plan file names, and those that it only counts.
#[derive(Debug, Default)]
pub(super) struct Explicit {
    /// Whether there is a plan file.
    pub(super) is_seed: bool,
    /// By the digest of an id: its place among all that are named, and its batch.
    pub(super) places: HashMap<Digest128, (usize, usize)>,
    /// The key of the plan file, by place.
    pub(super) keys: Vec<String>,
    /// Batches that are counted, each with how many.
    pub(super) counted: Vec<(usize, u64)>,
}

/// What a plan file names.
pub(super) fn explicit(seed: &SeedPlan, kind: Kind) -> Result<Explicit, Refusal> {
    let mut all = Explicit { is_seed: true, ..Explicit::default() };
    if !matches!(kind, Kind::Any | Kind::Uuid | Kind::Text) {
        return Err(Refusal::new(
            "the sessions of the plan file are UUIDs",
            "a column of texts",
            format!("{kind:?}"),
        ));
    }
    for (b, batch) in seed.batches.iter().enumerate() {
        match (&batch.sessions, batch.session_count) {
            (Some(ids), _) => {
                for (s, id) in ids.iter().enumerate() {
                    let place = all.keys.len();
                    all.places.insert(digest_key(&[Value::Text(id.clone())]), (place, b));
                    all.keys.push(format!("batches[{b}].sessions[{s}]"));
                }
            }
            (None, count) => all.counted.push((b, count.unwrap_or(0))),
        }
    }
    Ok(all)
}

/// A batch with its operations as steps.
pub(super) fn batch_of(settings: &Settings, b: usize, batch: &SeedBatch) -> Result<Batch, Refusal> {
    let operations = batch.operations.iter().enumerate();
    let steps =
        operations.map(|(o, operation)| step(settings, operation, &format!("batches[{b}].operations[{o}]")));
    Ok(Batch {
        batch_id: batch.batch_id.clone(),
        description: batch.description.clone(),
        count: 0,
        steps: steps.collect::<Result<_, _>>()?,
    })
}

/// An operation as the step that calls the same function in the settings, which say what it writes.
fn step(settings: &Settings, operation: &Operation, key: &str) -> Result<Step, Refusal> {
    let known = settings.steps.iter().filter_map(|step| Some((step.function.as_deref()?, step)));
    let Some((_, step)) = known.clone().find(|(function, _)| *function == operation.function) else {
        let expected: Vec<&str> = known.map(|(function, _)| function).collect();
        let what = format!("`{key}.function`: it is not known what this function writes");
        return Err(Refusal::new(what, expected.join(", "), operation.function.clone())
            .next("describe it among the steps of the backfill in ops.toml"));
    };
    let if_missing = operation.params.get("if_missing").and_then(serde_json::Value::as_bool);
    let step = step.clone();
    Ok(Step { params: operation.params.clone(), if_missing: if_missing.unwrap_or(step.if_missing), ..step })
}

/// The label of the plan file against what the database was stamped as.
pub(super) fn require_environment(
    seed: &SeedPlan,
    identity: &TargetIdentity,
    now: Stamp,
    notes: &mut Vec<String>,
) -> Result<(), Refusal> {
    let head = &seed.backfill_plan;
    if Stamp::parse(&head.timestamp).is_some_and(|at| at > now) {
        let what = "`backfill_plan.timestamp`: the plan was made in the future";
        return Err(Refusal::new(what, format!("{} or earlier", now.iso()), head.timestamp.clone()));
    }
    let label = head.environment.to_ascii_lowercase();
    match &identity.lineage {
        Some(lineage) if (lineage.purpose == "production") != (label == "production") => {
            let what = "`backfill_plan.environment`: the plan is for another database";
            let found = format!("a database that is stamped `{}`: {}", lineage.purpose, identity.url);
            Err(Refusal::new(what, head.environment.clone(), found).next("name the database that was meant"))
        }
        Some(_) => Ok(()),
        None => {
            notes.push(format!("that this database is `{}` is what the plan file says", head.environment));
            Ok(())
        }
    }
}

/// Compares what the file promises with what will happen. More than was promised is refused, less is noted.
pub(super) fn keep_promises(facts: &mut Facts, seed: &SeedPlan) -> Result<(), Refusal> {
    for (name, promise) in &seed.expected_changes {
        let place = facts.results.iter().position(|touched| touched.result.table == *name);
        let Some(place) = place else {
            let expected: Vec<&str> = facts.results.iter().map(|t| t.result.table.as_str()).collect();
            let what = format!("`expected_changes.{name}`: no step writes this table");
            return Err(Refusal::new(what, expected.join(", "), name.clone()));
        };
        let stamp = &facts.results[place].result.stamp;
        for (column, value) in &promise.stamp {
            let Some(wanted) = stamp.get(column) else { continue };
            if serde_json::to_value(wanted).ok().as_ref() != Some(value) {
                let what =
                    format!("`expected_changes.{name}.{column}`: a current result says something else");
                return Err(Refusal::new(what, wanted.to_string(), value.to_string()));
            }
        }
        let expected = &facts.expected[place];
        let updated = promise.updated_rows;
        for (key, most, found) in
            [("new_rows", Some(promise.new_rows), expected.new), ("updated_rows", updated, expected.updated)]
        {
            if most.is_some_and(|most| found > most) {
                let what =
                    format!("`expected_changes.{name}.{key}`: more rows would change than the plan promises");
                return Err(Refusal::new(what, most.unwrap_or(0).to_string(), found.to_string()).next(
                    "give the step `if_missing`, or correct the promise: a result of another version would be overwritten",
                ));
            }
        }
        if expected.new < promise.new_rows {
            facts.notes.push(format!(
                "{name}: {} new rows, where the plan file promises {}; the others are there already",
                expected.new, promise.new_rows
            ));
        }
        facts.promised.push(Promised { table: name.clone(), new: promise.new_rows, updated });
    }
    versions(facts, seed)
}

/// The versions of the head against the stamps: a plan for another version is not for this backfill.
fn versions(facts: &Facts, seed: &SeedPlan) -> Result<(), Refusal> {
    let head = &seed.backfill_plan;
    for (key, found) in [("engine_version", &head.engine_version), ("fc_version", &head.fc_version)] {
        let Some(found) = found else { continue };
        let steps = facts.batches.iter().flat_map(|batch| &batch.steps);
        let given = steps.filter_map(|step| step.params.get(key)?.as_str());
        let stamps = facts.results.iter().flat_map(|touched| touched.result.stamp.values());
        let stamps = stamps.filter_map(|value| match value {
            Scalar::Text(text) => Some(text.as_str()),
            _ => None,
        });
        let mut known = given.chain(stamps).peekable();
        if known.peek().is_some() && !known.any(|version| version == found) {
            let what = format!("`backfill_plan.{key}`: no result has this version");
            return Err(Refusal::new(what, "the version of a result", found.clone()));
        }
    }
    Ok(())
}
