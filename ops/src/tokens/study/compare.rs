//! Two sets of attempts side by side: two runs, or what two sets of coefficients predicted.

use serde::Serialize;

use super::super::canonical::Complexity;
use super::super::sample::{Sample, by_phase};
use super::measures::{Judged, Measures, NAMES};
use crate::random::Random;
use crate::report::{Align, Document, Table, number};
use crate::stats::cluster::Interval;
use crate::stats::percentile;
use crate::text::{one_line, thousands};

/// How often both sides are drawn for the intervals of their differences.
const DRAWS: usize = 400;

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Side {
    /// What it is called.
    pub name: String,
    /// Attempts.
    pub attempts: u64,
    /// Phases.
    pub phases: u64,
    /// The numbers.
    pub measures: Measures,
    /// The numbers by category and complexity.
    pub strata: Vec<(String, Complexity, u64, Measures)>,
}

/// Both sides, and what is between them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Version of this artifact.
    pub format: u32,
    /// What is compared.
    pub by: &'static str,
    /// The sides.
    pub sides: [Side; 2],
    /// The second minus the first, number by number, with 95 % intervals where they can be drawn.
    pub differences: Vec<Difference>,
}

/// The difference in one number.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Which number.
    pub name: &'static str,
    /// The second minus the first.
    pub value: Option<f64>,
    /// 95 % interval; phases are drawn, on each side for itself.
    pub interval: Option<Interval>,
}

impl Comparison {
    /// Compares the attempts of two names.
    pub fn of(by: &'static str, names: [&str; 2], sets: [&[&Sample]; 2], quantile: f64, seed: u64) -> Self {
        let side = |name: &str, set: &[&Sample]| {
            let mut keys: Vec<(&str, Complexity)> =
                set.iter().map(|s| (s.category.as_str(), s.complexity)).collect();
            keys.sort_unstable();
            keys.dedup();
            let strata = keys.into_iter().map(|(category, complexity)| {
                let own: Vec<&Sample> = set
                    .iter()
                    .copied()
                    .filter(|s| s.category == category && s.complexity == complexity)
                    .collect();
                (category.to_owned(), complexity, own.len() as u64, Measures::of(&judged(&own), quantile))
            });
            Side {
                name: name.to_owned(),
                attempts: set.len() as u64,
                phases: by_phase(set.iter().copied()).len() as u64,
                measures: Measures::of(&judged(set), quantile),
                strata: strata.collect(),
            }
        };
        let sides = [side(names[0], sets[0]), side(names[1], sets[1])];
        let intervals = intervals(sets, quantile, seed);
        let between = sides[1].measures.values().into_iter().zip(sides[0].measures.values());
        let differences = NAMES
            .into_iter()
            .zip(between)
            .zip(intervals)
            .map(|((name, (b, a)), interval)| Difference {
                name,
                value: b.zip(a).map(|(b, a)| b - a),
                interval,
            })
            .collect();
        Self { format: 1, by, sides, differences }
    }

    /// The report about `source`.
    pub fn document(&self, source: &str) -> Document {
        let mut document = Document::new();
        let [a, b] = &self.sides;
        let about = |side: &Side| {
            format!(
                "{}: {} attempts at {} phases",
                one_line(&side.name),
                thousands(side.attempts),
                thousands(side.phases)
            )
        };
        document.heading(1, format!("Two {}s side by side", self.by)).facts([
            ("source", one_line(source)),
            ("first", about(a)),
            ("second", about(b)),
        ]);
        let mut table = Table::new([
            ("", Align::Left),
            ("first", Align::Right),
            ("second", Align::Right),
            ("second − first", Align::Right),
            ("95 % interval", Align::Right),
        ]);
        let rows = self.differences.iter().zip(a.measures.values()).zip(b.measures.values());
        for ((d, first), second) in rows {
            let interval =
                d.interval.map_or_else(|| "–".to_owned(), |i| format!("[{:.2}, {:.2}]", i.low, i.high));
            table.row([d.name.to_owned(), number(first, 2), number(second, 2), number(d.value, 2), interval]);
        }
        document.table(table);
        document.text("Means and medians are of attempts that were not cut, shares of all attempts. Phases are drawn for the intervals.");
        document.heading(2, "By category and complexity").table(self.strata());
        document
    }

    fn strata(&self) -> Table {
        let mut table = Table::new([
            ("category", Align::Left),
            ("complexity", Align::Left),
            ("first n", Align::Right),
            ("second n", Align::Right),
            ("first SMAPE median", Align::Right),
            ("second", Align::Right),
            ("first underestimated %", Align::Right),
            ("second", Align::Right),
        ]);
        let mut keys: Vec<(&str, Complexity)> =
            self.sides.iter().flat_map(|side| side.strata.iter().map(|s| (s.0.as_str(), s.1))).collect();
        keys.sort_unstable();
        keys.dedup();
        for (category, complexity) in keys {
            let of = |side: &Side| {
                let found = side.strata.iter().find(|s| s.0 == category && s.1 == complexity);
                found.map_or((0, Measures::default()), |s| (s.2, s.3))
            };
            let ((n, a), (m, b)) = (of(&self.sides[0]), of(&self.sides[1]));
            table.row([
                one_line(category),
                complexity.as_str().to_owned(),
                thousands(n),
                thousands(m),
                number(a.smape_percent_median, 2),
                number(b.smape_percent_median, 2),
                number(a.underestimated_percent, 1),
                number(b.underestimated_percent, 1),
            ]);
        }
        table
    }
}

fn judged<'a>(set: &[&'a Sample]) -> Vec<Judged<'a>> {
    set.iter().map(|s| Judged::from(*s)).collect()
}

/// Intervals of the differences of all numbers, from one series of draws.
fn intervals(sets: [&[&Sample]; 2], quantile: f64, seed: u64) -> [Option<Interval>; NAMES.len()] {
    let phases = sets.map(|set| by_phase(set.iter().copied()));
    if phases.iter().any(|p| p.len() < 2) || sets.iter().any(|set| set.len() > super::DRAWN_MAX) {
        return [None; NAMES.len()];
    }
    let mut random = Random::seeded(seed);
    let mut found: [Vec<f64>; NAMES.len()] = Default::default();
    for _ in 0..DRAWS {
        let mut draw = |phases: &[Vec<&Sample>]| {
            let picks =
                (0..phases.len()).map(|_| usize::try_from(random.below(phases.len() as u64)).unwrap_or(0));
            let picked: Vec<usize> = picks.collect();
            let judged: Vec<Judged<'_>> =
                picked.iter().flat_map(|at| phases[*at].iter().map(|s| Judged::from(*s))).collect();
            Measures::of(&judged, quantile).values()
        };
        let (a, b) = (draw(&phases[0]), draw(&phases[1]));
        for ((list, a), b) in found.iter_mut().zip(a).zip(b) {
            list.extend(a.zip(b).map(|(a, b)| b - a));
        }
    }
    found.map(|mut list| {
        (list.len() >= DRAWS * 9 / 10).then_some(())?;
        Some(Interval { low: percentile(&mut list, 0.025)?, high: percentile(&mut list, 0.975)? })
    })
}
