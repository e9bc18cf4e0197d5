//! What single attempts say beyond counts: intervals that know of repeated attempts, quantiles that know of cut outputs,
//! bounds for the next output, with the ladder by which small strata borrow from larger ones.
//!
//! Everything is deterministic: what is drawn at random is drawn from a seed that the report states.

mod charts;
mod compare;
mod document;
pub mod measures;
pub mod paired;
pub mod upper;

pub use compare::{Comparison, Side};

use serde::Serialize;

use super::analysis::Bucket;
use super::canonical::Complexity;
use super::estimator::Calibration;
use super::sample::{Sample, Samples, by_phase};
use crate::stats::cluster::{self, Interval};
use measures::{Judged, Measures};
use upper::Bound;

/// Beyond so many attempts no interval is drawn: it would be narrower than what is printed.
const DRAWN_MAX: usize = 20_000;

/// The shares whose quantiles are shown.
const SHARES: [f64; 4] = [0.5, 0.8, 0.9, 0.95];

/// What attempts say.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Study {
    /// Version of this artifact.
    pub format: u32,
    /// How many attempts there are beyond those that were read.
    pub left_out: u64,
    /// The quantile of the pinball loss.
    pub quantile: f64,
    /// The chance that an upper bound holds.
    pub coverage: f64,
    /// The seed of the intervals.
    pub seed: u64,
    /// Phases of which there is more than one attempt.
    pub repeated_phases: u64,
    /// The most attempts at one phase.
    pub most_attempts: u64,
    /// Rows whose two columns about truncation disagree.
    pub flags_disagree: u64,
    /// All attempts.
    pub all: Group,
    /// Attempts by category, complexity and deliverables.
    pub strata: Vec<Group>,
}

/// A set of attempts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// Canonical category; none for all.
    pub category: Option<String>,
    /// Complexity; none for all.
    pub complexity: Option<Complexity>,
    /// Band of deliverables; none for all.
    pub deliverables: Option<Bucket>,
    /// Attempts.
    pub attempts: u64,
    /// Phases that they are attempts at: what intervals count.
    pub phases: u64,
    /// The numbers.
    pub measures: Measures,
    /// 95 % interval of the median SMAPE.
    pub smape_percent_median_interval: Option<Interval>,
    /// 95 % interval of the median waste.
    pub waste_ratio_median_interval: Option<Interval>,
    /// 95 % interval of the share underestimated, 0 to 1.
    pub underestimated_interval: Option<Interval>,
    /// 95 % interval of the share cut, 0 to 1.
    pub truncated_interval: Option<Interval>,
    /// Quantiles of actual over predicted tokens at 50, 80, 90 and 95 %, cut outputs as bounds; none beyond the ceilings.
    pub ratio_quantiles: [Option<f64>; SHARES.len()],
    /// What the last but one would be if only uncut successes were looked at: too small wherever outputs are cut.
    pub ratio_p90_of_successes: Option<f64>,
    /// The bound for the next output.
    pub upper: Upper,
}

/// A bound and whose attempts it rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Upper {
    /// The step of the ladder: the smallest set around the stratum that has a bound.
    pub pooled: Step,
    /// The phases of that set.
    pub phases: u64,
    /// The bound.
    pub bound: Bound,
    /// In tokens, at the median prediction of the stratum.
    pub tokens: Option<u64>,
    /// How many more phases the stratum needs for a bound of its own.
    pub need: u64,
}

/// The ladder by which a stratum that is too small borrows: it is declared here, before any data is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Category, complexity and deliverables.
    Own,
    /// Category and complexity.
    Complexity,
    /// Category.
    Category,
    /// Everything.
    All,
}

impl Step {
    const LADDER: [Self; 4] = [Self::Own, Self::Complexity, Self::Category, Self::All];

    /// As reports say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Complexity => "category and complexity",
            Self::Category => "category",
            Self::All => "all",
        }
    }

    fn holds(self, stratum: &Key<'_>, other: &Key<'_>) -> bool {
        match self {
            Self::Own => stratum == other,
            Self::Complexity => (stratum.0, stratum.1) == (other.0, other.1),
            Self::Category => stratum.0 == other.0,
            Self::All => true,
        }
    }
}

type Key<'a> = (&'a str, Complexity, Bucket);

fn key(sample: &Sample) -> Key<'_> {
    (&sample.category, sample.complexity, Bucket::of(sample.deliverable_count))
}

impl Study {
    /// Of samples, with the settings of the estimator.
    pub fn of(samples: &Samples, settings: &Calibration) -> Self {
        let all: Vec<&Sample> = samples.list.iter().collect();
        let phases = by_phase(all.iter().copied());
        let mut keys: Vec<Key<'_>> = all.iter().map(|s| key(s)).collect();
        keys.sort_unstable();
        keys.dedup();
        let strata = keys.iter().map(|k| {
            let own: Vec<&Sample> = all.iter().copied().filter(|s| key(s) == *k).collect();
            let upper = Upper::of(k, &own, &all, settings.coverage);
            Group {
                category: Some(k.0.to_owned()),
                complexity: Some(k.1),
                deliverables: Some(k.2),
                ..Group::of(&own, upper, settings)
            }
        });
        let bound = upper::bound(&upper::ratios(all.iter().copied()), settings.coverage);
        let need = if let Bound::NotIdentifiable { need, .. } = bound { need } else { 0 };
        let upper = Upper { pooled: Step::All, phases: phases.len() as u64, tokens: None, bound, need };
        Self {
            format: 1,
            left_out: samples.left_out,
            quantile: settings.quantile,
            coverage: settings.coverage,
            seed: settings.seed,
            repeated_phases: phases.iter().filter(|p| p.len() > 1).count() as u64,
            most_attempts: phases.iter().map(Vec::len).max().unwrap_or_default() as u64,
            flags_disagree: all.iter().filter(|s| s.flags_disagree).count() as u64,
            strata: strata.collect(),
            all: Group::of(&all, upper, settings),
        }
    }
}

impl Group {
    fn of(samples: &[&Sample], upper: Upper, settings: &Calibration) -> Self {
        let phases = by_phase(samples.iter().copied());
        let judged: Vec<Judged<'_>> = samples.iter().map(|s| Judged::from(*s)).collect();
        let interval = |pick: fn(&Measures) -> Option<f64>| {
            (samples.len() <= DRAWN_MAX).then_some(())?;
            cluster::bootstrap(&phases, settings.seed, |drawn| {
                let judged: Vec<Judged<'_>> =
                    drawn.iter().flat_map(|p| p.iter().map(|s| Judged::from(*s))).collect();
                pick(&Measures::of(&judged, settings.quantile))
            })
        };
        let share = |hit: fn(&Sample) -> bool| {
            let counts: Vec<(u64, u64)> =
                phases.iter().map(|p| (p.iter().filter(|s| hit(s)).count() as u64, p.len() as u64)).collect();
            cluster::share(&counts)
        };
        let ratios = upper::ratios(samples.iter().copied());
        let successes = upper::ratios(samples.iter().copied().filter(|s| s.success && !s.is_cut()));
        Self {
            category: None,
            complexity: None,
            deliverables: None,
            attempts: samples.len() as u64,
            phases: phases.len() as u64,
            measures: Measures::of(&judged, settings.quantile),
            smape_percent_median_interval: interval(|m| m.smape_percent_median),
            waste_ratio_median_interval: interval(|m| m.waste_ratio_median),
            underestimated_interval: share(|s| Judged::from(s).is_under()),
            truncated_interval: share(Sample::is_cut),
            ratio_quantiles: SHARES.map(|share| ratios.quantile(share)),
            ratio_p90_of_successes: successes.quantile(0.9),
            upper,
        }
    }
}

impl Upper {
    fn of(stratum: &Key<'_>, own: &[&Sample], all: &[&Sample], coverage: f64) -> Self {
        let mut need = 0;
        let mut predicted: Vec<f64> =
            own.iter().filter(|s| s.predicted > 0).map(|s| s.predicted as f64).collect();
        let typical = crate::stats::median(&mut predicted);
        for step in Step::LADDER {
            let set = || all.iter().copied().filter(|s| step.holds(stratum, &key(s)));
            let bound = upper::bound(&upper::ratios(set()), coverage);
            if let (Bound::NotIdentifiable { need: lacking, .. }, Step::Own) = (&bound, step) {
                need = *lacking;
            }
            let factor = bound.factor();
            if factor.is_some() || step == Step::All {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
                let tokens = factor.zip(typical).map(|(factor, typical)| (factor * typical).ceil() as u64);
                let phases = by_phase(set()).len() as u64;
                return Self { pooled: step, phases, bound, tokens, need };
            }
        }
        unreachable!("the last step of the ladder returns")
    }
}

#[cfg(test)]
mod tests;
