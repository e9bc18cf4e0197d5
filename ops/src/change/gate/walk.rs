//! Where a plan stands on its way: planned, approved, applied, watched, examined. One stage lets the next one through.
//!
//! A record counts only when it comes after a pass of the stage before it; an older one says nothing about what was
//! done since. Nothing here starts anything.

use serde::Serialize;

use super::{Decision, GateError, Gates, Record, Stage};
use crate::guard::Refusal;
use crate::report::{Align, Document, Table};

/// The stages in their order.
pub const WAY: [Stage; 5] = [Stage::Plan, Stage::Approve, Stage::Apply, Stage::Soak, Stage::Health];

/// What a stage is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject<'a> {
    /// Full id of the plan.
    pub plan: &'a str,
    /// Fingerprint of the database.
    pub target: &'a str,
    /// Lineage of the database, if it was ever stamped.
    pub lineage: Option<&'a str>,
}

/// How far a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Its last record passes.
    Passed,
    /// Its last record does not.
    Stopped,
    /// It began and has not ended.
    Begun,
    /// Nothing of it is there, or nothing that came after the stage before it.
    Open,
}

impl Standing {
    fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Stopped => "stopped",
            Self::Begun => "begun",
            Self::Open => "–",
        }
    }
}

/// One stage of the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Which.
    pub stage: Stage,
    /// How far it is.
    pub standing: Standing,
    /// The record that says so.
    pub record: Option<u64>,
    /// When, RFC 3339.
    pub at: Option<String>,
    /// A record that is there and does not count, and why.
    pub note: Option<String>,
}

/// Where a plan stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Walk {
    /// Version of this JSON document.
    pub format: u32,
    /// Full id of the plan.
    pub plan: String,
    /// The stages in their order.
    pub steps: Vec<Step>,
    /// The record that took it back, if one did.
    pub taken_back: Option<u64>,
    /// The stage that may be run now; none at the end, and none when it was taken back.
    pub next: Option<Stage>,
}

impl Gates {
    /// Where a plan stands; `plan` is its id or the first digits of it. Refuses a plan that no record is about.
    pub fn walk(&self, plan: Option<&str>) -> Result<Walk, Refusal> {
        let is_way = |record: &&Record| WAY.contains(&record.stage);
        let is_asked = |record: &&Record| plan.is_none_or(|plan| record.plan.starts_with(plan));
        let last = self.records().iter().rev().filter(is_way).find(is_asked);
        let Some(last) = last else {
            let found = format!("none of {} records in {}", self.records().len(), self.path().display());
            let expected = plan.map_or_else(|| "a plan".to_owned(), |plan| format!("plan {plan}"));
            return Err(Refusal::new("no record is about this plan", expected, found)
                .next("cargo xtask backfill plan, and name its chain with --gates"));
        };
        Ok(Walk::of(self.records().iter().filter(|record| record.plan == last.plan), &last.plan))
    }

    /// Refuses unless the stage before `stage` passed for this plan, and for this database where that matters, and was not
    /// taken back. Gives back the record that lets `stage` through.
    pub fn require_before(&self, stage: Stage, subject: &Subject<'_>) -> Result<&Record, GateError> {
        let short = subject.plan.get(..12).unwrap_or(subject.plan);
        let before = before(stage);
        let not_met = |found: String| {
            let what = format!("the gate before `{}` is not met", stage.as_str());
            let expected = format!("a {} of plan {short} that passed", before.as_str());
            GateError::NotMet(
                Refusal::new(what, expected, found)
                    .next(format!("cargo xtask pipeline status --plan {short}")),
            )
        };
        let Ok(walk) = self.walk(Some(subject.plan)) else {
            let others = self.records().iter().rev().find(|record| record.stage == before);
            return Err(not_met(match others {
                Some(other) => format!("the last one is of plan {}", other.short()),
                None => "none".to_owned(),
            }));
        };
        if let Some(seq) = walk.taken_back {
            return Err(not_met(format!("record {seq} took it back")));
        }
        let step = walk.steps.iter().find(|step| step.stage == before).expect("every stage has a step");
        let record = step.record.and_then(|seq| self.records().iter().find(|record| record.seq == seq));
        let Some(record) = record.filter(|_| step.standing == Standing::Passed) else {
            let found = record.map(|record| format!("record {}: {}", record.seq, record.decision.as_str()));
            return Err(not_met(found.or_else(|| step.note.clone()).unwrap_or_else(|| "none".to_owned())));
        };
        // What is examined at the end may be another database than the one that was changed.
        if stage != Stage::Health && !is_same(record, subject) {
            let lineage = subject.lineage.map_or_else(String::new, |id| format!(", lineage {id}"));
            let found = format!(
                "record {} is of target {}, this is {}{lineage}",
                record.seq, record.target, subject.target
            );
            return Err(not_met(found));
        }
        Ok(record)
    }
}

/// A database by its fingerprint, or by its lineage where it was reached in another way.
fn is_same(record: &Record, subject: &Subject<'_>) -> bool {
    let is_lineage = || subject.lineage.is_some() && record.lineage.as_deref() == subject.lineage;
    record.target == subject.target || is_lineage()
}

fn before(stage: Stage) -> Stage {
    let at = WAY.iter().position(|one| *one == stage).unwrap_or(0);
    WAY[at.saturating_sub(1)]
}

impl Walk {
    fn of<'r>(records: impl Iterator<Item = &'r Record>, plan: &str) -> Self {
        let records: Vec<&Record> = records.collect();
        let (mut steps, mut since) = (Vec::new(), Some(0));
        for stage in WAY {
            let last = records.iter().rev().find(|record| record.stage == stage);
            let counts = last.filter(|record| since.is_some_and(|since| record.seq > since));
            let standing = counts.map_or(Standing::Open, |record| match record.decision {
                Decision::Pass => Standing::Passed,
                Decision::Begun => Standing::Begun,
                Decision::Fail | Decision::Insufficient | Decision::Invalid => Standing::Stopped,
            });
            let note = last.filter(|_| counts.is_none()).map(|record| {
                let before = before(stage).as_str();
                format!("record {} does not count: no {before} that passed comes before it", record.seq)
            });
            let note = note.or_else(|| counts.filter(|_| standing == Standing::Stopped).map(|r| why(r)));
            steps.push(Step {
                stage,
                standing,
                record: counts.map(|record| record.seq),
                at: counts.map(|record| record.at.clone()),
                note,
            });
            since = counts.filter(|_| standing == Standing::Passed).map(|record| record.seq);
            // An approval may be repeated, for the rest behind a canary or for the way back: what was done on the
            // first one stays done. An application that is repeated must be watched anew.
            if matches!(stage, Stage::Plan | Stage::Approve) {
                let is_first = |record: &&&Record| record.stage == stage && record.decision == Decision::Pass;
                since = since.and(records.iter().find(is_first).map(|record| record.seq));
                // A plan that was approved was made, whoever recorded it.
                if stage == Stage::Plan && last.is_none() {
                    since = Some(0);
                }
            }
        }
        let applied =
            records.iter().rev().find(|record| record.stage == Stage::Apply).map(|record| record.seq);
        let back = records.iter().rev().find(|record| record.stage == Stage::Rollback);
        let taken_back =
            back.filter(|record| applied.is_none_or(|seq| record.seq > seq)).map(|record| record.seq);
        let next = steps.iter().find(|step| step.standing != Standing::Passed).map(|step| step.stage);
        let next = next.filter(|_| taken_back.is_none());
        Self { format: 1, plan: plan.to_owned(), steps, taken_back, next }
    }

    /// The first 12 digits of the plan's id.
    pub fn short(&self) -> &str {
        self.plan.get(..12).unwrap_or(&self.plan)
    }

    /// Whether a stage was stopped, or a record came out of its order.
    pub fn is_stopped(&self) -> bool {
        self.steps.iter().any(|step| step.standing == Standing::Stopped || step.note.is_some())
    }

    /// The commands that a person may run now, a line each.
    pub fn command(&self) -> Option<String> {
        let short = self.short();
        let is_stopped = |step: &Step| Some(step.stage) == self.next && step.standing == Standing::Stopped;
        if self.next == Some(Stage::Soak) && self.steps.iter().any(is_stopped) {
            // The same evidence gives the same verdict: either it is taken back, or watched anew.
            return Some(format!(
                "cargo xtask backfill rollback --plan {short}\n\
                 cargo xtask soak run --soak staging --plan {short} --out .ops/soaks/staging-{short}-again"
            ));
        }
        Some(match self.next? {
            Stage::Plan => "cargo xtask backfill plan".to_owned(),
            Stage::Approve => {
                format!("cargo xtask backfill apply --plan {short} --apply --approve {short}")
            }
            Stage::Apply => format!("cargo xtask backfill apply --plan {short} --apply --resume"),
            Stage::Soak => format!("cargo xtask soak run --soak staging --plan {short}"),
            _ => format!("cargo xtask health --plan {short}"),
        })
    }

    /// Refuses unless `stage` is the one that may run now.
    pub fn require_next(&self, stage: Stage) -> Result<(), GateError> {
        if self.next == Some(stage) {
            return Ok(());
        }
        let what = format!("`{}` of plan {} is not what comes next", stage.as_str(), self.short());
        let found = match (self.taken_back, self.next) {
            (Some(seq), _) => format!("record {seq} took the plan back"),
            (None, None) => "every stage passed".to_owned(),
            (None, Some(next)) => {
                let step = self.steps.iter().find(|step| step.stage == next);
                let note = step.and_then(|step| step.note.clone()).map(|note| format!(" ({note})"));
                format!("`{}` comes next{}", next.as_str(), note.unwrap_or_default())
            }
        };
        let refusal = Refusal::new(
            what,
            format!("every stage before `{}` passed, and it not yet", stage.as_str()),
            found,
        );
        Err(GateError::NotMet(match self.command() {
            Some(command) => refusal.next(command),
            None => refusal,
        }))
    }

    /// What `pipeline status` prints.
    pub fn document(&self) -> Document {
        let mut table = Table::new([
            ("stage", Align::Left),
            ("standing", Align::Left),
            ("record", Align::Right),
            ("at", Align::Left),
            ("note", Align::Left),
        ]);
        for step in &self.steps {
            table.row([
                step.stage.as_str().to_owned(),
                step.standing.as_str().to_owned(),
                step.record.map_or_else(|| "–".to_owned(), |seq| seq.to_string()),
                step.at.clone().unwrap_or_else(|| "–".to_owned()),
                step.note.clone().unwrap_or_default(),
            ]);
        }
        let mut document = Document::new();
        document.heading(1, format!("Plan {}", self.short())).table(table);
        match (self.taken_back, self.command()) {
            (Some(seq), _) => document.text(format!("Record {seq} took the plan back. Nothing comes next.")),
            (None, None) => document.text("Every stage passed."),
            (None, Some(command)) => {
                let is_repeated =
                    self.steps.iter().any(|step| Some(step.stage) == self.next && step.record.is_some());
                let again =
                    if is_repeated { "Nothing further until it passes. What can be done" } else { "Next" };
                document.text(format!("{again}, started by a person:")).code(command)
            }
        };
        document
    }
}

fn why(record: &Record) -> String {
    let verdict = record.text("verdict").map(|verdict| format!(", {verdict}")).unwrap_or_default();
    format!("record {}: {}{verdict}", record.seq, record.decision.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::{Entry, tests_now};
    use super::*;
    use std::collections::BTreeMap;
    use std::path::Path;

    const PLAN: &str = "aaaabbbbccccdddd";

    fn entry(stage: Stage, decision: Decision) -> Entry {
        let (target, lineage) = ("t1".to_owned(), Some("l1".to_owned()));
        Entry { stage, plan: PLAN.to_owned(), target, lineage, decision, detail: BTreeMap::new() }
    }

    fn chain(path: &Path, records: &[(Stage, Decision)]) -> Gates {
        let _ = std::fs::remove_file(path);
        for (at, (stage, decision)) in records.iter().enumerate() {
            Gates::append(path, entry(*stage, *decision), tests_now(at as u64), "0.1.0").unwrap();
        }
        Gates::load(path).unwrap()
    }

    const SUBJECT: Subject<'_> = Subject { plan: PLAN, target: "t1", lineage: None };
    use Decision::{Begun, Fail, Insufficient, Pass};
    use Stage::{Apply, Approve, Health, Plan, Rollback, Soak};

    #[test]
    fn each_stage_lets_the_next_one_through() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gates.ndjson");
        let all =
            [(Plan, Pass), (Approve, Pass), (Apply, Begun), (Apply, Pass), (Soak, Pass), (Health, Pass)];
        let next = |count: usize| chain(&path, &all[..count]).walk(None).unwrap().next;
        assert_eq!(
            [1, 2, 3, 4, 5, 6].map(next),
            [Some(Approve), Some(Apply), Some(Apply), Some(Soak), Some(Health), None]
        );
        let gates = chain(&path, &all);
        assert_eq!(gates.require_before(Soak, &SUBJECT).unwrap().seq, 4);
        assert_eq!(gates.require_before(Health, &Subject { target: "t2", ..SUBJECT }).unwrap().seq, 5);
        let walk = gates.walk(Some("aaaabb")).unwrap();
        assert!(!walk.is_stopped() && walk.document().markdown().contains("Every stage passed."));
        assert!(gates.walk(Some("ffff")).unwrap_err().to_string().contains("plan ffff"));
        // Approved once more behind a canary, or for the way back: what was applied stays applied.
        let again =
            [&all[..2], &[(Stage::Canary, Pass), (Approve, Pass)], &all[2..4], &[(Approve, Pass)]].concat();
        assert_eq!(chain(&path, &again).walk(None).unwrap().next, Some(Soak));
        let walk = chain(&path, &all[..4]).walk(None).unwrap();
        walk.require_next(Soak).unwrap();
        let refused = walk.require_next(Health).unwrap_err().to_string();
        assert!(
            refused.contains("`soak` comes next") && refused.contains("cargo xtask soak run"),
            "{refused}"
        );
    }

    #[test]
    fn what_did_not_pass_lets_nothing_through() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gates.ndjson");
        let refused = |stage, records: &[(Stage, Decision)]| {
            chain(&path, records).require_before(stage, &SUBJECT).unwrap_err().to_string()
        };
        let begun = [(Plan, Pass), (Approve, Pass), (Apply, Begun)];
        let with = |more: &[(Stage, Decision)]| [&begun[..], more].concat();
        assert!(refused(Soak, &begun).contains("record 3: begun"));
        assert!(refused(Soak, &with(&[(Apply, Fail)])).contains("record 4: fail"));
        assert!(refused(Soak, &with(&[(Apply, Pass), (Rollback, Pass)])).contains("record 5 took it back"));
        assert!(
            refused(Health, &with(&[(Apply, Pass), (Soak, Insufficient)])).contains("record 5: insufficient")
        );
        // A soak of an earlier application says nothing about a later one.
        let again = with(&[(Apply, Pass), (Soak, Pass), (Apply, Begun), (Apply, Pass)]);
        assert!(refused(Health, &again).contains("record 5 does not count"), "{}", refused(Health, &again));
        let early = [(Plan, Pass), (Soak, Pass), (Health, Pass)];
        assert!(refused(Health, &early).contains("record 2 does not count"));
        assert!(chain(&path, &early).walk(None).unwrap().is_stopped());
        assert!(refused(Soak, &[]).contains("found:    none"));
    }

    #[test]
    fn another_plan_or_database_lets_nothing_through() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gates.ndjson");
        let gates = chain(&path, &[(Plan, Pass), (Approve, Pass), (Apply, Begun), (Apply, Pass)]);
        let refused = |subject: Subject<'_>| gates.require_before(Soak, &subject).unwrap_err().to_string();
        let text = refused(Subject { plan: "ffffffffffffffff", ..SUBJECT });
        assert!(text.contains("the last one is of plan aaaabbbbcccc"), "{text}");
        assert!(refused(Subject { target: "t2", ..SUBJECT }).contains("is of target t1, this is t2"));
        let same = Subject { target: "t2", lineage: Some("l1"), ..SUBJECT };
        gates.require_before(Soak, &same).unwrap();
    }
}
