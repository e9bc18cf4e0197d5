//! The joint fit: overheads and marginals at once, to a quantile of the outputs, held to the present values.
//!
//! The loss is asymmetric (a token short costs more than one too many) and relative to the present prediction, so that large
//! tasks do not decide alone. An output that was cut takes part as the outputs that it may have become. What the data
//! cannot tell apart does not move.

use std::collections::BTreeMap;

use super::super::canonical::Complexity;
use super::super::estimator::{Coefficients, Parameter};
use super::super::study::upper::ratios;
use super::evidence::Task;
use crate::stats::lognormal::LogNormal;
use crate::stats::survival::Survival;

/// So many outputs stand for one that was cut, at evenly spread chances.
const STANDING_IN: u32 = 10;
/// Rounds of the fit.
const ROUNDS: u32 = 80;
/// Below this a residual counts as none.
const SMOOTH: f64 = 1e-3;
/// A fit does not leave this range around the present value, whatever the data say; a step is smaller still.
const RANGE: (f64, f64) = (0.1, 10.0);
/// The least that a change of a coefficient is measured against, in tokens.
const SCALE_MIN: f64 = 100.0;

/// One attempt as the fit sees it.
struct Row {
    /// The share of each parameter in the prediction, relative to the present prediction.
    x: Vec<(usize, f64)>,
    /// Actual over predicted.
    ratio: f64,
    weight: f64,
}

/// What is fitted.
pub(super) struct Problem<'t> {
    tasks: Vec<Task<'t>>,
    /// Every coefficient that has part in a prediction.
    pub(super) parameters: Vec<Parameter>,
    /// Phases in whose prediction each has part.
    pub(super) phases: Vec<u64>,
    /// Phases that tell it from the others: of an overhead, those of its stratum.
    pub(super) telling: Vec<u64>,
    rows: Vec<Row>,
}

impl<'t> Problem<'t> {
    /// The fit of these tasks; each phase counts once.
    pub(super) fn new(tasks: &[Task<'t>], coefficients: &Coefficients) -> Self {
        let mut index = BTreeMap::new();
        let weights: Vec<BTreeMap<Parameter, f64>> =
            tasks.iter().map(|t| t.features.parameters(coefficients).unwrap_or_default()).collect();
        for parameter in weights.iter().flat_map(BTreeMap::keys) {
            index.entry(parameter.clone()).or_insert(0_usize);
        }
        for (number, at) in index.values_mut().enumerate() {
            *at = number;
        }
        let attempts = attempts_by_phase(tasks);
        let survivals = survivals(tasks);
        let mut rows = Vec::new();
        for (task, weights) in tasks.iter().zip(&weights) {
            let scale = coefficients.safety / task.sample.predicted as f64;
            let x: Vec<(usize, f64)> = weights.iter().map(|(p, w)| (index[p], w * scale)).collect();
            let weight = 1.0 / attempts[&phase(task)] as f64;
            let ratio = task.sample.actual as f64 / task.sample.predicted as f64;
            if task.sample.is_cut() {
                for ratio in stand_ins(ratio, &survivals[&owned(task)]) {
                    rows.push(Row { x: x.clone(), ratio, weight: weight / f64::from(STANDING_IN) });
                }
            } else {
                rows.push(Row { x, ratio, weight });
            }
        }
        let parameters: Vec<Parameter> = index.into_keys().collect();
        let (phases, telling) = telling(tasks, &weights, &parameters);
        Self { tasks: tasks.to_vec(), parameters, phases, telling, rows }
    }

    /// The tasks.
    pub(super) fn tasks(&self) -> &[Task<'t>] {
        &self.tasks
    }

    /// The values that fit best, those of parameters that are not `free` as they are.
    pub(super) fn solve(
        &self,
        coefficients: &Coefficients,
        free: &[bool],
        quantile: f64,
        ridge: f64,
    ) -> Vec<f64> {
        let start: Vec<f64> = self.parameters.iter().map(|p| p.of(coefficients) as f64).collect();
        let scale: Vec<f64> = start.iter().map(|value| value.max(SCALE_MIN)).collect();
        let all: f64 = self.rows.iter().map(|row| row.weight).sum();
        let mut values = start.clone();
        for _ in 0..ROUNDS {
            let (mut matrix, mut right) = self.normal(&values, quantile);
            for j in 0..values.len() {
                let price = 2.0 * ridge * all / (scale[j] * scale[j]);
                matrix[j][j] += price;
                right[j] += price * start[j];
            }
            let next = bounded(&matrix, &right, &start, &scale, free);
            let moved = next.iter().zip(&values).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            values = next;
            if moved < 0.05 {
                break;
            }
        }
        values
    }

    /// The quadratic that lies above the loss and touches it at `values` (Hunter and Lange 2000): its matrix and right side.
    fn normal(&self, values: &[f64], quantile: f64) -> (Vec<Vec<f64>>, Vec<f64>) {
        let n = values.len();
        let (mut matrix, mut right) = (vec![vec![0.0; n]; n], vec![0.0; n]);
        for row in &self.rows {
            let fitted: f64 = row.x.iter().map(|(j, x)| x * values[*j]).sum();
            let curve = row.weight / (2.0 * (SMOOTH + (row.ratio - fitted).abs()));
            for (j, x) in &row.x {
                right[*j] += x * (curve * row.ratio + row.weight * (quantile - 0.5));
                for (k, y) in &row.x {
                    matrix[*j][*k] += curve * x * y;
                }
            }
        }
        (matrix, right)
    }
}

/// The minimum within the bounds; what leaves them is put on its bound and the rest is found again.
fn bounded(matrix: &[Vec<f64>], right: &[f64], start: &[f64], scale: &[f64], free: &[bool]) -> Vec<f64> {
    let mut values = start.to_vec();
    let mut open: Vec<usize> = (0..start.len()).filter(|j| free[*j]).collect();
    while !open.is_empty() {
        let sub: Vec<Vec<f64>> = open.iter().map(|j| open.iter().map(|k| matrix[*j][*k]).collect()).collect();
        let rest: Vec<f64> = open
            .iter()
            .map(|j| {
                let fixed = (0..start.len()).filter(|k| !open.contains(k));
                right[*j] - fixed.map(|k| matrix[*j][k] * values[k]).sum::<f64>()
            })
            .collect();
        let Some(found) = cholesky(sub, rest) else { return values };
        let mut outside = None;
        for (j, value) in open.iter().zip(&found) {
            let (low, high) = (start[*j] * RANGE.0, (start[*j] * RANGE.1).max(scale[*j] * RANGE.1));
            values[*j] = value.clamp(low, high);
            if values[*j].to_bits() != value.to_bits() && outside.is_none() {
                outside = Some(*j);
            }
        }
        let Some(outside) = outside else { break };
        open.retain(|j| *j != outside);
    }
    values
}

/// Solves a symmetric positive definite system; `None` when it is not one.
fn cholesky(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Option<Vec<f64>> {
    let n = b.len();
    for j in 0..n {
        for k in 0..j {
            let l = a[j][k];
            for row in a.iter_mut().skip(j) {
                row[j] -= l * row[k];
            }
        }
        let pivot = a[j][j];
        if pivot.is_nan() || pivot <= 1e-300 {
            return None;
        }
        let root = pivot.sqrt();
        for row in a.iter_mut().skip(j) {
            row[j] /= root;
        }
    }
    for j in 0..n {
        b[j] = (b[j] - (0..j).map(|k| a[j][k] * b[k]).sum::<f64>()) / a[j][j];
    }
    for j in (0..n).rev() {
        b[j] = (b[j] - (j + 1..n).map(|k| a[k][j] * b[k]).sum::<f64>()) / a[j][j];
    }
    Some(b)
}

/// A phase by run, name and, where it has no name, the id of its attempt.
type PhaseKey<'a> = (&'a str, &'a str, i64);

fn phase<'a>(task: &Task<'a>) -> PhaseKey<'a> {
    let sample = task.sample;
    (&sample.run, &sample.phase, if sample.phase.is_empty() { sample.id } else { 0 })
}

fn owned(task: &Task<'_>) -> (String, Complexity) {
    let (category, complexity) = task.stratum();
    (category.to_owned(), complexity)
}

fn attempts_by_phase<'a>(tasks: &[Task<'a>]) -> BTreeMap<PhaseKey<'a>, u64> {
    let mut attempts = BTreeMap::new();
    for task in tasks {
        *attempts.entry(phase(task)).or_insert(0) += 1;
    }
    attempts
}

/// The outputs of each stratum relative to their predictions.
fn survivals(tasks: &[Task<'_>]) -> BTreeMap<(String, Complexity), (Survival, Option<LogNormal>)> {
    let mut strata: BTreeMap<(String, Complexity), Vec<&Task<'_>>> = BTreeMap::new();
    for task in tasks {
        strata.entry(owned(task)).or_default().push(task);
    }
    strata
        .into_iter()
        .map(|(key, tasks)| {
            let survival = ratios(tasks.iter().map(|t| t.sample));
            let fit = LogNormal::fit(&survival, 12.0).filter(|fit| !fit.is_contradicted(&survival));
            (key, (survival, fit))
        })
        .collect()
}

/// What an output that was cut at this ratio may have become: by what longer outputs of its stratum are like, beyond them by
/// the fitted distribution, and without one very long.
fn stand_ins(cut: f64, (survival, fit): &(Survival, Option<LogNormal>)) -> Vec<f64> {
    let below = survival.below(cut);
    let longest = survival.observations().last().map_or(cut, |o| o.value);
    let tail = fit.map(|fit| fit.below(cut));
    (0..STANDING_IN)
        .map(|i| {
            let chance = (f64::from(i) + 0.5) / f64::from(STANDING_IN);
            let seen = survival.quantile(below + chance * (1.0 - below));
            let beyond = || {
                fit.zip(tail).map_or(10.0 * longest, |(fit, tail)| fit.quantile(tail + chance * (1.0 - tail)))
            };
            seen.unwrap_or_else(beyond).max(cut)
        })
        .collect()
}

/// A task with how often each parameter counts in its prediction.
type Shares<'a> = (&'a Task<'a>, &'a BTreeMap<Parameter, f64>);

/// How many phases each parameter has part in, and how many of them tell it from all others.
///
/// Phases of one stratum pay the same overhead (documents: what it takes to find out what they are about), so a marginal
/// shows only where its share differs between such phases in a way that no other marginal explains.
fn telling(
    tasks: &[Task<'_>],
    weights: &[BTreeMap<Parameter, f64>],
    parameters: &[Parameter],
) -> (Vec<u64>, Vec<u64>) {
    // One row per phase: attempts at it are the same task.
    let mut rows: BTreeMap<PhaseKey<'_>, Shares<'_>> = BTreeMap::new();
    for (task, weights) in tasks.iter().zip(weights) {
        rows.entry(phase(task)).or_insert((task, weights));
    }
    let rows: Vec<_> = rows.into_values().collect();
    let count = |p: &Parameter| rows.iter().filter(|(_, w)| w.contains_key(p)).count() as u64;
    let phases: Vec<u64> = parameters.iter().map(count).collect();
    let marginals: Vec<&Parameter> = parameters.iter().filter(|p| !p.is_base()).collect();
    let centred: Vec<Vec<f64>> = marginals.iter().map(|p| centred(&rows, p)).collect();
    let telling = parameters.iter().zip(&phases).map(|(p, phases)| {
        let Some(at) = marginals.iter().position(|m| *m == p) else { return *phases };
        let others: Vec<&Vec<f64>> =
            centred.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, c)| c).collect();
        let left = unexplained(&centred[at], &others);
        left.iter().filter(|value| value.abs() > 0.05).count() as u64
    });
    let telling = telling.collect();
    (phases, telling)
}

/// The share of a marginal in each phase, less the mean of those that pay the same overhead.
fn centred(rows: &[Shares<'_>], parameter: &Parameter) -> Vec<f64> {
    let share = |w: &BTreeMap<Parameter, f64>| w.get(parameter).copied().unwrap_or_default();
    let mut sums: BTreeMap<Option<Parameter>, (f64, f64)> = BTreeMap::new();
    for (task, weights) in rows {
        let sum = sums.entry(task.features.base()).or_default();
        *sum = (sum.0 + share(weights), sum.1 + 1.0);
    }
    rows.iter()
        .map(|(task, weights)| {
            let (sum, n) = sums[&task.features.base()];
            share(weights) - sum / n
        })
        .collect()
}

/// What of a column no linear combination of the others gives.
fn unexplained(column: &[f64], others: &[&Vec<f64>]) -> Vec<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut base: Vec<Vec<f64>> = Vec::new();
    let reduced = |column: &[f64], base: &[Vec<f64>]| {
        let mut left = column.to_vec();
        for b in base {
            let share = dot(&left, b);
            left.iter_mut().zip(b).for_each(|(l, b)| *l -= share * b);
        }
        left
    };
    for other in others {
        let left = reduced(other, &base);
        let length = dot(&left, &left).sqrt();
        if length > 1e-9 {
            base.push(left.iter().map(|l| l / length).collect());
        }
    }
    reduced(column, &base)
}
