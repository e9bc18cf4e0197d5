//! Intervals where values come in groups that resemble each other, such as the attempts at one task.
//!
//! Groups are drawn, never single values: ten attempts at one task are not ten tasks.

use super::{binomial, percentile};
use crate::random::Random;

/// How often groups are drawn.
const DRAWS: usize = 400;

/// An interval for a number.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The 95 % interval of a statistic of groups: it is computed for as many groups drawn with replacement (percentile
/// bootstrap). `None` for fewer than two groups, or where the statistic is mostly undefined.
pub fn bootstrap<G>(groups: &[G], seed: u64, statistic: impl Fn(&[&G]) -> Option<f64>) -> Option<Interval> {
    if groups.len() < 2 {
        return None;
    }
    let mut random = Random::seeded(seed);
    let mut drawn = Vec::with_capacity(groups.len());
    let mut found = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        drawn.clear();
        for _ in 0..groups.len() {
            let at = usize::try_from(random.below(groups.len() as u64)).unwrap_or_default();
            drawn.push(&groups[at]);
        }
        found.extend(statistic(&drawn));
    }
    if found.len() < DRAWS * 9 / 10 {
        return None;
    }
    Some(Interval { low: percentile(&mut found, 0.025)?, high: percentile(&mut found, 0.975)? })
}

/// The 95 % interval of a share, from the hits and the size of every group: exact (Clopper and Pearson) for as many
/// independent tries as the groups are worth, which the design effect says. `None` without tries.
pub fn share(groups: &[(u64, u64)]) -> Option<Interval> {
    let (hits, tries) = groups.iter().fold((0, 0), |(h, t), group| (h + group.0, t + group.1));
    if tries == 0 {
        return None;
    }
    let (p, n) = (hits as f64 / tries as f64, tries as f64);
    let squares: f64 = groups.iter().map(|(_, size)| (*size as f64).powi(2)).sum();
    // Where all tries agree nothing is known of how alike groups are: they count as wholly alike.
    let effect = if hits == 0 || hits == tries {
        squares / n
    } else {
        let spread: f64 = groups.iter().map(|(h, t)| (*h as f64 - p * *t as f64).powi(2)).sum();
        (spread / (n * p * (1.0 - p))).max(1.0)
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and the number of tries"
    )]
    let worth = (n / effect).round().max(1.0) as u64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of the number above"
    )]
    let of = |hits: f64| hits as u64;
    let hits = p * worth as f64;
    let low = if hits < 0.5 { 0.0 } else { binomial::lower(of(hits.floor()), worth, 0.025) };
    let high = if p >= 1.0 { 1.0 } else { binomial::upper(of(hits.ceil()), worth, 0.025) };
    Some(Interval { low, high })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::mean;

    #[test]
    fn repeated_attempts_are_worth_one() {
        let alone = share(&[(0, 1); 40]).unwrap();
        assert!((alone.high - 0.0881).abs() < 1e-4 && alone.low == 0.0, "{alone:?}");
        let four = share(&[(0, 10); 4]).unwrap();
        assert!((four.high - 0.6024).abs() < 1e-4, "{four:?}");
        let alike = share(&[(10, 10), (0, 10), (10, 10), (0, 10)]).unwrap();
        assert!(alike.low < 0.1 && alike.high > 0.9, "{alike:?}");
        assert_eq!(share(&[]), None);
        assert_eq!(share(&[(3, 3)]).unwrap().high.to_bits(), 1.0_f64.to_bits());
    }

    #[test]
    fn intervals_depend_on_the_seed_alone() {
        let groups: Vec<f64> = (0..50).map(f64::from).collect();
        let of = |seed| {
            bootstrap(&groups, seed, |drawn| mean(&drawn.iter().map(|v| **v).collect::<Vec<_>>())).unwrap()
        };
        assert_eq!(of(1), of(1));
        assert!(of(1).low < 24.5 && of(1).high > 24.5 && of(1).high - of(1).low < 12.0);
        assert_eq!(bootstrap(&[1.0], 1, |_| Some(1.0)), None);
        assert_eq!(bootstrap(&[1.0, 2.0], 1, |_| None), None);
    }
}
