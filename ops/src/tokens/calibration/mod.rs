//! Calibration: from verified attempts to a proposal of other coefficients, or to what is missing for one.
//!
//! The rules stand in `ops.toml` before any data is looked at. Coefficients are fitted to the earlier runs, moved a damped and
//! bounded step, and judged once by the latest runs, which the fit has not seen. A proposal is what was judged, never a
//! second fit. Nothing is changed here.

mod evidence;
mod fit;
mod judge;
pub mod patch;
mod report;

pub use evidence::{Accept, Evidence, Task};
pub use judge::{Verdict, judge};
pub use patch::{Patch, PatchError};

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::canonical::Complexity;
use super::estimator::{self, Coefficients, Parameter, Settings};
use super::sample::{Sample, Samples};
use super::study::upper::{self, Bound};
use crate::guard::Refusal;
use crate::stats::cluster::Interval;
use crate::text::{plural, thousands};
use fit::Problem;

/// How often phases are drawn for the intervals of fitted values.
const DRAWS: u64 = 60;
/// Beyond so many attempts no interval of a fitted value is drawn.
const DRAWN_MAX: usize = 2_000;

/// What a calibration found. A versioned artifact.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// Version of this artifact.
    pub format: u32,
    /// The rules, as they stood before.
    pub rules: estimator::Calibration,
    /// Digest of the present coefficients.
    pub coefficient_digest: String,
    /// Digest of the coefficients that the step leads to.
    pub proposed_digest: String,
    /// What was accepted that is no evidence; with anything a proposal cannot be applied.
    pub accepted: Accept,
    /// Attempts that are evidence.
    pub evidence: u64,
    /// Digest of which they are.
    pub evidence_digest: String,
    /// The others, by reason.
    pub left_out: BTreeMap<&'static str, u64>,
    /// Events beyond the first, which were not read.
    pub not_read: u64,
    /// Runs that were fitted.
    pub fitted_runs: Vec<String>,
    /// Runs that judge.
    pub judging_runs: Vec<String>,
    /// Every coefficient that has part in a prediction.
    pub coefficients: Vec<Moved>,
    /// Strata with their upper budgets and what they lack.
    pub strata: Vec<Stratum>,
    /// The judgement of the step; none when nothing can move.
    pub verdict: Option<Verdict>,
}

/// A coefficient and where it goes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moved {
    /// Its path below `estimator.coefficients`.
    pub path: String,
    /// Its present value.
    pub from: u64,
    /// The value that fits best; none when it is held.
    pub fitted: Option<f64>,
    /// 95 % interval of what it would be multiplied with; phases are drawn.
    pub multiplier_interval: Option<Interval>,
    /// Its proposed value.
    pub to: u64,
    /// Phases that it has part in.
    pub phases: u64,
    /// Phases that tell it from the others.
    pub telling: u64,
    /// How many more of those would let it move.
    pub need: u64,
}

/// A stratum with its upper budget.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stratum {
    /// Canonical category.
    pub category: String,
    /// Complexity.
    pub complexity: Complexity,
    /// Phases with evidence.
    pub phases: u64,
    /// Attempts that were cut.
    pub cut: u64,
    /// The bound on outputs as a factor on the prediction, and what it rests on.
    pub upper: Bound,
    /// The bound in tokens, at the median prediction.
    pub upper_tokens: Option<u64>,
    /// How many more phases would give what is missing: a bound, or a coefficient that may move.
    pub need: u64,
}

/// What `seed-telemetry --top-up --needs` reads.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Needs {
    /// Version of this artifact.
    pub format: u32,
    /// Strata that lack phases.
    pub strata: Vec<Need>,
}

/// What one stratum lacks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Need {
    /// Canonical category.
    pub category: String,
    /// Complexity.
    pub complexity: Complexity,
    /// Phases with evidence.
    pub have: u64,
    /// How many more.
    pub need: u64,
}

impl Calibration {
    /// Calibrates by samples. Refuses what is no sample; `Ok` may still hold no proposal, with the reason.
    pub fn of(samples: &Samples, settings: &Settings, accept: Accept) -> Result<Self, Box<Refusal>> {
        let rules = &settings.calibration;
        let evidence = Evidence::of(&samples.list, &settings.coefficients, accept);
        let phases = count_phases(&evidence.tasks);
        if phases < rules.phases_min {
            return Err(Box::new(too_few(&evidence, phases, rules)));
        }
        let (fitted, judging) = split(&evidence.tasks, rules)?;
        represents(&fitted, &judging)?;
        let problem = Problem::new(&fitted, &settings.coefficients);
        let (coefficients, moved) = step(&problem, settings);
        let changes = moved.iter().any(|m| m.from != m.to);
        let verdict = changes.then(|| judge(&judging, &settings.coefficients, &coefficients, rules));
        let runs = |tasks: &[Task<'_>]| -> Vec<String> {
            tasks.iter().map(|t| t.sample.run.clone()).collect::<BTreeSet<_>>().into_iter().collect()
        };
        Ok(Self {
            format: 1,
            rules: *rules,
            coefficient_digest: settings.coefficients.digest(),
            proposed_digest: coefficients.digest(),
            accepted: accept,
            evidence: evidence.tasks.len() as u64,
            evidence_digest: evidence.digest(),
            left_out: evidence.left_out.clone(),
            not_read: samples.left_out,
            fitted_runs: runs(&fitted),
            judging_runs: runs(&judging),
            strata: strata(&evidence.tasks, &moved, rules),
            coefficients: moved,
            verdict,
        })
    }

    /// Whether the step met its gate.
    pub fn is_proposal(&self) -> bool {
        self.verdict.as_ref().is_some_and(Verdict::is_met)
    }

    /// The coefficients that change, with their old and new values.
    pub fn changes(&self) -> Vec<(String, u64, u64)> {
        let changed = self.coefficients.iter().filter(|m| m.from != m.to);
        changed.map(|m| (m.path.clone(), m.from, m.to)).collect()
    }

    /// What is lacking, for a top-up.
    pub fn needs(&self) -> Needs {
        let strata = self.strata.iter().filter(|s| s.need > 0).map(|s| Need {
            category: s.category.clone(),
            complexity: s.complexity,
            have: s.phases,
            need: s.need,
        });
        Needs { format: 1, strata: strata.collect() }
    }
}

fn count_phases(tasks: &[Task<'_>]) -> u64 {
    super::sample::by_phase(tasks.iter().map(|t| t.sample)).len() as u64
}

fn too_few(evidence: &Evidence<'_>, phases: u64, rules: &estimator::Calibration) -> Refusal {
    let expected = format!(
        "verified attempts at {} or more phases, predicted with the present coefficients",
        rules.phases_min
    );
    let left: Vec<String> =
        evidence.left_out.iter().map(|(why, n)| format!("{} {why}", thousands(*n))).collect();
    let found = match left.as_slice() {
        [] => plural(phases, "phase"),
        some => format!("{}; left out: {}", plural(phases, "phase"), some.join(", ")),
    };
    Refusal::new("this is too little to calibrate by", expected, found)
        .next("cargo xtask seed-telemetry --top-up --executor command -- PROGRAM collects more")
}

/// The tasks of the earlier runs, and those of the latest, which judge. A run is never divided: what happened in it is alike.
fn split<'a>(
    tasks: &[Task<'a>],
    rules: &estimator::Calibration,
) -> Result<(Vec<Task<'a>>, Vec<Task<'a>>), Box<Refusal>> {
    let mut runs: BTreeMap<&str, (Option<i64>, Vec<&Sample>)> = BTreeMap::new();
    for task in tasks {
        let run = runs.entry(&task.sample.run).or_default();
        run.0 = run.0.max(task.sample.at);
        run.1.push(task.sample);
    }
    let mut order: Vec<(Option<i64>, &str, u64)> = runs
        .iter()
        .map(|(name, (at, samples))| {
            (*at, *name, super::sample::by_phase(samples.iter().copied()).len() as u64)
        })
        .collect();
    order.sort_unstable();
    let all: u64 = order.iter().map(|run| run.2).sum();
    let mut judging = BTreeSet::new();
    let mut phases = 0;
    // The first run is always fitted.
    for (_, name, count) in order.iter().skip(1).rev() {
        if phases as f64 >= rules.holdout_share * all as f64 {
            break;
        }
        judging.insert(*name);
        phases += count;
    }
    if judging.is_empty() {
        let refusal = Refusal::new(
            "a proposal must be judged by a run that it was not fitted to",
            "attempts of two or more runs",
            plural(order.len() as u64, "run"),
        );
        return Err(Box::new(refusal.next("collect another run of the same kinds of phases")));
    }
    let is_judging = |t: &&Task<'a>| judging.contains(t.sample.run.as_str());
    let of = |wanted: bool| tasks.iter().filter(|t| is_judging(t) == wanted).copied().collect();
    Ok((of(false), of(true)))
}

/// Refuses to judge by phases of which most are of kinds that were not fitted.
fn represents(fitted: &[Task<'_>], judging: &[Task<'_>]) -> Result<(), Box<Refusal>> {
    let known: BTreeSet<(&str, Complexity)> = fitted.iter().map(Task::stratum).collect();
    let (alike, other): (Vec<Task<'_>>, Vec<Task<'_>>) =
        judging.iter().copied().partition(|t| known.contains(&t.stratum()));
    let (alike, other) = (count_phases(&alike), count_phases(&other));
    if alike > other {
        return Ok(());
    }
    let strata: BTreeSet<String> = judging
        .iter()
        .map(Task::stratum)
        .filter(|s| !known.contains(s))
        .map(|(category, complexity)| format!("{category}, {}", complexity.as_str()))
        .collect();
    let found = format!(
        "{other} of {} phases of other kinds: {}",
        alike + other,
        strata.into_iter().take(5).collect::<Vec<_>>().join("; ")
    );
    Err(Box::new(Refusal::new(
        "the earlier runs do not represent the latest",
        "most phases of the latest runs of kinds that the earlier runs have",
        found,
    )))
}

/// The coefficients one step further, and what became of each.
fn step(problem: &Problem<'_>, settings: &Settings) -> (Coefficients, Vec<Moved>) {
    let (rules, present) = (&settings.calibration, &settings.coefficients);
    let free: Vec<bool> = problem.telling.iter().map(|n| *n >= rules.stratum_phases_min).collect();
    let fitted = problem.solve(present, &free, rules.quantile, rules.ridge);
    let intervals = intervals(problem, settings, &free);
    let mut coefficients = present.clone();
    let mut moved = Vec::new();
    for (j, parameter) in problem.parameters.iter().enumerate() {
        let from = parameter.of(present);
        let to = if free[j] { damped(from, fitted[j], rules) } else { from };
        if to != from {
            parameter.set(&mut coefficients, to);
        }
        moved.push(Moved {
            path: parameter.path(),
            from,
            fitted: free[j].then_some(fitted[j]),
            multiplier_interval: intervals[j],
            to,
            phases: problem.phases[j],
            telling: problem.telling[j],
            need: rules.stratum_phases_min.saturating_sub(problem.telling[j]),
        });
    }
    (coefficients, moved)
}

/// Part of the way from a value to the fitted one, on a scale of ratios, and no further than a step goes.
fn damped(from: u64, fitted: f64, rules: &estimator::Calibration) -> u64 {
    // From nothing there is no ratio; a small number stands for it.
    let base = (from as f64).max(100.0);
    let ratio = (fitted.max(1.0) / base).powf(rules.damping);
    let value = base * ratio.clamp(1.0 - rules.step_max, 1.0 + rules.step_max);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive number of tokens"
    )]
    let to = value.round() as u64;
    to
}

/// Intervals of what each coefficient would be multiplied with, from fits to phases drawn with replacement.
fn intervals(problem: &Problem<'_>, settings: &Settings, free: &[bool]) -> Vec<Option<Interval>> {
    if problem.tasks().len() > DRAWN_MAX {
        return vec![None; free.len()];
    }
    let (rules, present) = (&settings.calibration, &settings.coefficients);
    let mut by_phase: BTreeMap<(&str, &str, i64), Vec<Task<'_>>> = BTreeMap::new();
    for task in problem.tasks() {
        let alone = if task.sample.phase.is_empty() { task.sample.id } else { 0 };
        by_phase.entry((&task.sample.run, &task.sample.phase, alone)).or_default().push(*task);
    }
    let phases: Vec<Vec<Task<'_>>> = by_phase.into_values().collect();
    let mut random = crate::random::Random::seeded(rules.seed);
    let mut ratios: Vec<Vec<f64>> = vec![Vec::new(); free.len()];
    for _ in 0..DRAWS {
        let mut drawn = Vec::with_capacity(problem.tasks().len());
        for _ in 0..phases.len() {
            let at = usize::try_from(random.below(phases.len() as u64)).unwrap_or_default();
            drawn.extend_from_slice(&phases[at]);
        }
        let again = Problem::new(&drawn, present);
        let open: Vec<bool> = again.parameters.iter().map(|p| is_free(problem, free, p)).collect();
        let values = again.solve(present, &open, rules.quantile, rules.ridge);
        for (parameter, value) in again.parameters.iter().zip(values) {
            if let Some(j) = problem.parameters.iter().position(|p| p == parameter) {
                ratios[j].push(value / (parameter.of(present) as f64).max(1.0));
            }
        }
    }
    ratios
        .into_iter()
        .zip(free)
        .map(|(mut ratios, free)| {
            (*free && ratios.len() as u64 >= DRAWS * 9 / 10).then_some(())?;
            let low = crate::stats::percentile(&mut ratios, 0.025)?;
            Some(Interval { low, high: crate::stats::percentile(&mut ratios, 0.975)? })
        })
        .collect()
}

fn is_free(problem: &Problem<'_>, free: &[bool], parameter: &Parameter) -> bool {
    problem.parameters.iter().zip(free).any(|(other, free)| other == parameter && *free)
}

/// Upper budgets of the strata with evidence, and what each lacks.
fn strata(tasks: &[Task<'_>], moved: &[Moved], rules: &estimator::Calibration) -> Vec<Stratum> {
    // The samples of each, and the coefficients that count once in their predictions.
    type Found<'a> = (Vec<&'a Sample>, BTreeSet<String>);
    let mut strata: BTreeMap<(&str, Complexity), Found<'_>> = BTreeMap::new();
    for task in tasks {
        let (samples, bases) = strata.entry(task.stratum()).or_default();
        samples.push(task.sample);
        bases.extend(task.features.base().map(|base| base.path()));
    }
    strata
        .into_iter()
        .map(|((category, complexity), (samples, bases))| {
            let upper = upper::bound(&upper::ratios(samples.iter().copied()), rules.coverage);
            let mut predicted: Vec<f64> = samples.iter().map(|s| s.predicted as f64).collect();
            let typical = crate::stats::median(&mut predicted);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
            let upper_tokens = upper.factor().zip(typical).map(|(f, p)| (f * p).ceil() as u64);
            let held = moved.iter().filter(|m| bases.contains(&m.path)).map(|m| m.need).max().unwrap_or(0);
            let lacking = if let Bound::NotIdentifiable { need, .. } = upper { need } else { 0 };
            Stratum {
                category: category.to_owned(),
                complexity,
                phases: super::sample::by_phase(samples.iter().copied()).len() as u64,
                cut: samples.iter().filter(|s| s.is_cut()).count() as u64,
                upper,
                upper_tokens,
                need: held.max(lacking),
            }
        })
        .collect()
}
