//! Which records let a backfill through: the same words and rules as for a plan of rows, about another kind of plan.
//!
//! A record of a backfill says `kind backfill`, so that neither kind of plan can pass on an approval of the other.

use super::plan::Plan;
use super::report::Report;
use crate::change::apply::End;
use crate::change::gate::{Decision, Entry, GateError, Gates, Record, Stage};
use crate::guard::Refusal;

/// What `kind` says in a record.
pub const KIND: &str = "backfill";

/// An entry about a plan and its target.
pub fn entry(plan: &Plan, stage: Stage, decision: Decision) -> Entry {
    let target = &plan.plan.target;
    let entry = Entry {
        stage,
        plan: plan.id.clone(),
        target: target.fingerprint.clone(),
        lineage: target.lineage.as_ref().map(|lineage| lineage.id.clone()),
        decision,
        detail: std::collections::BTreeMap::new(),
    };
    entry.with("kind", KIND)
}

/// What is typed to approve a plan.
pub fn option(plan: &Plan) -> String {
    match plan.plan.target.lineage.as_ref().filter(|_| plan.plan.is_production()) {
        Some(lineage) => format!("--approve {} --lineage {}", plan.short, lineage.id),
        None => format!("--approve {}", plan.short),
    }
}

/// The record of an approval, when exactly this plan was named, and production by its lineage.
pub fn approve(plan: &Plan, typed: &str, typed_lineage: Option<&str>) -> Result<Entry, Refusal> {
    let refusal = |what: &str, expected: String, found: String| {
        Refusal::new(what, expected, found).next(format!("read the plan, then {}", option(plan)))
    };
    if typed.len() < 12 || !plan.id.starts_with(&typed.to_ascii_lowercase()) {
        let what = "another plan was approved than the one that is to be applied";
        return Err(refusal(what, format!("plan {}", plan.short), format!("`{typed}`")));
    }
    let lineage = plan.plan.target.lineage.as_ref();
    let is_right = match (lineage, typed_lineage) {
        (Some(lineage), Some(typed)) => lineage.id == typed.to_ascii_lowercase(),
        (None, Some(_)) => false,
        (_, None) => !plan.plan.is_production(),
    };
    if !is_right {
        let what = "a production database must be named by its lineage, and no other by any";
        let expected = lineage
            .map_or("no lineage, for this target has none".to_owned(), |l| format!("--lineage {}", l.id));
        return Err(refusal(what, expected, typed_lineage.unwrap_or("none").to_owned()));
    }
    Ok(entry(plan, Stage::Approve, Decision::Pass))
}

/// The approval of exactly this plan, for exactly its target.
pub fn require_approval<'g>(gates: &'g Gates, plan: &Plan) -> Result<&'g Record, GateError> {
    let not_met = |found: String| {
        let expected = format!("an approval of plan {} in {}", plan.short, gates.path().display());
        let refusal = Refusal::new(format!("plan {} is not approved", plan.short), expected, found);
        GateError::NotMet(refusal.next(format!("read the plan, then {}", option(plan))))
    };
    let Some(record) = gates.last(Stage::Approve, &plan.id) else {
        let other = gates.records().iter().rev().find(|record| record.stage == Stage::Approve);
        return Err(not_met(
            other.map_or("none".to_owned(), |other| format!("the last one is of plan {}", other.short())),
        ));
    };
    let lineage = plan.plan.target.lineage.as_ref().map(|lineage| lineage.id.as_str());
    let is_of_this = record.text("kind") == Some(KIND)
        && record.target == plan.plan.target.fingerprint
        && record.lineage.as_deref() == lineage;
    if record.decision != Decision::Pass || !is_of_this {
        return Err(not_met(format!(
            "record {}: {}, {} of target {}",
            record.seq,
            record.decision.as_str(),
            record.text("kind").unwrap_or("another kind"),
            record.target
        )));
    }
    Ok(record)
}

/// What the chain keeps of a run. The run's id is what a soak leaves out, and what its successor must name.
pub fn outcome(plan: &Plan, stage: Stage, report: &Report) -> Entry {
    let is_pass = match stage {
        Stage::Canary => report.failed() == 0 && report.unexpected == 0,
        _ => report.end == End::Done,
    };
    let decision = if is_pass { Decision::Pass } else { Decision::Fail };
    let mut all =
        entry(plan, stage, decision).with("run", report.run.as_str()).with("why", report.why.as_str());
    for (word, count) in &report.ended {
        all = all.with(word, *count);
    }
    all.with("candidates", report.total)
        .with("not_reached", report.not_reached)
        .with("started", report.started_at.as_str())
}
