//! The verdict: what the evidence allows to say, per metric and over all.
//!
//! A bad unit where none may be, or evidence that a rate is too low, is NO-GO from the look on that showed it, whatever
//! comes later. GO needs the whole window, watched well enough, and evidence *for* it. Everything else is INSUFFICIENT
//! (more of the same would help) or INVALID (the soak cannot be believed).

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::coverage::Coverage;
use super::evidence::{Counting, Log, Metric, Reading, Rule};
use super::sequential::{Bounds, bounds, log_evidence_below};
use crate::stats::binomial::{at_most, root, upper};

/// Share of the expected looks that must have been made.
const LOOKS_MIN: f64 = 0.9;
/// Offending units that are named.
const BAD_SHOWN: usize = 5;
/// Chance with which a drop of the stated size would have been seen.
const DETECTABLE_POWER: f64 = 0.8;
/// Beyond so many further units nobody waits.
const NEEDED_MAX: u64 = 10_000_000;

/// What can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
pub enum Verdict {
    /// Evidence that it is good.
    Go,
    /// Not enough evidence for either.
    Insufficient,
    /// The soak cannot be believed.
    Invalid,
    /// Evidence that it is bad.
    NoGo,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Go => "GO",
            Self::Insufficient => "INSUFFICIENT",
            Self::Invalid => "INVALID",
            Self::NoGo => "NO-GO",
        })
    }
}

/// What is said about one metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricJudgement {
    /// Its name.
    pub name: String,
    /// What is said.
    pub verdict: Verdict,
    /// Why, as a sentence without a full stop.
    pub because: String,
    /// Units that were counted.
    pub units: u64,
    /// Good ones.
    pub good: u64,
    /// Some of the bad ones.
    pub bad: Vec<String>,
    /// Share of good units; none without units.
    pub rate: Option<f64>,
    /// Rates of good units that the evidence leaves, at the metric's error rate on each side.
    pub bounds: Bounds,
    /// The first look, from 1, that decided for NO-GO.
    pub decided_at: Option<usize>,
    /// Readings that failed.
    pub failed: u64,
    /// The last failure.
    pub error: Option<String>,
    /// The largest rate below the stated one that would have been found with 80 % at this number of units.
    pub detectable: Option<f64>,
    /// About how many further units decide, if the rate stays.
    pub needed: Option<u64>,
}

/// What is said about a soak.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judgement {
    /// Over all.
    pub verdict: Verdict,
    /// Why, as sentences without a full stop; the metrics have their own.
    pub because: Vec<String>,
    /// What was watched.
    pub coverage: Coverage,
    /// Every metric, in the order of the soak.
    pub metrics: Vec<MetricJudgement>,
}

/// Judges the evidence so far. Pure: the same log gives the same judgement.
pub fn judge(log: &Log) -> Judgement {
    let coverage = Coverage::of(log);
    let mut because = Vec::new();
    let watched = watched(log, &coverage, &mut because);
    let metrics: Vec<MetricJudgement> =
        (0..log.soak.metrics.len()).map(|index| Trail::of(log, index).judgement(log, index)).collect();
    let worst = metrics.iter().map(|metric| metric.verdict).max().unwrap_or(Verdict::Insufficient);
    Judgement { verdict: worst.max(watched), because, coverage, metrics }
}

/// Whether the whole soak was watched well enough for GO.
fn watched(log: &Log, coverage: &Coverage, because: &mut Vec<String>) -> Verdict {
    let (soak, mut verdict) = (&log.soak, Verdict::Go);
    let mut say = |worse: Verdict, why: String| {
        verdict = verdict.max(worse);
        because.push(why);
    };
    if let Some(jump) = coverage.jumps.first() {
        say(
            Verdict::Invalid,
            format!("the clock was set by {:+.0} s before look {}", jump.seconds, jump.look),
        );
    }
    if coverage.gap_longest_s > soak.gap_max_s {
        let (longest, most) = (coverage.gap_longest_s, soak.gap_max_s);
        say(Verdict::Invalid, format!("nobody looked for {longest} s; at most {most} s are allowed"));
    }
    let (made, expected) = (coverage.looks_made, coverage.looks_expected);
    if (made as f64) < expected as f64 * LOOKS_MIN {
        say(Verdict::Invalid, format!("{made} of {expected} looks were made"));
    }
    if coverage.elapsed_s < soak.window_s {
        let (elapsed, window) = (coverage.elapsed_s, soak.window_s);
        say(Verdict::Insufficient, format!("{elapsed} s of {window} s are over"));
    }
    verdict
}

/// The counts of one metric from look to look.
#[derive(Debug, Default)]
struct Trail {
    units: u64,
    good: u64,
    bad: BTreeSet<String>,
    failed: u64,
    error: Option<String>,
    last_failed: bool,
    decided_at: Option<usize>,
    /// What cannot be.
    lie: Option<String>,
    /// Longest time without a new unit, in seconds.
    quiet_s: u64,
}

impl Trail {
    fn of(log: &Log, index: usize) -> Self {
        let (metric, error_rate) = (&log.soak.metrics[index], log.soak.error_rate_each());
        let mut trail = Self::default();
        let seconds = |at: &str| crate::clock::Stamp::parse(at).map_or(0, crate::clock::Stamp::unix);
        let mut new_at = seconds(&log.soak.started);
        for (number, look) in log.looks.iter().enumerate() {
            let before = trail.units;
            trail.take(metric, &look.readings[index], number + 1);
            if trail.units > before {
                new_at = seconds(&look.at);
            }
            trail.quiet_s = trail.quiet_s.max(u64::try_from(seconds(&look.at) - new_at).unwrap_or(0));
            if trail.decided_at.is_none() && trail.is_bad(metric, error_rate) {
                trail.decided_at = Some(number + 1);
            }
        }
        trail
    }

    fn take(&mut self, metric: &Metric, reading: &Reading, look: usize) {
        self.last_failed = matches!(reading, Reading::Failed(_));
        let (units, good) = match reading {
            Reading::Failed(error) => {
                self.failed += 1;
                self.error = Some(error.clone());
                return;
            }
            Reading::Counted { units, good, bad } => {
                self.bad.extend(bad.iter().cloned());
                (*units, *good)
            }
        };
        if good > units {
            self.lie.get_or_insert(format!("look {look} has {good} good ones of {units}"));
            return;
        }
        let (units, good) = match metric.counting {
            Counting::SinceStart => (units, good),
            Counting::ThisLook => (self.units.saturating_add(units), self.good.saturating_add(good)),
        };
        let is_late = metric.settle_s.is_some();
        let takes_back = !is_late && units - good < self.units - self.good;
        if units < self.units || good < self.good || takes_back {
            let (had, has) = (format!("{} of {}", self.good, self.units), format!("{good} of {units}"));
            self.lie.get_or_insert(format!("look {look} takes back what was counted: {has} after {had}"));
            return;
        }
        (self.units, self.good) = (units, good);
    }

    fn is_bad(&self, metric: &Metric, error_rate: f64) -> bool {
        match metric.rule {
            Rule::Never { .. } => self.good < self.units,
            Rule::AtLeast { rate, .. } => {
                self.units > 0 && log_evidence_below(self.good, self.units, rate) >= -error_rate.ln()
            }
        }
    }

    fn judgement(self, log: &Log, index: usize) -> MetricJudgement {
        let (metric, error_rate) = (&log.soak.metrics[index], log.soak.error_rate_each());
        let (verdict, because) = self.verdict(log, metric, error_rate);
        let (detectable, needed) = match metric.rule {
            Rule::Never { hidden_max } => (None, never_needed(&self, hidden_max, error_rate)),
            Rule::AtLeast { rate, margin } => {
                (detectable(self.units, rate, error_rate), rate_needed(&self, rate, margin, error_rate))
            }
        };
        MetricJudgement {
            name: metric.name.clone(),
            verdict,
            because,
            units: self.units,
            good: self.good,
            bad: self.bad.into_iter().take(BAD_SHOWN).collect(),
            rate: (self.units > 0).then(|| self.good as f64 / self.units as f64),
            bounds: left(metric, self.good, self.units, error_rate),
            decided_at: self.decided_at,
            failed: self.failed,
            error: self.error,
            detectable,
            needed: needed.filter(|_| verdict == Verdict::Insufficient),
        }
    }

    fn verdict(&self, log: &Log, metric: &Metric, error_rate: f64) -> (Verdict, String) {
        if let Some(lie) = &self.lie {
            return (Verdict::Invalid, lie.clone());
        }
        let (units, bad) = (self.units, self.units - self.good);
        if let Some(look) = self.decided_at {
            return (
                Verdict::NoGo,
                match metric.rule {
                    Rule::Never { .. } => format!("{bad} of {units} are bad, the first at look {look}"),
                    Rule::AtLeast { rate, .. } => {
                        format!("at look {look} the evidence excluded {:.1} %", rate * 100.0)
                    }
                },
            );
        }
        let (failed, looks) = (self.failed, log.looks.len());
        if failed as f64 > looks as f64 * log.soak.blind_max {
            return (Verdict::Invalid, format!("{failed} of {looks} readings failed"));
        }
        if self.last_failed {
            return (Verdict::Insufficient, "the last reading failed".to_owned());
        }
        if units == 0 {
            return (Verdict::Insufficient, "nothing was counted".to_owned());
        }
        if let Some(most) = metric.quiet_max_s.filter(|most| self.quiet_s > *most) {
            let why = format!("nothing new for {} s; at most {most} s are expected", self.quiet_s);
            return (Verdict::Insufficient, why);
        }
        self.cleared(metric, error_rate)
    }

    /// Whether there is evidence for GO.
    fn cleared(&self, metric: &Metric, error_rate: f64) -> (Verdict, String) {
        let units = self.units;
        match metric.rule {
            Rule::Never { hidden_max } => {
                let hidden = upper(0, units, error_rate);
                let why = format!("none of {units} is bad: at most {:.2} % are", hidden * 100.0);
                if hidden <= hidden_max {
                    return (Verdict::Go, why);
                }
                (Verdict::Insufficient, format!("{why}; {:.2} % is the limit", hidden_max * 100.0))
            }
            Rule::AtLeast { rate, margin } => {
                let floor = rate - margin;
                let lower = bounds(self.good, units, error_rate).lower;
                let why = format!("at least {:.1} % by the evidence", lower * 100.0);
                if lower >= floor {
                    return (Verdict::Go, why);
                }
                (Verdict::Insufficient, format!("{why}; {:.1} % would be enough", floor * 100.0))
            }
        }
    }
}

/// The rates of good units that the evidence leaves.
pub(super) fn left(metric: &Metric, good: u64, units: u64, error_rate: f64) -> Bounds {
    match metric.rule {
        Rule::Never { .. } => Bounds {
            lower: 1.0 - upper(units - good, units, error_rate),
            upper: upper(good, units, error_rate),
        },
        Rule::AtLeast { .. } => bounds(good, units, error_rate),
    }
}

/// Units that are missing until a rate of `hidden_max` would have shown.
fn never_needed(trail: &Trail, hidden_max: f64, error_rate: f64) -> Option<u64> {
    let is_enough = |further: u64| upper(0, trail.units.saturating_add(further), error_rate) <= hidden_max;
    first(is_enough)
}

/// Units that are missing until one side is excluded, if the rate stays what it is.
fn rate_needed(trail: &Trail, rate: f64, margin: f64, error_rate: f64) -> Option<u64> {
    if trail.units == 0 {
        return None;
    }
    let enough = -error_rate.ln();
    first(|further| {
        let units = trail.units + further;
        let good = u128::from(trail.good) * u128::from(units) / u128::from(trail.units);
        let good = u64::try_from(good).unwrap_or(units);
        log_evidence_below(good, units, rate) >= enough
            || log_evidence_below(units - good, units, 1.0 - (rate - margin)) >= enough
    })
}

/// The smallest number up to [`NEEDED_MAX`] from which on it is enough.
fn first(is_enough: impl Fn(u64) -> bool) -> Option<u64> {
    let mut high = 1;
    while !is_enough(high) {
        high *= 2;
        if high > NEEDED_MAX {
            return None;
        }
    }
    let mut low = high / 2;
    while low + 1 < high {
        let middle = u64::midpoint(low, high);
        if is_enough(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    Some(high)
}

/// The largest rate whose drop one look at all units would have found with [`DETECTABLE_POWER`].
fn detectable(units: u64, rate: f64, error_rate: f64) -> Option<f64> {
    let is_excluded = |good: u64| log_evidence_below(good, units, rate) >= -error_rate.ln();
    if units == 0 || !is_excluded(0) {
        return None;
    }
    let (mut excluded, mut kept) = (0, units);
    while excluded + 1 < kept {
        let middle = u64::midpoint(excluded, kept);
        if is_excluded(middle) {
            excluded = middle;
        } else {
            kept = middle;
        }
    }
    Some(root(|true_rate| at_most(excluded, units, true_rate) - DETECTABLE_POWER))
}

#[cfg(test)]
mod tests;
