//! How much evidence a row has: a weighted sum of parts, on the row as it was read.
//!
//! The law: **what is cut never scores more than the whole**, whether one cell was cut at any character or the file at
//! any byte. Several plain rules would break it, so they are not used:
//!
//! - `...` takes nothing away; it only ends what counts of a title (cutting the dots away would pay off otherwise).
//! - A word at the very end of a text may be a piece of another (`shield` of `shields`). It gives no value, and counts
//!   as a word only when it is not the beginning of a word that is there already or that says nothing.
//! - The beginning of a placeholder is one (`Gat` of `Gate 3`), and placeholders are known by how they begin.
//! - Generic words count nothing, but take nothing away from the others.
//! - Words of the row give a value to a column that is NULL, not to an empty text, nor to an empty cell where the file
//!   ends: that may be what a cut left.
//!
//! So score rows before they are repaired and filled: repairs shorten texts (`&amp;`), fills add words. The same holds
//! for what is added: more words, metadata or text never lower a score. Nothing here changes a row.

mod advice;
mod count;
mod measure;

pub use advice::{Advice, advise};

use super::check::PARTS_MAX;
use super::dataset::Scoring;
use super::row::Row;
use super::rules::{PartRule, Role, Rules, Scratch, content};
use super::words::{Meaning, Splits};

/// The score of a row and the parts it is the sum of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    parts: [f64; PARTS_MAX],
    count: usize,
    total: f64,
}

impl Score {
    /// The parts in the order of the dataset, each from 0 to 1, not weighted.
    pub fn parts(&self) -> &[f64] {
        &self.parts[..self.count]
    }

    /// The weighted sum, from 0 to 1, not rounded.
    pub fn total(&self) -> f64 {
        self.total
    }

    /// The weighted sum as it is written and compared: four places.
    pub fn rounded(&self) -> f64 {
        round(self.total)
    }

    /// Whether the row has too little evidence. A score of exactly the threshold is enough.
    pub fn is_fragment(&self, scoring: &Scoring) -> bool {
        self.is_below(scoring.threshold)
    }

    /// Whether the row would be a fragment at another threshold.
    pub fn is_below(&self, threshold: f64) -> bool {
        self.rounded() < round(threshold)
    }
}

/// To four places.
pub fn round(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// Scores a row as it was read: not repaired, not filled.
pub fn assess(rules: &Rules, row: &Row<'_>, scratch: &mut Scratch) -> Score {
    let mut splits = std::mem::take(&mut scratch.splits);
    rules.split(row, &mut splits);
    let score = assess_split(rules, row, &splits, scratch);
    scratch.splits = splits;
    score
}

/// Scores a row whose texts are split already.
pub(super) fn assess_split(rules: &Rules, row: &Row<'_>, splits: &Splits, scratch: &mut Scratch) -> Score {
    let given = given(rules, row, splits);
    let mut score = Score { parts: [0.0; PARTS_MAX], count: rules.parts.len(), total: 0.0 };
    for (i, (part, settings)) in rules.parts.iter().zip(&rules.dataset.score.parts).enumerate() {
        let value = part_value(rules, part, row, (given, splits), scratch);
        score.parts[i] = value;
        score.total += settings.weight() * value;
    }
    score.total = score.total.clamp(0.0, 1.0);
    score
}

fn part_value(
    rules: &Rules,
    part: &PartRule,
    row: &Row<'_>,
    (given, splits): (u32, &Splits),
    scratch: &mut Scratch,
) -> f64 {
    let text = |column: usize| row.cells.get(column).and_then(content).unwrap_or_default();
    let is_placeholder = |column: usize| rules.placeholders[column].hold(text(column));
    match part {
        PartRule::Title { column, min_chars, full_chars, damaged } => {
            let most = (*full_chars).max(*min_chars);
            let chars = if is_placeholder(*column) { 0 } else { measure::title_chars(text(*column), most) };
            match chars {
                0 => 0.0,
                few if few < *min_chars => *damaged,
                chars => (chars as f64 / *full_chars as f64).min(1.0),
            }
        }
        PartRule::Steps { column, steps } => {
            let most = steps.last().map_or(0, |(chars, _)| *chars);
            let chars = if is_placeholder(*column) { 0 } else { measure::chars(text(*column), most) };
            steps.iter().take_while(|(from, _)| *from <= chars).last().map_or(0.0, |(_, value)| *value)
        }
        PartRule::Count { column, full, fill, .. } => {
            let words = count::words_of(rules, (*column, *fill, *full), row, splits, scratch);
            (words as f64 / *full as f64).min(1.0)
        }
        PartRule::Present { columns } => {
            let present =
                columns.iter().filter(|(column, fill)| is_present(rules, *column, *fill, row, given));
            present.count() as f64 / columns.len() as f64
        }
    }
}

/// Whether a column has a value, or words of the row give it one.
fn is_present(rules: &Rules, column: usize, fill: Option<usize>, row: &Row<'_>, given: u32) -> bool {
    match row.cells.get(column) {
        Some(cell) if content(cell).is_some() => !rules.is_missing(column, cell),
        _ => fill.is_some_and(|fill| given & (1 << fill) != 0),
    }
}

/// Which fills have a word in the row that was not cut.
fn given(rules: &Rules, row: &Row<'_>, splits: &Splits) -> u32 {
    let mut wanted = 0_u32;
    for part in &rules.parts {
        let PartRule::Present { columns } = part else { continue };
        for fill in columns.iter().filter_map(|(_, fill)| *fill) {
            let column = rules.fills[fill].column;
            let is_null = row.cells.get(column).and_then(content).is_none() && row.open != Some(column);
            wanted |= u32::from(is_null) << fill;
        }
    }
    let mut given = 0;
    for scan in &rules.scans {
        let wanted = scan.fills & wanted & !given;
        let Some(text) = row.cells.get(scan.column).and_then(content).filter(|_| wanted != 0) else {
            continue;
        };
        for (number, word) in splits.known(scan.column, text, Meaning::Value) {
            if !word.closed {
                continue;
            }
            splits.phrases(scan.column, number, rules.lexicon.phrase, |hash| {
                for (fill, role) in rules.lexicon.uses(hash) {
                    if matches!(role, Role::Group(_)) {
                        given |= wanted & (1 << fill);
                    }
                }
            });
        }
    }
    given
}
