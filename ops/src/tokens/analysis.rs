//! Token events folded one at a time into what a report needs, in 8 bytes an event.
//!
//! An event leaves behind some counts and, where it counts as a measurement, its two token counts; metrics
//! are computed from those at the end. Nothing here may drop an event without counting it, and no stored
//! metric is ever trusted. Merging in the order of the source gives the same bytes as one pass.

use std::collections::HashMap;

use super::canonical::{Complexity, canonical_category};
use super::event::TokenEvent;
use super::metrics::{self, Metrics};
use super::sample::SAMPLES_MAX;
use super::summary::{Hazards, Mismatch, Mismatches, Tally, Unreadable, UnreadableRows};

/// How many examples of each kind of finding a report lists.
const LISTED: usize = 20;

/// A stored metric further than this from the recomputed one, relative to the larger, is a mismatch.
const TOLERANCE: f64 = 1e-6;

/// What to analyse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Options {
    /// Whether the cost metrics look at successful attempts only. The gates never do.
    pub success_only: bool,
}

/// How many deliverables a task has, in the bands of the reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub enum Bucket {
    /// None recorded.
    #[serde(rename = "0")]
    None,
    /// 1 to 3.
    #[serde(rename = "1-3")]
    Few,
    /// 4 to 7.
    #[serde(rename = "4-7")]
    Several,
    /// 8 to 15.
    #[serde(rename = "8-15")]
    Many,
    /// 16 and more.
    #[serde(rename = "16+")]
    Mass,
}

impl Bucket {
    /// Every band, smallest first.
    pub const ALL: [Self; 5] = [Self::None, Self::Few, Self::Several, Self::Many, Self::Mass];

    /// The band that `count` deliverables fall in.
    pub fn of(count: u64) -> Self {
        match count {
            0 => Self::None,
            1..=3 => Self::Few,
            4..=7 => Self::Several,
            8..=15 => Self::Many,
            16.. => Self::Mass,
        }
    }

    /// The band as reports print it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "0",
            Self::Few => "1-3",
            Self::Several => "4-7",
            Self::Many => "8-15",
            Self::Mass => "16+",
        }
    }
}

/// The token counts of one event, both above 0.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub(super) predicted: u32,
    pub(super) actual: u32,
}

/// What one stratum has seen.
#[derive(Debug, Default)]
pub(super) struct Stratum {
    pub(super) tally: Tally,
    /// The measurements that the cost metrics are about.
    pub(super) cost: Vec<Pair>,
    /// Truncated attempts: their `actual` is only a lower bound.
    pub(super) bounds: Vec<Pair>,
}

/// A stratum and its category, complexity and band of deliverables.
pub(super) type NamedStratum = (String, Complexity, Bucket, Stratum);

/// The strata of one category by complexity and deliverables. Most stay empty.
type Strata = [[Option<Box<Stratum>>; Bucket::ALL.len()]; Complexity::ALL.len()];

/// The listed entries with the smallest ids among all that were offered, in any order.
#[derive(Debug)]
struct First<T>(Vec<(i64, T)>);

impl<T> Default for First<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> First<T> {
    fn offer(&mut self, id: i64, entry: T) {
        let at = self.0.partition_point(|(other, _)| *other <= id);
        if at < LISTED {
            self.0.insert(at, (id, entry));
            self.0.truncate(LISTED);
        }
    }

    fn merge(&mut self, other: Self) {
        for (id, entry) in other.0 {
            self.offer(id, entry);
        }
    }

    fn into_entries(self) -> Vec<T> {
        self.0.into_iter().map(|(_, entry)| entry).collect()
    }
}

/// Raw category spellings and the canonical categories behind them.
#[derive(Debug, Default)]
struct Categories {
    /// The first spellings seen; comparing these few is cheaper than hashing.
    usual: Vec<(Box<str>, usize)>,
    index: HashMap<Box<str>, usize>,
    names: Vec<String>,
}

impl Categories {
    const USUAL: usize = 16;

    fn index_of(&mut self, raw: &str) -> usize {
        match self.usual.iter().find(|(spelling, _)| **spelling == *raw) {
            Some((_, index)) => *index,
            None => self.look_up(raw),
        }
    }

    fn look_up(&mut self, raw: &str) -> usize {
        if let Some(index) = self.index.get(raw) {
            return *index;
        }
        let name = canonical_category(raw);
        let index = self.index.get(name.as_ref()).copied().unwrap_or_else(|| {
            self.names.push(name.to_string());
            self.index.insert(name.as_ref().into(), self.names.len() - 1);
            self.names.len() - 1
        });
        self.index.insert(raw.into(), index);
        if self.usual.len() < Self::USUAL {
            self.usual.push((raw.into(), index));
        }
        index
    }
}

/// Token events on their way to a [`Summary`](super::summary::Summary).
#[derive(Debug, Default)]
pub struct Analysis {
    pub(super) options: Options,
    categories: Categories,
    strata: Vec<Strata>,
    pub(super) hazards: Hazards,
    mismatches: Mismatches,
    first_mismatches: First<Mismatch>,
    unreadable: u64,
    first_unreadable: First<Unreadable>,
}

impl Analysis {
    /// An analysis of no events.
    pub fn new(options: Options) -> Self {
        Self { options, ..Self::default() }
    }

    /// Adds one event. A token count above `u32::MAX` cannot be a measurement and makes the row unreadable.
    pub fn push(&mut self, event: &TokenEvent<'_>) {
        let Ok(predicted) = u32::try_from(event.predicted) else {
            return self.push_unreadable(event.id, "predicted_output_tokens");
        };
        let Ok(actual) = u32::try_from(event.actual) else {
            return self.push_unreadable(event.id, "actual_output_tokens");
        };
        let (complexity, recognised) = Complexity::or_medium(event.complexity);
        let bucket = Bucket::of(event.deliverable_count);
        self.hazards.unknown_complexity += u64::from(!recognised);
        self.hazards.zero_deliverables += u64::from(bucket == Bucket::None);
        self.hazards.actual_over_budget += u64::from(event.selected_budget.is_some_and(|b| event.actual > b));
        self.check_stored(event);
        let success_only = self.options.success_only;
        let category = self.categories.index_of(event.category);
        self.stratum(category, complexity, bucket).push(event, Pair { predicted, actual }, success_only);
    }

    /// How many attempts were added.
    pub fn attempts(&self) -> u64 {
        let strata = self.strata.iter().flatten().flatten().flatten();
        strata.map(|stratum| stratum.tally.attempts).sum()
    }

    /// Whether there are more attempts than single ones are looked at.
    pub fn is_beyond_samples(&self) -> bool {
        self.attempts() > SAMPLES_MAX as u64
    }

    /// Counts a row whose `column` could not be read as what it should hold.
    pub fn push_unreadable(&mut self, id: i64, column: &str) {
        self.unreadable += 1;
        self.first_unreadable.offer(id, Unreadable { id, column: column.to_owned() });
    }

    /// Both analyses as one; what `other` saw counts as later. The options are those of `self`.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        let Self {
            options: _,
            categories,
            strata,
            hazards,
            mismatches,
            first_mismatches,
            unreadable,
            first_unreadable,
        } = other;
        for (name, strata) in categories.names.iter().zip(strata) {
            let category = self.categories.index_of(name);
            for (complexity, buckets) in Complexity::ALL.into_iter().zip(strata) {
                for (bucket, stratum) in Bucket::ALL.into_iter().zip(buckets) {
                    if let Some(stratum) = stratum {
                        self.stratum(category, complexity, bucket).merge(*stratum);
                    }
                }
            }
        }
        self.hazards.add(hazards);
        self.mismatches.add(&mismatches);
        self.first_mismatches.merge(first_mismatches);
        self.unreadable += unreadable;
        self.first_unreadable.merge(first_unreadable);
        self
    }

    fn stratum(&mut self, category: usize, complexity: Complexity, bucket: Bucket) -> &mut Stratum {
        if self.strata.len() <= category {
            self.strata.resize_with(category + 1, Strata::default);
        }
        self.strata[category][complexity as usize][bucket as usize].get_or_insert_default()
    }

    fn check_stored(&mut self, event: &TokenEvent<'_>) {
        let metrics = Metrics::of(event.predicted, event.actual);
        let smape = (event.smape_percent, metrics.map(|m| m.smape_percent));
        let waste = (event.waste_ratio, metrics.map(|m| m.waste_ratio));
        let smape_differs = differs(smape);
        let waste_differs = differs(waste);
        let under = metrics::underestimated(event.predicted, event.actual);
        let under_differs = event.underestimated.is_some_and(|stored| stored != under);
        if !(smape_differs || waste_differs || under_differs) {
            return;
        }
        self.mismatches.add(&Mismatches {
            rows: 1,
            smape_percent: u64::from(smape_differs),
            waste_ratio: u64::from(waste_differs),
            underestimated: u64::from(under_differs),
            first: Vec::new(),
        });
        let flag = |value: bool| f64::from(u8::from(value));
        let under = (event.underestimated.map(flag), Some(flag(under)));
        for (column, differs, (stored, recomputed)) in [
            ("smape_percent", smape_differs, smape),
            ("waste_ratio", waste_differs, waste),
            ("underestimated", under_differs, under),
        ] {
            if let (true, Some(stored)) = (differs, stored) {
                self.first_mismatches.offer(event.id, Mismatch { id: event.id, column, stored, recomputed });
            }
        }
    }

    /// The strata by category name, complexity and bucket, leaving none behind.
    pub(super) fn take_strata(&mut self) -> Vec<NamedStratum> {
        let mut all = Vec::new();
        for (name, strata) in self.categories.names.iter().zip(self.strata.drain(..)) {
            for (complexity, buckets) in Complexity::ALL.into_iter().zip(strata) {
                for (bucket, stratum) in Bucket::ALL.into_iter().zip(buckets) {
                    all.extend(stratum.map(|stratum| (name.clone(), complexity, bucket, *stratum)));
                }
            }
        }
        all.sort_by(|a, b| (&a.0, a.1, a.2).cmp(&(&b.0, b.1, b.2)));
        all
    }

    pub(super) fn take_mismatches(&mut self) -> Mismatches {
        let first = std::mem::take(&mut self.first_mismatches).into_entries();
        Mismatches { first, ..std::mem::take(&mut self.mismatches) }
    }

    pub(super) fn take_unreadable(&mut self) -> UnreadableRows {
        UnreadableRows {
            rows: self.unreadable,
            first: std::mem::take(&mut self.first_unreadable).into_entries(),
        }
    }
}

impl Stratum {
    fn push(&mut self, event: &TokenEvent<'_>, pair: Pair, success_only: bool) {
        let truncated = event.truncated == Some(true);
        let under = metrics::underestimated(event.predicted, event.actual);
        self.tally.attempts += 1;
        self.tally.success += u64::from(event.success);
        self.tally.truncated += u64::from(truncated);
        self.tally.truncation_unrecorded += u64::from(event.truncated.is_none());
        self.tally.underestimated += u64::from(under);
        self.tally.censored += u64::from(truncated && !under);
        self.tally.success_truncated += u64::from(event.success && truncated);
        self.tally.success_underestimated += u64::from(event.success && under);
        if pair.predicted == 0 || pair.actual == 0 {
            return;
        }
        if truncated {
            self.bounds.push(pair);
        } else if event.success || !success_only {
            self.cost.push(pair);
        }
    }

    fn merge(&mut self, other: Self) {
        self.tally.add(other.tally);
        append(&mut self.cost, other.cost);
        append(&mut self.bounds, other.bounds);
    }
}

/// Moves pairs behind others; where there are none, the vector itself.
pub(super) fn append(all: &mut Vec<Pair>, mut more: Vec<Pair>) {
    if all.is_empty() {
        *all = more;
    } else {
        all.append(&mut more);
    }
}

/// Whether a stored metric is not what its token counts give. A metric that was not stored never differs.
fn differs((stored, recomputed): (Option<f64>, Option<f64>)) -> bool {
    match (stored, recomputed) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(stored), Some(exact)) => (stored - exact).abs() > TOLERANCE * stored.abs().max(exact.abs()),
    }
}

#[cfg(test)]
mod tests;
