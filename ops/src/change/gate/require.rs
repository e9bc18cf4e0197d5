//! Which records let a plan through.

use super::{Decision, Entry, GateError, Gates, Record, Stage};
use crate::change::plan::commands;
use crate::change::plan::{Manifest, PlanKind};
use crate::guard::Refusal;

/// What a person typed to approve a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typed {
    /// The plan's id, or at least its first 12 digits.
    pub id: String,
    /// Which option was used: a plan that deletes has its own.
    pub kind: PlanKind,
    /// The target's lineage, which production demands.
    pub lineage: Option<String>,
}

/// The record of an approval, when exactly this plan was named in exactly the way it asks for.
pub fn approve(manifest: &Manifest, typed: &Typed) -> Result<Entry, Refusal> {
    let refusal = |what: &str, expected: String, found: String| {
        Refusal::new(what, expected, found)
            .next(format!("read the plan, then {}", commands::approve(manifest)))
    };
    let is_named = typed.id.len() >= 12 && manifest.id.starts_with(&typed.id.to_ascii_lowercase());
    if !is_named {
        let what = "another plan was approved than the one that is to be applied";
        return Err(refusal(what, format!("plan {}", manifest.short), format!("`{}`", typed.id)));
    }
    let kind = manifest.plan.kind;
    if typed.kind != kind {
        let what = match kind {
            PlanKind::Delete => "this plan deletes rows and needs the approval for that",
            PlanKind::Upsert => "this plan deletes nothing; the approval is for one that does",
        };
        let found = format!("{} {}", typed.kind.approval_option(), typed.id);
        return Err(refusal(what, format!("{} {}", kind.approval_option(), manifest.short), found));
    }
    let lineage = manifest.plan.target.lineage.as_ref();
    let is_production = lineage.is_some_and(|lineage| lineage.purpose == "production");
    let is_right = match (lineage, &typed.lineage) {
        (Some(lineage), Some(typed)) => lineage.id == typed.to_ascii_lowercase(),
        (None, Some(_)) => false,
        (_, None) => !is_production,
    };
    if !is_right {
        let what = if is_production {
            "a production database must be named by its lineage"
        } else {
            "this is not the database that was named"
        };
        let expected = lineage
            .map_or("no lineage, for this target has none".to_owned(), |l| format!("--lineage {}", l.id));
        let found = typed.lineage.as_ref().map_or("none".to_owned(), |typed| format!("--lineage {typed}"));
        return Err(refusal(what, expected, found));
    }
    Ok(Entry::about(manifest, Stage::Approve, Decision::Pass)
        .with("kind", kind.as_str())
        .with("seal", manifest.seal.as_str()))
}

impl Gates {
    /// The approval of exactly this plan, for exactly its target.
    pub fn require_approval(&self, manifest: &Manifest) -> Result<&Record, GateError> {
        let what = format!("plan {} is not approved", manifest.short);
        let not_met = |expected: String, found: String| {
            let option = commands::approve(manifest);
            GateError::NotMet(
                Refusal::new(what.clone(), expected, found).next(format!("read the plan, then {option}")),
            )
        };
        let expected = || format!("an approval of plan {} in {}", manifest.short, self.path().display());
        let Some(record) = self.last(Stage::Approve, &manifest.id) else {
            let others = self.records().iter().rev().find(|record| record.stage == Stage::Approve);
            let found = others
                .map_or("none".to_owned(), |other| format!("the last one is of plan {}", other.short()));
            return Err(not_met(expected(), found));
        };
        if record.decision != Decision::Pass {
            let found = format!("record {}: {}", record.seq, record.decision.as_str());
            return Err(not_met(expected(), found));
        }
        let target = &manifest.plan.target;
        for (name, expected, found) in [
            ("kind", Some(manifest.plan.kind.as_str()), record.text("kind")),
            ("seal", Some(manifest.seal.as_str()), record.text("seal")),
            ("target", Some(target.fingerprint.as_str()), Some(record.target.as_str())),
            (
                "lineage",
                target.lineage.as_ref().map(|lineage| lineage.id.as_str()),
                record.lineage.as_deref(),
            ),
        ] {
            if expected != found {
                let show = |value: Option<&str>| format!("{name} {}", value.unwrap_or("none"));
                return Err(not_met(
                    format!("an approval for {}", show(expected)),
                    format!("record {} for {}", record.seq, show(found)),
                ));
            }
        }
        Ok(record)
    }

    /// The last record of a stage about exactly this plan, which must be a pass: a rehearsal before an apply, a
    /// canary before the rest. A rehearsal must be of the plan as it is sealed, with the script that it tried.
    pub fn require_pass(&self, stage: Stage, manifest: &Manifest) -> Result<&Record, GateError> {
        let is_sealed = |record: &&Record| {
            stage != Stage::Rehearse || record.text("seal") == Some(manifest.seal.as_str())
        };
        let last = self
            .last(stage, &manifest.id)
            .filter(|record| record.target == manifest.plan.target.fingerprint)
            .filter(is_sealed);
        if let Some(record) = last.filter(|record| record.decision == Decision::Pass) {
            return Ok(record);
        }
        let other = || self.records().iter().rev().find(|record| record.stage == stage);
        let found = match (last, other()) {
            (Some(record), _) => format!("record {}: {}", record.seq, record.decision.as_str()),
            (None, Some(other)) if other.plan == manifest.id => {
                format!("record {} is of another seal or target", other.seq)
            }
            (None, Some(other)) => format!("the last one is of plan {}", other.short()),
            (None, None) => "none".to_owned(),
        };
        let what = format!("the gate `{}` is not met", stage.as_str());
        let expected = format!("a {} of plan {} that passed", stage.as_str(), manifest.short);
        let next = match stage {
            Stage::Rehearse => format!("cargo xtask rehearse --plan plan-{}", manifest.short),
            _ => format!("cargo xtask gates show --plan {}", manifest.short),
        };
        Err(GateError::NotMet(Refusal::new(what, expected, found).next(next)))
    }
}
