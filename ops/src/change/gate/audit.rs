//! `gates audit`: does the chain hold, and did every stage have the one that must come before it?

use std::io::ErrorKind;
use std::path::Path;

use serde::Serialize;

use super::chain::Chain;
use super::{Decision, GateError, Record, Stage};
use crate::files::FileError;
use crate::report::{Align, Document, Table};
use crate::text::{one_line, plural};

/// What an audit can find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A record is not what was written.
    Edited,
    /// Records were taken out.
    Missing,
    /// A record stands here that belongs elsewhere.
    Replayed,
    /// A record is older than the one before it.
    OutOfOrder,
    /// The last record was not written to its end.
    Torn,
    /// Something was applied that nobody had approved.
    Unapproved,
    /// A stage is about a plan that did not reach it.
    OtherPlan,
    /// The stage before it was there and did not pass.
    NotPassed,
    /// Records of one plan name different targets.
    OtherTarget,
}

impl FindingKind {
    /// The words for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edited => "edited",
            Self::Missing => "missing",
            Self::Replayed => "replayed",
            Self::OutOfOrder => "out of order",
            Self::Torn => "torn",
            Self::Unapproved => "unapproved",
            Self::OtherPlan => "another plan",
            Self::NotPassed => "not passed",
            Self::OtherTarget => "another target",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The line of the file, from 1.
    pub line: u64,
    /// What kind.
    pub kind: FindingKind,
    /// In words.
    pub what: String,
}

/// What an audit saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Version of this JSON document.
    pub format: u32,
    /// Records that could be read.
    pub records: u64,
    /// SHA-256 of the last line: noted elsewhere, it shows whether records were cut off later.
    pub head: Option<String>,
    /// What is wrong, in the order of the lines.
    pub findings: Vec<Finding>,
}

/// Examines a file. It is an error when there is none.
pub fn audit(path: &Path) -> Result<Audit, GateError> {
    let bytes = std::fs::read(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => crate::guard::Refusal::new(
            "there are no gates to audit",
            path.display().to_string(),
            "no such file",
        )
        .next("name the file with --gates")
        .into(),
        _ => GateError::File(FileError::new("read", path, error)),
    })?;
    let chain = Chain::read(&bytes);
    let mut findings = chain.findings;
    for (at, (line, record)) in chain.records.iter().enumerate() {
        let earlier = || chain.records[..at].iter().map(|(_, record)| record);
        if let Some((kind, what)) = out_of_stage(record, earlier) {
            findings.push(Finding { line: *line, kind, what });
        }
        let first = earlier().find(|other| other.plan == record.plan && other.stage != Stage::Health);
        // What is examined at the end may be another database than the one that was changed.
        let first = first.filter(|_| record.stage != Stage::Health);
        if let Some(first) = first.filter(|first| !is_same_target(first, record)) {
            let what =
                format!("plan {} is of target {}, this says {}", record.short(), first.target, record.target);
            findings.push(Finding { line: *line, kind: FindingKind::OtherTarget, what });
        }
    }
    findings.sort_by_key(|finding| finding.line);
    Ok(Audit { format: 1, records: chain.records.len() as u64, head: chain.head, findings })
}

/// What a record lacks among the earlier ones.
fn out_of_stage<'r, I: Iterator<Item = &'r Record>>(
    record: &Record,
    earlier: impl Fn() -> I,
) -> Option<(FindingKind, String)> {
    let of = |stage: Stage| earlier().filter(move |other| other.stage == stage);
    let same = |other: &&Record| other.plan == record.plan;
    let name = |other: Option<&Record>| other.map_or("none".to_owned(), |other| other.short().to_owned());
    match record.stage {
        Stage::Canary | Stage::Apply => {
            let approval = of(Stage::Approve).filter(same).last();
            let is_approved = approval.is_some_and(|approval| approval.decision == Decision::Pass);
            let what = || {
                let last = name(of(Stage::Approve).last());
                format!(
                    "{} of plan {}; the last approval is of plan {last}",
                    record.stage.as_str(),
                    record.short()
                )
            };
            (!is_approved).then(|| (FindingKind::Unapproved, what()))
        }
        Stage::Soak if of(Stage::Apply).any(|other| same(&other)) => {
            not_passed(record, of(Stage::Apply).filter(same).last())
        }
        Stage::Health if of(Stage::Soak).any(|other| same(&other)) => {
            not_passed(record, of(Stage::Soak).filter(same).last())
        }
        Stage::Health => {
            let what = format!(
                "health of plan {}; the last soak is of plan {}",
                record.short(),
                name(of(Stage::Soak).last())
            );
            Some((FindingKind::OtherPlan, what))
        }
        Stage::Rollback | Stage::Soak => {
            let is_applied = of(Stage::Apply).chain(of(Stage::Canary)).any(|other| same(&other));
            let what = || {
                let last = name(of(Stage::Apply).last());
                format!(
                    "{} of plan {}; the last applied plan is {last}",
                    record.stage.as_str(),
                    record.short()
                )
            };
            (!is_applied).then(|| (FindingKind::OtherPlan, what()))
        }
        Stage::Plan | Stage::Approve | Stage::Rehearse => None,
    }
}

/// The stage before a record is there, but its last word is no pass.
fn not_passed(record: &Record, before: Option<&Record>) -> Option<(FindingKind, String)> {
    let before = before.filter(|before| before.decision != Decision::Pass)?;
    let (stage, short) = (record.stage.as_str(), record.short());
    let word = before.decision.as_str();
    let what = format!(
        "{stage} of plan {short}; record {} before it is {} {word}",
        before.seq,
        before.stage.as_str()
    );
    Some((FindingKind::NotPassed, what))
}

/// The same database, reached in one way or in another.
fn is_same_target(one: &Record, other: &Record) -> bool {
    one.target == other.target || (one.lineage.is_some() && one.lineage == other.lineage)
}

impl Audit {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// What `gates audit` prints.
    pub fn document(&self) -> Document {
        let mut document = Document::new();
        document.heading(1, "Audit of the gates").facts([
            ("records", self.records.to_string()),
            ("head", self.head.clone().unwrap_or_else(|| "none".to_owned())),
        ]);
        if self.is_clean() {
            document.text("The chain holds, and every stage had the one before it.");
            return document;
        }
        let mut table = Table::new([("line", Align::Right), ("finding", Align::Left), ("what", Align::Left)]);
        for finding in &self.findings {
            table.row([finding.line.to_string(), finding.kind.as_str().to_owned(), one_line(&finding.what)]);
        }
        document.table(table).text(format!("{}.", plural(self.findings.len() as u64, "finding")));
        document
    }
}
