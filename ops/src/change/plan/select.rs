//! `plan select`: fewer changes of a plan as a plan of its own, with its own id and so its own approval.

use std::fs;
use std::path::Path;

use super::draft::{Findings, PlanDraft, Subject};
use super::keys::KeySet;
use super::layout::{Layout, Op, changed};
use super::manifest::Derived;
use super::{PlanDir, PlanError};
use crate::clock::Stamp;
use crate::files::{self, FileError};
use crate::guard::Refusal;
use crate::target::{Capabilities, Change};
use crate::text::{one_line, plural, thousands};

/// Which changes are taken: those that every part takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only these keys.
    pub keys: Option<KeySet>,
    /// Only these kinds of changes; all when empty.
    pub ops: Vec<Op>,
    /// Only updates that change nothing but these columns; not asked when empty.
    pub columns: Vec<String>,
}

impl Selection {
    fn takes(&mut self, layout: &Layout, change: &Change) -> bool {
        let is_op = self.ops.is_empty() || self.ops.contains(&Op::of(change));
        let is_named = |at: usize| self.columns.contains(&layout.column(at).name);
        let is_within = self.columns.is_empty()
            || matches!(change, Change::Update { before, after } if changed(before, after).all(is_named));
        // Asked last, because a key that was met is noted.
        is_op && is_within && self.keys.as_mut().is_none_or(|keys| keys.takes(&layout.key_of(change)))
    }

    fn words(&self) -> Vec<String> {
        let keys = self.keys.as_ref().map(|keys| format!("{} by key", plural(keys.len() as u64, "row")));
        let ops = self.ops.iter().map(|op| op.as_str()).collect::<Vec<_>>().join(" and ");
        let columns = self.columns.join(", ");
        let ops = (!ops.is_empty()).then(|| format!("only {ops}"));
        let columns = (!columns.is_empty()).then(|| format!("updates of nothing but {columns}"));
        keys.into_iter().chain(ops).chain(columns).collect()
    }

    /// Refuses columns and keys that the plan does not have.
    fn check_columns(&self, layout: &Layout) -> Result<(), Refusal> {
        let names: Vec<&str> = layout.each_column().map(|column| column.name.as_str()).collect();
        match self.columns.iter().find(|name| !names.contains(&name.as_str())) {
            Some(name) => Err(nothing("a column of the plan", format!("`{}`", one_line(name)))
                .next(format!("its columns are {}", one_line(&names.join(", "))))),
            None => Ok(()),
        }
    }

    fn check_keys(&self) -> Result<(), Refusal> {
        let unmet: Vec<&str> = self.keys.iter().flat_map(KeySet::unmet).collect();
        if unmet.is_empty() {
            return Ok(());
        }
        let first: Vec<String> = unmet.iter().take(5).map(|key| format!("`{}`", one_line(key))).collect();
        let found =
            format!("{} that it does not have: {}", plural(unmet.len() as u64, "key"), first.join(", "));
        Err(nothing("keys of changes that the selection takes", found)
            .next("look for the row with cargo xtask plan diff, and name only rows that the plan changes"))
    }
}

fn nothing(expected: &str, found: impl Into<String>) -> Refusal {
    Refusal::new("this selects no plan", expected, found)
}

/// Writes the chosen changes of `plan` as a plan in the folder `out`. The backup is the same files where the file
/// system can give them a second name, and copies elsewhere.
pub fn select(
    plan: &PlanDir,
    mut selection: Selection,
    out: &Path,
    now: Stamp,
    tool_version: &str,
) -> Result<PlanDir, PlanError> {
    let (facts, layout) = (plan.facts(), plan.layout());
    selection.check_columns(layout)?;
    let draft = PlanDraft::create(out)?;
    link_backup(plan, &draft)?;
    let mut writer = draft.begin(Subject {
        target: plan.target(),
        capabilities: Capabilities::from(&facts.capabilities),
        table: layout.table.clone(),
        key: layout.key.clone(),
        columns: layout.columns.clone(),
    })?;
    let before = facts.derived_from.as_ref();
    let mut derived = Derived {
        id: plan.id().to_owned(),
        selection: selection.words(),
        left_out_insert: before.map_or(0, |derived| derived.left_out_insert),
        left_out_update: before.map_or(0, |derived| derived.left_out_update),
        left_out_delete: before.map_or(0, |derived| derived.left_out_delete),
    };
    let mut taken = 0;
    for change in plan.changes()? {
        let change = change?;
        if selection.takes(layout, &change) {
            writer.push(&change)?;
            taken += 1;
            continue;
        }
        match change {
            Change::Insert { .. } => derived.left_out_insert += 1,
            Change::Update { .. } => derived.left_out_update += 1,
            Change::Delete { .. } => derived.left_out_delete += 1,
        }
    }
    selection.check_keys()?;
    if taken == 0 {
        return Err(nothing("at least one change", "none").into());
    }
    writer.finish(findings(plan, derived, taken, now, tool_version))
}

fn findings(plan: &PlanDir, derived: Derived, taken: u64, now: Stamp, tool_version: &str) -> Findings {
    let facts = plan.facts();
    let mut incomplete = Vec::new();
    if taken < plan.len() {
        let all = thousands(plan.len());
        incomplete.push(format!(
            "it holds {} of the {all} changes of plan {}",
            thousands(taken),
            plan.short()
        ));
    }
    if !facts.state.complete {
        incomplete.push(format!("plan {} was not complete either", plan.short()));
    }
    Findings {
        created_at: now,
        tool_version: tool_version.to_owned(),
        desired: facts.desired.clone(),
        comparators: facts.comparators.clone(),
        ignored_columns: facts.ignored_columns.clone(),
        columns_not_given: facts.columns_not_given.clone(),
        counts: plan.counts(),
        only_live: facts.only_live_sample.clone(),
        backup: facts.backup.clone(),
        incomplete,
        errors: if facts.state.errored { facts.state.reasons.clone() } else { Vec::new() },
        derived_from: Some(derived),
    }
}

fn link_backup(plan: &PlanDir, draft: &PlanDraft) -> Result<(), PlanError> {
    let Some(backup) = &plan.facts().backup else { return Ok(()) };
    for sealed in &backup.files {
        let (from, to) = (plan.path().join(&sealed.path), draft.file(&sealed.path));
        if !from.exists() {
            let what = format!("plan {} has lost its backup", plan.short());
            return Err(Refusal::new(what, from.display().to_string(), "no such file")
                .next("put the backup back in its place, or make the plan again")
                .into());
        }
        files::create_dir(to.parent().unwrap_or(&to))?;
        if fs::hard_link(&from, &to).is_err() {
            fs::copy(&from, &to).map_err(|e| FileError::new("copy the backup to", &to, e))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
