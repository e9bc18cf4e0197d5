//! The outcome of an analysis: gates over all attempts, cost metrics over the measurements among them.
//!
//! A truncated attempt says how long the output was at least; it never enters a mean or a percentile. An
//! empty sample is insufficient, not a pass.

use std::sync::{Mutex, PoisonError};
use std::thread;

use serde::Serialize;

use super::analysis::{Analysis, Bucket, NamedStratum, Options, Pair, Stratum, append};
use super::canonical::Complexity;
use crate::stats;
use crate::stats::counts::Counts;

/// The share of attempts that may be truncated, in percent.
pub const TRUNCATION_LIMIT_PERCENT: u64 = 2;

/// The share of attempts that may be longer than predicted, in percent.
pub const UNDERESTIMATION_LIMIT_PERCENT: u64 = 5;

/// How many threads measure strata.
const THREADS: usize = 2;

/// What the token events say. A versioned artifact: `format` grows with every change of meaning.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Version of this artifact.
    pub format: u32,
    /// What was asked for.
    pub options: Options,
    /// Counts over all attempts.
    pub attempts: Tally,
    /// What must hold, measured over all attempts.
    pub gates: Vec<Gate>,
    /// Cost metrics over all measurements.
    pub cost: Cost,
    /// The truncated attempts.
    pub lower_bounds: Bounds,
    /// The same by category, complexity and deliverables, in this order.
    pub strata: Vec<StratumSummary>,
    /// Stored metrics that are not what their token counts give.
    pub mismatches: Mismatches,
    /// Rows that could not be read; they are in none of the counts above.
    pub unreadable: UnreadableRows,
    /// What makes data doubtful without being wrong.
    pub hazards: Hazards,
}

/// Counts of attempts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// All readable attempts.
    pub attempts: u64,
    /// Those whose output could be used.
    pub success: u64,
    /// Those cut at the ceiling.
    pub truncated: u64,
    /// Those of a source that does not record truncation.
    pub truncation_unrecorded: u64,
    /// Those longer than predicted.
    pub underestimated: u64,
    /// Those cut at or below the prediction: whether they were underestimated cannot be known.
    pub censored: u64,
    /// Those whose output could be used although it was cut.
    pub success_truncated: u64,
    /// Those whose output could be used and was longer than predicted.
    pub success_underestimated: u64,
}

/// One gate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gate {
    /// `truncation` or `underestimation`.
    pub name: &'static str,
    /// The largest share that is met.
    pub limit_percent: u64,
    /// The attempts in question.
    pub count: u64,
    /// All attempts.
    pub of: u64,
    /// The share in percent; `None` without attempts.
    pub percent: Option<f64>,
    /// What the share would read among successes alone, which hides what a gate is for; decides nothing.
    pub percent_of_successes: Option<f64>,
    /// The outcome.
    pub verdict: Verdict,
}

/// The outcome of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Measured and within the limit.
    Met,
    /// Measured and above the limit.
    NotMet,
    /// Not measured, or not for every attempt.
    Insufficient,
}

/// Cost metrics of the attempts that were not truncated and have both token counts above 0; of the successful
/// among them when so asked. `None` where there is no such attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Cost {
    /// How many attempts these are.
    pub rows: u64,
    /// Mean predicted output tokens.
    pub predicted_mean: Option<f64>,
    /// Mean actual output tokens.
    pub actual_mean: Option<f64>,
    /// Mean SMAPE in percent.
    pub smape_percent_mean: Option<f64>,
    /// Median SMAPE in percent.
    pub smape_percent_median: Option<f64>,
    /// Mean of predicted over actual.
    pub waste_ratio_mean: Option<f64>,
    /// Median of predicted over actual.
    pub waste_ratio_median: Option<f64>,
    /// 90th percentile of predicted over actual.
    pub waste_ratio_p90: Option<f64>,
    /// Maximum of predicted over actual.
    pub waste_ratio_max: Option<f64>,
}

/// Truncated attempts with both token counts above 0: the prediction should have been larger by at least the
/// ratio of actual over predicted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Bounds {
    /// How many attempts these are.
    pub rows: u64,
    /// Median of actual over predicted.
    pub ratio_median: Option<f64>,
    /// Maximum of actual over predicted.
    pub ratio_max: Option<f64>,
}

/// One stratum.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StratumSummary {
    /// Canonical category.
    pub category: String,
    /// Complexity.
    pub complexity: Complexity,
    /// Band of the number of deliverables.
    pub deliverables: Bucket,
    /// Counts over all its attempts.
    pub attempts: Tally,
    /// Cost metrics over its measurements.
    pub cost: Cost,
    /// Its truncated attempts.
    pub lower_bounds: Bounds,
}

/// Stored metrics that differ from the recomputed ones.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Mismatches {
    /// Rows with at least one difference.
    pub rows: u64,
    /// Rows that differ in `smape_percent`.
    pub smape_percent: u64,
    /// Rows that differ in `waste_ratio`.
    pub waste_ratio: u64,
    /// Rows that differ in `underestimated`.
    pub underestimated: u64,
    /// The differences with the smallest ids.
    pub first: Vec<Mismatch>,
}

/// One stored metric and what it should be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mismatch {
    /// Event id or line.
    pub id: i64,
    /// The metric.
    pub column: &'static str,
    /// As stored; a flag is 0 or 1.
    pub stored: f64,
    /// As the token counts give; `None` where they give no metric.
    pub recomputed: Option<f64>,
}

/// Rows that could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct UnreadableRows {
    /// How many.
    pub rows: u64,
    /// Those with the smallest ids.
    pub first: Vec<Unreadable>,
}

/// One row that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// Event id or line.
    pub id: i64,
    /// The first column that holds no usable value.
    pub column: String,
}

/// Counts of doubtful rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Hazards {
    /// Rows whose complexity is no known word and counts as medium.
    pub unknown_complexity: u64,
    /// Rows without a deliverable.
    pub zero_deliverables: u64,
    /// Rows with more tokens than the selected budget.
    pub actual_over_budget: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.attempts += other.attempts;
        self.success += other.success;
        self.truncated += other.truncated;
        self.truncation_unrecorded += other.truncation_unrecorded;
        self.underestimated += other.underestimated;
        self.censored += other.censored;
        self.success_truncated += other.success_truncated;
        self.success_underestimated += other.success_underestimated;
    }
}

impl Hazards {
    pub(super) fn add(&mut self, other: Self) {
        self.unknown_complexity += other.unknown_complexity;
        self.zero_deliverables += other.zero_deliverables;
        self.actual_over_budget += other.actual_over_budget;
    }
}

impl Mismatches {
    /// Adds the counts, not the list.
    pub(super) fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.smape_percent += other.smape_percent;
        self.waste_ratio += other.waste_ratio;
        self.underestimated += other.underestimated;
    }
}

impl Summary {
    /// Whether every gate is met and every row could be read.
    pub fn gates_met(&self) -> bool {
        self.unreadable.rows == 0 && self.gates.iter().all(|gate| gate.verdict == Verdict::Met)
    }
}

impl Analysis {
    /// Computes the metrics of everything pushed.
    pub fn finish(mut self) -> Summary {
        let strata = self.take_strata();
        let (metrics, cost) = measure(&strata);
        let mut attempts = Tally::default();
        let mut summaries = Vec::new();
        let mut all_bounds = Vec::new();
        for ((category, complexity, deliverables, stratum), (cost, lower_bounds)) in
            strata.into_iter().zip(metrics)
        {
            attempts.add(stratum.tally);
            append(&mut all_bounds, stratum.bounds);
            summaries.push(StratumSummary {
                category,
                complexity,
                deliverables,
                attempts: stratum.tally,
                cost,
                lower_bounds,
            });
        }
        Summary {
            format: 1,
            options: self.options,
            attempts,
            gates: gates(&attempts),
            cost,
            lower_bounds: Bounds::of(all_bounds),
            strata: summaries,
            mismatches: self.take_mismatches(),
            unreadable: self.take_unreadable(),
            hazards: self.hazards,
        }
    }
}

/// The percentiles of all measurements, in the order of [`Spread::percentile`].
const PERCENTILES: [(Metric, f64); 3] = [(Metric::Smape, 0.5), (Metric::Waste, 0.5), (Metric::Waste, 0.9)];

/// What is ranked.
#[derive(Debug, Clone, Copy)]
enum Metric {
    Smape,
    Waste,
}

impl Metric {
    fn of(self, pair: Pair) -> f64 {
        match self {
            Self::Smape => pair.smape_percent(),
            Self::Waste => pair.waste_ratio(),
        }
    }
}

/// Measures every stratum, and all of them together. Each thread takes the next work that nobody has taken.
fn measure(strata: &[NamedStratum]) -> (Vec<(Cost, Bounds)>, Cost) {
    let mut found: Vec<_> =
        strata.iter().map(|_| (Sums::default(), Cost::default(), Bounds::default())).collect();
    let spreads: Vec<Spread> = in_turn(
        strata.iter().zip(&mut found),
        || (Spread::default(), Spread::default()),
        |(all, own), ((.., stratum), found)| {
            own.clear();
            let sums = own.count(&stratum.cost);
            all.merge(own);
            let percentiles = PERCENTILES.map(|(metric, p)| own.percentile(metric, p, [stratum]));
            *found = (sums, Cost::of(&sums, own, percentiles), Bounds::of(stratum.bounds.clone()));
        },
    )
    .into_iter()
    .map(|(all, _)| all)
    .collect();
    let mut all = Spread::default();
    for spread in &spreads {
        all.merge(spread);
    }
    let mut percentiles = [None; PERCENTILES.len()];
    in_turn(
        PERCENTILES.iter().zip(&mut percentiles),
        || (),
        |(), ((metric, p), found)| {
            *found = all.percentile(*metric, *p, strata.iter().map(|(.., stratum)| stratum));
        },
    );
    // In the order of the strata, so that they round alike whoever measured which.
    let mut sums = Sums::default();
    for (own, ..) in &found {
        sums.merge(*own);
    }
    let cost = Cost::of(&sums, &all, percentiles);
    (found.into_iter().map(|(_, cost, bounds)| (cost, bounds)).collect(), cost)
}

/// Does all work, each thread with its own `state`; the states afterwards.
fn in_turn<T: Send, S: Send>(
    work: impl Iterator<Item = T> + Send,
    state: impl Fn() -> S + Sync,
    each: impl Fn(&mut S, T) + Sync,
) -> Vec<S> {
    let work = Mutex::new(work);
    let next = || work.lock().unwrap_or_else(PoisonError::into_inner).next();
    let run = || {
        let mut state = state();
        while let Some(item) = next() {
            each(&mut state, item);
        }
        state
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(run)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

fn gates(attempts: &Tally) -> Vec<Gate> {
    let gate = |name, count: u64, of_successes: u64, limit_percent: u64, complete: bool| {
        let of = attempts.attempts;
        let verdict = match u128::from(count) * 100 > u128::from(of) * u128::from(limit_percent) {
            true => Verdict::NotMet,
            false if of > 0 && complete => Verdict::Met,
            false => Verdict::Insufficient,
        };
        let percent_of_successes = stats::percent(of_successes, attempts.success);
        Gate {
            name,
            limit_percent,
            count,
            of,
            percent: stats::percent(count, of),
            percent_of_successes,
            verdict,
        }
    };
    vec![
        gate(
            "truncation",
            attempts.truncated,
            attempts.success_truncated,
            TRUNCATION_LIMIT_PERCENT,
            attempts.truncation_unrecorded == 0,
        ),
        gate(
            "underestimation",
            attempts.underestimated,
            attempts.success_underestimated,
            UNDERESTIMATION_LIMIT_PERCENT,
            true,
        ),
    ]
}

impl Pair {
    fn smape_percent(self) -> f64 {
        super::metrics::smape_percent(self.predicted.into(), self.actual.into())
    }

    fn waste_ratio(self) -> f64 {
        f64::from(self.predicted) / f64::from(self.actual)
    }
}

/// What the means are made of.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    rows: u64,
    predicted: u64,
    actual: u64,
    smape_percent: stats::Sum,
    waste_ratio: stats::Sum,
}

impl Sums {
    fn merge(&mut self, other: Self) {
        self.rows += other.rows;
        self.predicted += other.predicted;
        self.actual += other.actual;
        self.smape_percent.merge(other.smape_percent);
        self.waste_ratio.merge(other.waste_ratio);
    }
}

/// How the metrics of measurements are spread.
#[derive(Debug, Default)]
struct Spread {
    smape: Counts,
    waste: Counts,
    waste_max: f64,
}

impl Spread {
    /// Counts pairs; their sums, added up in the order of the source, so that they round alike however many threads read
    /// the events.
    fn count(&mut self, pairs: &[Pair]) -> Sums {
        let mut sums = Sums { rows: pairs.len() as u64, ..Sums::default() };
        for pair in pairs {
            let (smape, waste) = (pair.smape_percent(), pair.waste_ratio());
            sums.predicted += u64::from(pair.predicted);
            sums.actual += u64::from(pair.actual);
            sums.smape_percent.add(smape);
            sums.waste_ratio.add(waste);
            self.smape.add(smape);
            self.waste.add(waste);
            self.waste_max = self.waste_max.max(waste);
        }
        sums
    }

    fn merge(&mut self, other: &Self) {
        self.smape.merge(&other.smape);
        self.waste.merge(&other.waste);
        self.waste_max = self.waste_max.max(other.waste_max);
    }

    fn clear(&mut self) {
        self.smape.clear();
        self.waste.clear();
        self.waste_max = 0.0;
    }

    /// A percentile of the measurements of strata that were counted.
    fn percentile<'s>(
        &self,
        metric: Metric,
        p: f64,
        strata: impl IntoIterator<Item = &'s Stratum, IntoIter: Clone>,
    ) -> Option<f64> {
        let pairs = strata.into_iter().flat_map(|stratum| stratum.cost.iter());
        match metric {
            Metric::Smape => self.smape.percentile(p, pairs.map(|pair| Metric::Smape.of(*pair))),
            Metric::Waste => self.waste.percentile(p, pairs.map(|pair| Metric::Waste.of(*pair))),
        }
    }
}

impl Cost {
    fn of(sums: &Sums, spread: &Spread, percentiles: [Option<f64>; PERCENTILES.len()]) -> Self {
        let rows = sums.rows;
        if rows == 0 {
            return Self::default();
        }
        let mean = |sum: f64| Some(sum / rows as f64);
        let [smape_percent_median, waste_ratio_median, waste_ratio_p90] = percentiles;
        Self {
            rows,
            predicted_mean: mean(sums.predicted as f64),
            actual_mean: mean(sums.actual as f64),
            smape_percent_mean: mean(sums.smape_percent.total()),
            smape_percent_median,
            waste_ratio_mean: mean(sums.waste_ratio.total()),
            waste_ratio_median,
            waste_ratio_p90,
            waste_ratio_max: Some(spread.waste_max),
        }
    }
}

impl Bounds {
    fn of(pairs: Vec<Pair>) -> Self {
        let rows = pairs.len() as u64;
        let ratio = |pair: Pair| f64::from(pair.actual) / f64::from(pair.predicted);
        let mut ratios: Vec<f64> = pairs.into_iter().map(ratio).collect();
        let ratio_max = ratios.iter().copied().max_by(f64::total_cmp);
        Self { rows, ratio_median: stats::median(&mut ratios), ratio_max }
    }
}
