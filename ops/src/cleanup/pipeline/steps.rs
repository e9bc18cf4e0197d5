//! What is done to one row: evidence, then characters, then fields. The one place where the steps meet.
//!
//! Evidence is measured on the row as it was read, because repairs shorten texts and fills add words.

use std::borrow::Cow;

use super::render::Verdict;
use crate::cleanup::repair::{Decisions, Repairer};
use crate::cleanup::score::{self, Score};
use crate::cleanup::titles::Learned;
use crate::cleanup::words::Splits;
use crate::cleanup::{Cell, Note, Row, Rules, Scratch, artifacts, fields};

/// The evidence of a row.
#[derive(Debug, Clone)]
pub(super) struct Evidence {
    pub(super) verdict: Verdict,
    /// Of fragments: the parts, each from 0 to 1.
    pub(super) parts: Vec<f64>,
    /// Of fragments: what would bring it over the threshold.
    pub(super) advice: Vec<String>,
}

/// The steps of one thread.
#[derive(Debug)]
pub(super) struct Steps<'a> {
    rules: &'a Rules,
    learned: &'a Learned,
    repairer: Repairer,
    scratch: Scratch,
    /// Words of the row at hand.
    splits: Splits,
}

impl<'a> Steps<'a> {
    pub(super) fn new(rules: &'a Rules, learned: &'a Learned, decisions: &Decisions) -> Self {
        let repairer = Repairer::new(rules.dataset(), decisions);
        Self { rules, learned, repairer, scratch: Scratch::default(), splits: Splits::default() }
    }

    /// Cleans a row; what was done and noticed is appended to `notes`.
    pub(super) fn clean(&mut self, row: &mut Row<'_>, notes: &mut Vec<Note>) -> Evidence {
        let evidence = self.assess(row);
        let Self { rules, learned, scratch, splits, .. } = self;
        for (place, cell) in row.cells.iter_mut().enumerate() {
            let Cell::Text(text) = cell else { continue };
            if let Some(repaired) = self.repairer.repair(place, text, notes) {
                rules.split_again(place, &repaired, splits);
                *text = Cow::Owned(repaired);
            }
        }
        artifacts::check_split(rules, learned, row, splits, notes, scratch);
        fields::apply_split(rules, learned, row, splits, notes, scratch);
        if evidence.verdict.is_fragment {
            fields::mark_fragment(rules, row, notes);
        }
        evidence
    }

    /// The words of the texts of the row that was cleaned last, as they are now.
    pub(super) fn splits(&self) -> &Splits {
        &self.splits
    }

    /// The evidence of a cleaned row that took values from others: never less than it had.
    pub(super) fn assess_again(&mut self, row: &Row<'_>, before: Verdict) -> Evidence {
        let mut evidence = self.assess(row);
        if before.score > evidence.verdict.score {
            evidence.verdict = before;
        }
        evidence
    }

    fn assess(&mut self, row: &Row<'_>) -> Evidence {
        self.rules.split(row, &mut self.splits);
        let score = score::assess_split(self.rules, row, &self.splits, &mut self.scratch);
        let is_fragment = score.is_fragment(&self.rules.dataset().score);
        let verdict = Verdict { score: ten_thousandths(&score), is_fragment };
        if !is_fragment {
            return Evidence { verdict, parts: Vec::new(), advice: Vec::new() };
        }
        let advice = score::advise(self.rules, row, &score).into_iter().map(|advice| advice.text).collect();
        Evidence { verdict, parts: score.parts().to_vec(), advice }
    }
}

fn ten_thousandths(score: &Score) -> u16 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 10,000")]
    let score = (score.total() * 10_000.0).round() as u16;
    score
}
