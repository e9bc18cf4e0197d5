//! How much the detectors find on this very table: known faults are planted into copies of its good rows.
//!
//! A row is good when it scores enough and its title bears no mark of a cut. Whether it really is undamaged nobody
//! knows, so a finding in one that nothing was planted into counts as false: the rates of false positives are upper
//! bounds. Planted rows stand in the table in place of their originals, a few at a time, so that the table stays what it
//! is and the whole title is not there to be looked up. Deterministic for a seed. Nothing here changes the rows.

mod copies;
mod faults;
mod render;

use std::io;
use std::path::Path;

use serde::Serialize;

use super::Dataset;
use super::artifacts;
use super::note::Note;
use super::repair::{Repairer, Vote};
use super::row::Row;
use super::rules::{Rules, Scratch, content};
use super::score::assess;
use super::titles::{self, Learned, Survey};
use super::words::Splits;
use crate::stats::binomial;
use faults::{FAULTS, Family, Fault, Random};

/// Results of all faults, and how the score divides the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Grade {
    /// Rows of the table.
    pub rows: usize,
    /// Rows that faults were planted into.
    pub good: usize,
    /// One for each kind of fault.
    pub faults: Vec<FaultGrade>,
    /// All cuts of titles together.
    pub title_cuts: Option<FaultGrade>,
    /// Planted rows that score more than their original; the law says none.
    pub raised: u64,
    /// What the threshold decides, and what its neighbours would.
    pub sensitivity: Vec<Sensitivity>,
}

/// How well one kind of fault is found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FaultGrade {
    /// Its name.
    pub fault: &'static str,
    /// Planted faults, and those that were found.
    pub recall: Rate,
    /// Of these, in rows whose text repeats the title.
    pub repeated: Rate,
    /// Of these, in rows whose text does not.
    pub not_repeated: Rate,
    /// Good rows without a planted fault, and those that were flagged all the same.
    pub false_positives: Rate,
}

/// A share with its exact counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Rate {
    /// How many were found.
    pub found: u64,
    /// Of how many.
    pub all: u64,
}

impl FaultGrade {
    fn new(fault: &'static str) -> Self {
        let none = Rate::default();
        Self { fault, recall: none, repeated: none, not_repeated: none, false_positives: none }
    }
}

impl Rate {
    fn add(&mut self, found: bool) {
        self.found += u64::from(found);
        self.all += 1;
    }

    fn merge(&mut self, other: Self) {
        self.found += other.found;
        self.all += other.all;
    }

    /// The share; none of nothing.
    pub fn share(self) -> Option<f64> {
        (self.all > 0).then(|| self.found as f64 / self.all as f64)
    }

    /// The exact interval (Clopper and Pearson), which holds the true share in at least 95 of 100 cases; none of nothing.
    pub fn interval(self) -> Option<(f64, f64)> {
        const SIDE: f64 = 0.025;
        let ends =
            || (binomial::lower(self.found, self.all, SIDE), binomial::upper(self.found, self.all, SIDE));
        (self.all > 0).then(ends)
    }
}

/// What a threshold decides.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Sensitivity {
    /// The threshold.
    pub threshold: f64,
    /// Rows below it.
    pub fragments: u64,
    /// Rows that the threshold of the dataset decides otherwise.
    pub flips: u64,
}

/// Part of the good rows that faults are planted into at once.
const ROUNDS: usize = 20;
/// Planted rows of a fault that are enough.
const ENOUGH: u64 = 400;

/// Grades the detectors on `rows`, which are as they were read. Near copies are sorted in files without names in `dir`.
pub fn grade(rules: &Rules, rows: &[Row<'_>], seed: u64, dir: &Path) -> io::Result<Grade> {
    let mut scratch = Scratch::default();
    let scores: Vec<f64> = rows.iter().map(|row| assess(rules, row, &mut scratch).rounded()).collect();
    let mut good: Vec<usize> = (0..rows.len())
        .filter(|i| scores[*i] >= rules.dataset.score.threshold && is_plain(rules, &rows[*i]))
        .collect();
    Random::new(seed, "order").shuffle(&mut good);
    let mut raised = 0;
    let mut faults: Vec<FaultGrade> =
        FAULTS.iter().filter_map(|fault| one(rules, rows, &good, *fault, seed, &mut raised)).collect();
    faults.extend(copies::grade(rules, rows, &good, seed, dir)?);
    Ok(Grade {
        rows: rows.len(),
        good: good.len(),
        title_cuts: together(&faults),
        faults,
        raised,
        sensitivity: sensitivity(rules.dataset.score.threshold, &scores),
    })
}

/// Whether every title is there and bears no mark of a cut.
fn is_plain(rules: &Rules, row: &Row<'_>) -> bool {
    let mut notes = Vec::new();
    let mut splits = Splits::default();
    rules.split(row, &mut splits);
    titles::check(rules, &Learned::default(), row, &splits, &mut notes);
    !notes.iter().any(|note| matches!(note, Note::Finding(_, finding) if finding.detail == titles::MARK || finding.rule != titles::TRUNCATED && finding.rule != titles::TRUNCATED_TEXT))
}

/// One fault, planted into a part of the good rows after the other.
fn one(
    rules: &Rules,
    rows: &[Row<'_>],
    good: &[usize],
    fault: Fault,
    seed: u64,
    raised: &mut u64,
) -> Option<FaultGrade> {
    let column = fault.column(rules)?;
    let mut random = Random::new(seed, fault.name);
    let mut grade = FaultGrade::new(fault.name);
    let part = good.len().div_ceil(ROUNDS).max(1);
    let mut scratch = Scratch::default();
    for (round, chosen) in good.chunks(part).enumerate() {
        let planted: Vec<(usize, Row<'_>)> =
            chosen.iter().filter_map(|i| Some((*i, fault.plant(&rows[*i], column, &mut random)?))).collect();
        let judge = Judge::new(rules, &with(rows, &planted), fault.family);
        for (i, row) in &planted {
            let before = judge.findings(&rows[*i], column, &mut scratch);
            if before > 0 && fault.family != Family::Debris {
                continue;
            }
            let is_found = judge.findings(row, column, &mut scratch) > before;
            grade.recall.add(is_found);
            let is_repeated =
                rules.titles.first().is_some_and(|title| repeats(title.text, title.column, &rows[*i]));
            if is_repeated { &mut grade.repeated } else { &mut grade.not_repeated }.add(is_found);
            let cut = assess(rules, row, &mut scratch).total();
            let is_cut = matches!(fault.family, Family::Title | Family::Text);
            *raised += u64::from(is_cut && cut > assess(rules, &rows[*i], &mut scratch).total());
        }
        if round == 0 {
            for i in good.iter().filter(|i| !chosen.contains(i)) {
                grade.false_positives.add(judge.findings(&rows[*i], column, &mut scratch) > 0);
            }
        }
        if grade.recall.all >= ENOUGH {
            break;
        }
    }
    Some(grade)
}

/// Whether a text begins with its title.
fn repeats(text: Option<usize>, title: usize, row: &Row<'_>) -> bool {
    let text = text.and_then(|column| row.cells.get(column)).and_then(content);
    let title = row.cells.get(title).and_then(content).map(str::trim);
    text.zip(title).is_some_and(|(text, title)| titles::repeats(text, title))
}

/// The table with planted rows in place of their originals.
fn with<'r, 'a>(rows: &'r [Row<'a>], planted: &'r [(usize, Row<'a>)]) -> Vec<&'r Row<'a>> {
    let mut table: Vec<&Row<'a>> = rows.iter().collect();
    for (i, row) in planted {
        table[*i] = row;
    }
    table
}

/// The detectors, taught by a table.
struct Judge<'r> {
    rules: &'r Rules,
    family: Family,
    learned: Learned,
    repairer: Repairer,
}

impl<'r> Judge<'r> {
    fn new(rules: &'r Rules, table: &[&Row<'_>], family: Family) -> Self {
        let mut survey = Survey::new(rules);
        let mut vote = Vote::new();
        for row in table {
            survey.add(rules, row);
            for (column, cell) in row.cells.iter().enumerate().filter(|_| family == Family::Encoding) {
                if let Some(text) = cell.text() {
                    vote.observe(column, text);
                }
            }
        }
        let dataset: &Dataset = &rules.dataset;
        let repairer = Repairer::new(dataset, &vote.decide(dataset));
        Self { rules, family, learned: survey.learned(), repairer }
    }

    /// Findings of the family about a cell.
    fn findings(&self, row: &Row<'_>, column: usize, scratch: &mut Scratch) -> usize {
        let mut notes = Vec::new();
        match self.family {
            Family::Title | Family::Text => {
                self.rules.split(row, &mut scratch.splits);
                titles::check(self.rules, &self.learned, row, &scratch.splits, &mut notes);
            }
            Family::Debris => artifacts::check(self.rules, &self.learned, row, &mut notes, scratch),
            Family::Encoding => {
                if let Some(text) = row.cells.get(column).and_then(content) {
                    self.repairer.repair(column, text, &mut notes);
                }
            }
        }
        let is_it = |note: &&Note| match note {
            Note::Edit(at, edit) => *at == column && edit.rule.id.starts_with("mojibake"),
            Note::Finding(at, finding) => {
                let is_of_family = match self.family {
                    Family::Encoding => finding.rule.id.starts_with("mojibake"),
                    Family::Debris => finding.rule != artifacts::TEMPLATE,
                    Family::Title | Family::Text => true,
                };
                *at == Some(column) && is_of_family
            }
        };
        notes.iter().filter(is_it).count()
    }
}

fn together(faults: &[FaultGrade]) -> Option<FaultGrade> {
    let mut cuts = faults.iter().filter(|grade| grade.fault.starts_with("title_"));
    let mut sum = cuts.next()?.clone();
    sum.fault = "title_cuts";
    for grade in cuts {
        sum.recall.merge(grade.recall);
        sum.repeated.merge(grade.repeated);
        sum.not_repeated.merge(grade.not_repeated);
        if grade.false_positives.share() > sum.false_positives.share() {
            sum.false_positives = grade.false_positives;
        }
    }
    Some(sum)
}

/// How far the neighbours of a threshold are.
const STEP: f64 = 0.05;

fn sensitivity(threshold: f64, scores: &[f64]) -> Vec<Sensitivity> {
    let at = |threshold: f64| super::score::round(threshold);
    let fragments = |threshold: f64| scores.iter().filter(|score| **score < at(threshold)).count() as u64;
    let own = fragments(threshold);
    [threshold - STEP, threshold, threshold + STEP]
        .map(|threshold| Sensitivity {
            threshold: at(threshold),
            fragments: fragments(threshold),
            flips: fragments(threshold).abs_diff(own),
        })
        .to_vec()
}
