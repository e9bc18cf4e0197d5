//! What a set of attempts measures: one definition of every number that reports compare.

use serde::Serialize;

use super::super::metrics;
use super::super::sample::Sample;
use crate::stats;

/// Numbers of a set of attempts. Means and medians are of attempts that were not cut; shares are of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Measures {
    /// Mean SMAPE in percent.
    pub smape_percent_mean: Option<f64>,
    /// Median SMAPE in percent.
    pub smape_percent_median: Option<f64>,
    /// Median of predicted over actual.
    pub waste_ratio_median: Option<f64>,
    /// Mean pinball loss of the prediction in tokens; an output that was cut counts with its bound.
    pub pinball: Option<f64>,
    /// Share of attempts that the prediction was known to be too small for, in percent.
    pub underestimated_percent: Option<f64>,
    /// Share of attempts that were cut, in percent.
    pub truncated_percent: Option<f64>,
    /// Share of attempts that the prediction was known to be enough for, in percent.
    pub covered_percent: Option<f64>,
    /// The same of the selected budget, where one is recorded.
    pub budget_covered_percent: Option<f64>,
}

/// The names of the numbers, in the order of [`Measures::values`].
pub const NAMES: [&str; 8] = [
    "SMAPE % mean",
    "SMAPE % median",
    "waste median",
    "pinball loss, tokens",
    "underestimated %",
    "truncated %",
    "prediction enough %",
    "budget enough %",
];

/// A prediction for an attempt, its own or another one.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a> {
    /// The attempt.
    pub sample: &'a Sample,
    /// Output tokens predicted.
    pub predicted: u64,
    /// The ceiling chosen.
    pub budget: Option<u64>,
}

impl<'a> From<&'a Sample> for Judged<'a> {
    fn from(sample: &'a Sample) -> Self {
        Self { sample, predicted: sample.predicted, budget: sample.budget }
    }
}

impl Judged<'_> {
    /// Whether more was written than predicted, as far as is known: an output that was cut may have become longer.
    pub fn is_under(&self) -> bool {
        metrics::underestimated(self.predicted, self.sample.actual)
    }

    /// Whether an output like this is cut at the selected budget: certainly when it is longer, and possibly when it was cut
    /// before the budget is reached.
    pub fn is_cut(&self) -> bool {
        let longer = self.budget.is_some_and(|budget| self.sample.actual > budget);
        longer || self.sample.is_cut()
    }

    /// The pinball loss of the prediction at a quantile, in tokens: `quantile` for each token short, the rest of 1 for each
    /// too many. Of an output that was cut it is what it is at least.
    pub fn pinball(&self, quantile: f64) -> f64 {
        let gap = self.sample.actual as f64 - self.predicted as f64;
        match (gap > 0.0, self.sample.is_cut()) {
            (true, _) => quantile * gap,
            (false, true) => 0.0,
            (false, false) => (1.0 - quantile) * (self.predicted as f64 - self.sample.actual as f64),
        }
    }
}

impl Measures {
    /// Of attempts with their predictions.
    pub fn of<'a>(judged: &[Judged<'a>], quantile: f64) -> Self {
        let exact: Vec<&Judged<'a>> =
            judged.iter().filter(|j| !j.sample.is_cut() && j.predicted > 0 && j.sample.actual > 0).collect();
        let mut smape: Vec<f64> =
            exact.iter().map(|j| metrics::smape_percent(j.predicted, j.sample.actual)).collect();
        let mut waste: Vec<f64> = exact.iter().map(|j| j.predicted as f64 / j.sample.actual as f64).collect();
        let of = judged.len() as u64;
        let share = |what: &dyn Fn(&Judged<'a>) -> bool| {
            stats::percent(judged.iter().filter(|j| what(j)).count() as u64, of)
        };
        let known = |j: &Judged<'a>| !j.sample.is_cut();
        let budgets = judged.iter().filter(|j| j.budget.is_some()).count() as u64;
        let held =
            judged.iter().filter(|j| known(j) && j.budget.is_some_and(|b| j.sample.actual <= b)).count();
        let pinball: Vec<f64> = judged.iter().map(|j| j.pinball(quantile)).collect();
        Self {
            smape_percent_mean: stats::mean(&smape),
            smape_percent_median: stats::median(&mut smape),
            waste_ratio_median: stats::median(&mut waste),
            pinball: stats::mean(&pinball),
            underestimated_percent: share(&Judged::is_under),
            truncated_percent: share(&|j| j.sample.is_cut()),
            covered_percent: share(&|j| known(j) && j.sample.actual <= j.predicted),
            budget_covered_percent: stats::percent(held as u64, budgets),
        }
    }

    /// The numbers, in the order of [`NAMES`].
    pub fn values(&self) -> [Option<f64>; NAMES.len()] {
        [
            self.smape_percent_mean,
            self.smape_percent_median,
            self.waste_ratio_median,
            self.pinball,
            self.underestimated_percent,
            self.truncated_percent,
            self.covered_percent,
            self.budget_covered_percent,
        ]
    }
}
