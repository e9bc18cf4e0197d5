//! Two predictions for the same attempts: how much better one is than the other, with intervals that draw phases.

use serde::Serialize;

use super::super::sample::by_phase;
use super::measures::{Judged, Measures, NAMES};
use crate::random::Random;
use crate::report::{Align, Table, number};
use crate::stats::cluster::Interval;
use crate::stats::percentile;

/// How often phases are drawn.
const DRAWS: usize = 400;

/// Old and new predictions for the same attempts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Paired {
    /// Attempts.
    pub attempts: u64,
    /// Phases.
    pub phases: u64,
    /// The numbers of the old predictions.
    pub old: Measures,
    /// Those of the new ones.
    pub new: Measures,
    /// Attempts that the old predictions are known to be too small for, and the new ones.
    pub underestimated: [u64; 2],
    /// Attempts that an output as long as theirs is cut at the old budgets, and at the new ones; one that was cut once is
    /// counted in both.
    pub cut: [u64; 2],
    /// Of the attempts that were cut: with a prediction below what they had written by then, old and new.
    pub below_bound: [u64; 2],
    /// How many were cut.
    pub bounds: u64,
    /// 95 % intervals of new minus old, number by number.
    pub intervals: Vec<Option<Interval>>,
}

impl Paired {
    /// Of pairs of an old and a new prediction.
    pub fn of(pairs: &[[Judged<'_>; 2]], quantile: f64, seed: u64) -> Self {
        let side = |i: usize| pairs.iter().map(|pair| pair[i]).collect::<Vec<_>>();
        let sides = [side(0), side(1)];
        Self {
            attempts: pairs.len() as u64,
            phases: by_phase(pairs.iter().map(|p| p[0].sample)).len() as u64,
            old: Measures::of(&sides[0], quantile),
            new: Measures::of(&sides[1], quantile),
            underestimated: count(&sides, Judged::is_under),
            cut: count(&sides, Judged::is_cut),
            below_bound: count(&sides, |j| j.sample.is_cut() && j.is_under()),
            bounds: pairs.iter().filter(|p| p[0].sample.is_cut()).count() as u64,
            intervals: intervals(pairs, quantile, seed),
        }
    }

    /// The interval of the number of this name.
    pub fn interval(&self, name: &str) -> Option<Interval> {
        let at = NAMES.iter().position(|other| *other == name)?;
        self.intervals.get(at).copied().flatten()
    }

    /// Old, new and what is between them.
    pub fn table(&self) -> Table {
        let mut table = Table::new([
            ("", Align::Left),
            ("old", Align::Right),
            ("new", Align::Right),
            ("new − old, 95 %", Align::Right),
        ]);
        let rows = NAMES.into_iter().zip(self.old.values()).zip(self.new.values()).zip(&self.intervals);
        for (((name, old), new), interval) in rows {
            let difference = old.zip(new).map(|(old, new)| new - old);
            let interval = interval.map_or_else(String::new, |i| format!(" [{:.2}, {:.2}]", i.low, i.high));
            table.row([
                name.to_owned(),
                number(old, 2),
                number(new, 2),
                format!("{}{interval}", number(difference, 2)),
            ]);
        }
        for (name, [old, new]) in [
            ("underestimated, attempts", self.underestimated),
            ("cut at the selected budget, attempts", self.cut),
            ("cut, and the prediction below what was written", self.below_bound),
        ] {
            #[expect(clippy::cast_possible_wrap, reason = "counts of attempts in memory")]
            let difference = new as i64 - old as i64;
            table.row([name.to_owned(), old.to_string(), new.to_string(), difference.to_string()]);
        }
        table
    }
}

fn count<'a>(sides: &[Vec<Judged<'a>>; 2], what: impl Fn(&Judged<'a>) -> bool) -> [u64; 2] {
    sides.each_ref().map(|side| side.iter().filter(|j| what(j)).count() as u64)
}

fn intervals(pairs: &[[Judged<'_>; 2]], quantile: f64, seed: u64) -> Vec<Option<Interval>> {
    let mut groups: std::collections::BTreeMap<(&str, &str, i64), Vec<[Judged<'_>; 2]>> =
        std::collections::BTreeMap::new();
    for pair in pairs {
        let sample = pair[0].sample;
        let alone = if sample.phase.is_empty() { sample.id } else { 0 };
        groups.entry((&sample.run, &sample.phase, alone)).or_default().push(*pair);
    }
    let groups: Vec<Vec<[Judged<'_>; 2]>> = groups.into_values().collect();
    if groups.len() < 2 || pairs.len() > super::DRAWN_MAX {
        return vec![None; NAMES.len()];
    }
    let mut random = Random::seeded(seed);
    let mut found: Vec<Vec<f64>> = vec![Vec::new(); NAMES.len()];
    for _ in 0..DRAWS {
        let mut sides: [Vec<Judged<'_>>; 2] = Default::default();
        for _ in 0..groups.len() {
            let at = usize::try_from(random.below(groups.len() as u64)).unwrap_or_default();
            for pair in &groups[at] {
                sides[0].push(pair[0]);
                sides[1].push(pair[1]);
            }
        }
        let [old, new] = sides.map(|side| Measures::of(&side, quantile).values());
        for ((list, old), new) in found.iter_mut().zip(old).zip(new) {
            list.extend(old.zip(new).map(|(old, new)| new - old));
        }
    }
    let interval = |mut list: Vec<f64>| {
        (list.len() >= DRAWS * 9 / 10).then_some(())?;
        Some(Interval { low: percentile(&mut list, 0.025)?, high: percentile(&mut list, 0.975)? })
    };
    found.into_iter().map(interval).collect()
}
