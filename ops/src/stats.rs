//! The toolkit's one definition each of mean, median and percentile.
//!
//! Percentiles interpolate linearly between the two nearest ranks (Hyndman & Fan type 7, the default of
//! R and of SQL's `percentile_cont`); the median is the 50th percentile. No other module may define its own.

pub mod binomial;
pub mod cluster;
pub mod counts;
pub mod lognormal;
pub mod survival;

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
    let (below, fraction) = rank_of(p, values.len())?;
    let (_, low, above) = values.select_nth_unstable_by(below, f64::total_cmp);
    let low = *low;
    if fraction == 0.0 {
        return Some(low);
    }
    let high = above.iter().copied().min_by(f64::total_cmp).unwrap_or(low);
    Some(low + (high - low) * fraction)
}

/// The rank at or below the `p`-th percentile of so many values, from 0, and how far it lies beyond; `None` for no values.
fn rank_of(p: f64, count: usize) -> Option<(usize, f64)> {
    let rank = p.clamp(0.0, 1.0) * count.checked_sub(1)? as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 <= rank < count")]
    let below = rank.floor() as usize;
    Some((below, rank - below as f64))
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
