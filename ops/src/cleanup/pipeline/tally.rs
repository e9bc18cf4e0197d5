//! Counts of what was done and noticed, by rule and column.

use std::collections::BTreeMap;

use serde::Serialize;

use super::layout::Layout;
use crate::cleanup::{Note, Rule};

/// Counts of one thread, or of all of them.
#[derive(Debug, Default, Clone)]
pub(super) struct Tally {
    edits: Vec<(Rule, usize, u64)>,
    findings: Vec<(Rule, usize, u64)>,
    /// Rows with a change.
    pub(super) edited_rows: u64,
    /// Rows with a remark.
    pub(super) flagged_rows: u64,
}

/// How often a rule did or noticed something in a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleCount {
    /// The rule with its version.
    pub rule: String,
    /// The column; nothing where it is about the row.
    pub column: Option<String>,
    /// How often.
    pub count: u64,
}

/// Place of what is about a row as a whole.
const ROW: usize = usize::MAX;

impl Tally {
    /// Counts a note; returns the number of its rule and column among those of edits, or of findings.
    pub(super) fn note(&mut self, note: &Note) -> usize {
        match note {
            Note::Edit(place, edit) => count(&mut self.edits, edit.rule, *place, 1),
            Note::Finding(place, finding) => count(&mut self.findings, finding.rule, place.unwrap_or(ROW), 1),
        }
    }

    pub(super) fn absorb(&mut self, other: &Self) {
        for (rule, place, n) in &other.edits {
            count(&mut self.edits, *rule, *place, *n);
        }
        for (rule, place, n) in &other.findings {
            count(&mut self.findings, *rule, *place, *n);
        }
        self.edited_rows += other.edited_rows;
        self.flagged_rows += other.flagged_rows;
    }

    pub(super) fn edits(&self, layout: &Layout) -> Vec<RuleCount> {
        sorted(&self.edits, layout)
    }

    pub(super) fn findings(&self, layout: &Layout) -> Vec<RuleCount> {
        sorted(&self.findings, layout)
    }
}

/// A list is faster than a map: there are a few dozen pairs.
fn count(counts: &mut Vec<(Rule, usize, u64)>, rule: Rule, place: usize, n: u64) -> usize {
    let known = counts.iter().position(|(r, p, _)| *p == place && *r == rule);
    let number = known.unwrap_or(counts.len());
    if known.is_none() {
        counts.push((rule, place, 0));
    }
    counts[number].2 += n;
    number
}

/// By rule, then in the order of the columns.
fn sorted(counts: &[(Rule, usize, u64)], layout: &Layout) -> Vec<RuleCount> {
    let sorted: BTreeMap<(Rule, usize), u64> =
        counts.iter().map(|(rule, place, n)| ((*rule, *place), *n)).collect();
    let named = sorted.into_iter().map(|((rule, place), count)| RuleCount {
        rule: rule.to_string(),
        column: layout.names().get(place).cloned(),
        count,
    });
    named.collect()
}
