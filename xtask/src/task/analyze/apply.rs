//! `analyze calibrate --apply`: change ops.toml by a proposal that somebody approved, and write that into the chain.
//!
//! A patch gets through only when this chain saw it being proposed, when it was never applied before, and when ops.toml is
//! the file that it was made for. Its inverse takes it back, once. What began and did not end is ended by the same command.

use std::path::Path;

use anyhow::{Context, bail};
use ops::change::gate::{Decision, Entry, GateError, Gates, Record, Stage};
use ops::config::{Config, FILE};
use ops::files;
use ops::guard::Refusal;
use ops::ids::sha256;
use ops::text::plural;
use ops::tokens::calibration::Patch;
use serde_json::json;

use super::calibrate::present;
use crate::exit::Code;
use crate::output::Output;
use crate::settings::Settings;
use crate::task::db_identity::VERSION;

/// What the records of calibrations are marked with.
const KIND: &str = "calibration";

fn entry(stage: Stage, plan: &str, decision: Decision) -> Entry {
    let (plan, target, detail) = (plan.to_owned(), FILE.to_owned(), std::collections::BTreeMap::new());
    Entry { stage, plan, target, lineage: None, decision, detail }.with("kind", KIND)
}

/// Writes into the chain that a patch was proposed.
pub(super) fn note(
    patch: &Patch,
    inverse: &Patch,
    gates: &Path,
    settings: &Settings,
) -> Result<(), GateError> {
    let made = entry(Stage::Plan, &patch.digest(), Decision::Pass)
        .with("before", patch.before_sha256.as_str())
        .with("after", patch.after_sha256.as_str())
        .with("evidence", patch.evidence_digest.as_str())
        .with("inverse", inverse.digest());
    Gates::append(gates, made, settings.clock.now(), VERSION).map(drop)
}

/// What a patch is to the chain.
struct Way {
    /// Apply, or roll back.
    stage: Stage,
    /// The proposal.
    plan: String,
    /// Whether it began before and did not end.
    is_begun: bool,
}

/// Changes ops.toml by the patch in `file`, approved by its id.
pub(super) fn run(
    file: &Path,
    id: &str,
    gates: &Path,
    json: bool,
    settings: &Settings,
) -> anyhow::Result<Code> {
    let shown = file.display();
    let patch: Patch = serde_json::from_str(&files::read_text(&settings.cwd.join(file))?)
        .with_context(|| format!("`{shown}` is not a patch"))?;
    is_approved(&patch, id)?;
    let chain = Gates::load(gates)?;
    let way = way(&patch, &chain)?;
    let (text, _) = present(settings)?;
    let found = sha256(text.as_bytes());
    let is_done = way.is_begun && found == patch.after_sha256;
    if found != patch.before_sha256 && !is_done {
        let refusal = Refusal::new(
            format!("{FILE} is not the file that the patch was made for"),
            patch.before_sha256.clone(),
            found,
        );
        return Err(refusal.next("analyze calibrate makes one for the file as it is now").into());
    }
    let after = if is_done { text } else { patch.apply(&text)? };
    let digest = match Config::parse(&after, FILE) {
        Ok(config) => config.estimator.coefficients.digest(),
        Err(error) => bail!("the patch would leave settings that cannot be used: {error}"),
    };
    let append = |entry: Entry| Gates::append(gates, entry, settings.clock.now(), VERSION);
    if way.stage == Stage::Apply && !way.is_begun {
        append(entry(Stage::Approve, &way.plan, Decision::Pass).with("after", patch.after_sha256.as_str()))?;
    }
    append(entry(way.stage, &way.plan, Decision::Begun).with("patch", patch.id.as_str()))?;
    files::write_atomic(&settings.cwd.join(FILE), after.as_bytes())?;
    append(
        entry(way.stage, &way.plan, Decision::Pass)
            .with("patch", patch.id.as_str())
            .with("after", patch.after_sha256.as_str())
            .with("coefficients", digest.as_str()),
    )?;
    let output = Output::new(settings, json);
    output
        .line(&format!("{FILE} changed by patch {id}: {}", plural(patch.edits.len() as u64, "coefficient")));
    output.line(&format!("The coefficients are now {digest}; events recorded from here on carry that."));
    output.json(&json!({"format": 1, "applied": id, "coefficient_digest": digest}))?;
    Ok(Code::Done)
}

/// Whether this is a whole patch, the approved one, and not a trial.
fn is_approved(patch: &Patch, id: &str) -> Result<(), Refusal> {
    if patch.id != patch.computed_id() {
        let refusal =
            Refusal::new("the patch was changed after it was made", patch.id.clone(), patch.computed_id());
        return Err(refusal.next("analyze calibrate makes it again"));
    }
    if patch.id != id {
        let what = "the approval is of another patch";
        return Err(Refusal::new(what, patch.id.clone(), format!("`{id}`")));
    }
    if patch.is_trial {
        return Err(Refusal::new(
            "a trial cannot be applied",
            "a patch that rests on verified attempts",
            "one that rests on recorded or unverified outcomes",
        ));
    }
    Ok(())
}

/// Whether the chain lets a patch through, and as what.
fn way(patch: &Patch, chain: &Gates) -> Result<Way, GateError> {
    let digest = patch.digest();
    let of_kind = |record: &&Record| record.text("kind") == Some(KIND);
    let last = |stage: Stage, plan: &str| {
        let records = chain.records().iter().rev().filter(of_kind);
        records.filter(|record| record.stage == stage).find(|record| record.plan == plan)
    };
    if let Some(plan) = last(Stage::Plan, &digest) {
        if plan.text("before") != Some(&patch.before_sha256)
            || plan.text("after") != Some(&patch.after_sha256)
        {
            return Err(not_proposed(patch, chain));
        }
        let applied = last(Stage::Apply, &digest);
        if let Some(record) = applied.filter(|record| record.decision == Decision::Pass) {
            return Err(used(patch, record, "this patch was applied before"));
        }
        return Ok(Way { stage: Stage::Apply, plan: digest, is_begun: applied.is_some() });
    }
    let plans = chain.records().iter().rev().filter(of_kind).filter(|record| record.stage == Stage::Plan);
    let Some(plan) = plans.into_iter().find(|plan| plan.text("inverse") == Some(&digest)) else {
        return Err(not_proposed(patch, chain));
    };
    let applied = last(Stage::Apply, &plan.plan).filter(|record| record.decision == Decision::Pass);
    if applied.is_none() {
        let expected = format!("patch {} applied", plan.short());
        let refusal = Refusal::new("there is nothing to take back", expected, "no record of it");
        return Err(GateError::NotMet(refusal));
    }
    let back = last(Stage::Rollback, &plan.plan);
    if let Some(record) = back.filter(|record| record.decision == Decision::Pass) {
        return Err(used(patch, record, "this patch was taken back before"));
    }
    Ok(Way { stage: Stage::Rollback, plan: plan.plan.clone(), is_begun: back.is_some() })
}

fn not_proposed(patch: &Patch, chain: &Gates) -> GateError {
    let expected = format!("a proposal of patch {} in {}", patch.id, chain.path().display());
    let refusal = Refusal::new("no calibration in this chain proposed this patch", expected, "none");
    GateError::NotMet(refusal.next("analyze calibrate makes one; name its chain with --gates"))
}

fn used(patch: &Patch, record: &Record, what: &str) -> GateError {
    let found = format!("record {} of {}", record.seq, record.at);
    let refusal = Refusal::new(what, format!("a patch that was never used; this is {}", patch.id), found);
    refusal.next("collect more attempts and calibrate again: an approval is good for one change").into()
}
