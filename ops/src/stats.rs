//! The toolkit's one definition each of mean, median and percentile.
//!
//! Percentiles interpolate linearly between the two nearest ranks (Hyndman & Fan type 7, the default of
//! R and of SQL's `percentile_cont`); the median is the 50th percentile. No other module may define its own.

pub mod binomial;
pub mod cluster;
pub mod lognormal;
pub mod survival;

use std::cmp::Ordering;

/// Arithmetic mean; `None` for no values.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// A sum with a running compensation (Neumaier), so that millions of values cost no digits.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum {
    sum: f64,
    lost: f64,
}

impl Sum {
    /// Adds one value.
    pub fn add(&mut self, value: f64) {
        let next = self.sum + value;
        self.lost +=
            if self.sum.abs() >= value.abs() { (self.sum - next) + value } else { (value - next) + self.sum };
        self.sum = next;
    }

    /// Adds what another sum has collected.
    pub fn merge(&mut self, other: Self) {
        self.add(other.sum);
        self.lost += other.lost;
    }

    /// The sum so far.
    pub fn total(self) -> f64 {
        self.sum + self.lost
    }
}

/// The `p`-th percentile (`0.0..=1.0`) by selection, in O(n); reorders `values`. `None` for no values.
pub fn percentile(values: &mut [f64], p: f64) -> Option<f64> {
    let [value] = percentiles_by(values, [p], |a, b| a.total_cmp(&b), |value| value);
    value
}

/// Percentiles, in ascending order, of what `value` makes of the items; reorders `items`, which lets a
/// caller rank items without first writing their values down. `order` must rank the items as `value` does.
/// `None` for no items.
pub fn percentiles_by<T: Copy, const N: usize>(
    items: &mut [T],
    ascending: [f64; N],
    order: impl Fn(T, T) -> Ordering,
    value: impl Fn(T) -> f64,
) -> [Option<f64>; N] {
    debug_assert!(ascending.is_sorted(), "a percentile is looked for above the one before");
    let mut settled = 0;
    ascending.map(|p| {
        let last = items.len().checked_sub(1)?;
        let rank = p.clamp(0.0, 1.0) * last as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 <= rank <= last")]
        let below = rank.floor() as usize;
        let unsettled = &mut items[settled..];
        let (_, low, above) = unsettled.select_nth_unstable_by(below - settled, |a, b| order(*a, *b));
        settled = below;
        let low = value(*low);
        let fraction = rank - below as f64;
        if fraction == 0.0 {
            return Some(low);
        }
        let high = above.iter().copied().min_by(|a, b| order(*a, *b)).map_or(low, &value);
        Some(low + (high - low) * fraction)
    })
}

/// The median; reorders `values`. `None` for no values.
pub fn median(values: &mut [f64]) -> Option<f64> {
    percentile(values, 0.5)
}

/// Share of `part` in `whole` in percent; `None` when there is nothing to share.
pub fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 * 100.0 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_samples() {
        assert_eq!(median(&mut []), None);
        assert_eq!(mean(&[]), None);
        assert_eq!(median(&mut [3.0]), Some(3.0));
        assert_eq!(median(&mut [4.0, 1.0]), Some(2.5));
        assert_eq!(percentile(&mut [1.0, 2.0, 3.0, 4.0, 5.0], 0.9), Some(4.6));
        assert_eq!(percentile(&mut [1.0, 2.0, 3.0], 1.0), Some(3.0));
        assert_eq!(percent(1, 0), None);
    }

    #[test]
    fn a_sum_keeps_what_a_large_value_would_swallow() {
        let sum = |values: &[f64]| {
            let mut sum = Sum::default();
            for value in values {
                sum.add(*value);
            }
            sum
        };
        assert_eq!(sum(&[]).total().to_bits(), 0.0_f64.to_bits());
        assert_eq!(sum(&[1.0, 1e100, 1.0, -1e100]).total().to_bits(), 2.0_f64.to_bits());
        let mut merged = sum(&[1.0, 1e100]);
        merged.merge(sum(&[1.0, -1e100]));
        assert_eq!(merged.total().to_bits(), 2.0_f64.to_bits());
    }

    #[test]
    fn ranks_items_by_what_they_are_worth() {
        let mut fractions = [(3_u32, 1_u32), (1, 2), (2, 1)];
        let worth = |(p, q): (u32, u32)| f64::from(p) / f64::from(q);
        let order = |a: (u32, u32), b: (u32, u32)| (a.0 * b.1).cmp(&(b.0 * a.1));
        let found = percentiles_by(&mut fractions, [0.0, 0.25, 0.5, 0.75, 1.0], order, worth);
        assert_eq!(found, [0.5, 1.25, 2.0, 2.5, 3.0].map(Some));
        assert_eq!(percentiles_by(&mut [], [0.5], order, worth), [None]);
    }

    proptest! {
        #[test]
        fn selection_agrees_with_sorting(mut values in prop::collection::vec(-1e6..1e6_f64, 1..200), p in 0.0..=1.0_f64) {
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let rank = p * (sorted.len() - 1) as f64;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
            let (low, high) = (rank.floor() as usize, rank.ceil() as usize);
            let expected = sorted[low] + (sorted[high] - sorted[low]) * (rank - low as f64);
            prop_assert!((percentile(&mut values, p).unwrap() - expected).abs() < 1e-9);
        }
    }
}
