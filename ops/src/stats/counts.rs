//! Exact percentiles of more values than one wants to hold: values are counted by their leading bits, and only those of the
//! right bin are looked at again.
//!
//! Nothing is sorted and nothing is moved; memory is that of the bins and of a fixed number of values, however many there are.

use super::rank_of;

/// At most so many values are held at once.
const KEPT_MAX: u64 = 1 << 20;
/// Bits of a value that are told apart in one pass.
const BITS: u32 = 16;
/// The first bins: the sign is always the same.
const BINS: usize = 1 << (BITS - 1);

/// How many values there are in each bin. Values are not negative, and numbers.
#[derive(Debug, Clone)]
pub struct Counts {
    bins: Vec<u64>,
    count: u64,
    /// The bins that are in use lie in here.
    from: usize,
    to: usize,
}

impl Default for Counts {
    fn default() -> Self {
        Self { bins: vec![0; BINS], count: 0, from: BINS, to: 0 }
    }
}

impl Counts {
    /// Counts one value.
    pub fn add(&mut self, value: f64) {
        debug_assert!(value >= 0.0 && value.is_sign_positive(), "{value} has no bin");
        let bin = usize::try_from(value.to_bits() >> (64 - BITS)).unwrap_or_default() % BINS;
        self.bins[bin] += 1;
        self.count += 1;
        self.from = self.from.min(bin);
        self.to = self.to.max(bin + 1);
    }

    /// Counts what another has counted.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        for (mine, theirs) in self.bins[other.from..other.to].iter_mut().zip(&other.bins[other.from..]) {
            *mine += theirs;
        }
        self.count += other.count;
        self.from = self.from.min(other.from);
        self.to = self.to.max(other.to);
    }

    /// Counts nothing any more.
    pub fn clear(&mut self) {
        if self.count > 0 {
            self.bins[self.from..self.to].fill(0);
        }
        (self.count, self.from, self.to) = (0, BINS, 0);
    }

    /// The `p`-th percentile (`0.0..=1.0`) of the values, which are those that were counted, in any order. `None` for none.
    pub fn percentile(&self, p: f64, values: impl Iterator<Item = f64> + Clone) -> Option<f64> {
        let (below, fraction) = rank_of(p, usize::try_from(self.count).ok()?)?;
        let (low, next) = self.nth(below as u64, values.clone());
        if fraction == 0.0 {
            return Some(low);
        }
        let high = next.unwrap_or_else(|| self.nth(below as u64 + 1, values).0);
        Some(low + (high - low) * fraction)
    }

    /// The value of a rank, and the next one where it lies in the same bin.
    fn nth(&self, rank: u64, values: impl Iterator<Item = f64> + Clone) -> (f64, Option<f64>) {
        let (bin, mut rank) = find(&self.bins[self.from..self.to], rank);
        let (mut prefix, mut shift) = ((self.from + bin) as u64, 64 - BITS);
        let mut count = self.bins[self.from + bin];
        while count > KEPT_MAX && shift > 0 {
            shift -= BITS;
            let mut bins = vec![0; 1 << BITS];
            for bits in values.clone().map(f64::to_bits).filter(|bits| bits >> (shift + BITS) == prefix) {
                bins[usize::try_from((bits >> shift) & ((1 << BITS) - 1)).unwrap_or_default()] += 1;
            }
            let (bin, left) = find(&bins, rank);
            (prefix, rank, count) = ((prefix << BITS) | bin as u64, left, bins[bin]);
        }
        if count > KEPT_MAX {
            let value = f64::from_bits(prefix);
            return (value, (rank + 1 < count).then_some(value));
        }
        let mut kept: Vec<f64> = values.filter(|value| value.to_bits() >> shift == prefix).collect();
        let place = usize::try_from(rank).unwrap_or_default().min(kept.len().saturating_sub(1));
        let (_, value, above) = kept.select_nth_unstable_by(place, f64::total_cmp);
        (*value, above.iter().copied().min_by(f64::total_cmp))
    }
}

/// The bin that holds a rank, and the rank within it.
fn find(bins: &[u64], mut rank: u64) -> (usize, u64) {
    for (bin, count) in bins.iter().enumerate() {
        if rank < *count {
            return (bin, rank);
        }
        rank -= count;
    }
    (bins.len().saturating_sub(1), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(values: &[f64]) -> Counts {
        let mut counts = Counts::default();
        for value in values {
            counts.add(*value);
        }
        counts
    }

    #[test]
    fn nothing_has_no_percentile() {
        assert_eq!(Counts::default().percentile(0.5, std::iter::empty()), None);
        let mut used = counts(&[1.0, 5.0]);
        used.clear();
        assert_eq!(used.percentile(0.5, std::iter::empty()), None);
        used.add(2.0);
        assert_eq!(used.percentile(0.5, [2.0].into_iter()), Some(2.0));
    }

    #[test]
    fn more_values_than_are_held_fall_into_one_bin() {
        let many = usize::try_from(KEPT_MAX).unwrap() + 10;
        // All alike; then nearly alike, so that the last bits decide.
        let alike = vec![1.5; many];
        assert_eq!(counts(&alike).percentile(0.5, alike.iter().copied()), Some(1.5));
        let next = f64::from_bits(1.5_f64.to_bits() + 1);
        let near: Vec<f64> = (0..many).map(|i| if i % 4 == 0 { next } else { 1.5 }).collect();
        let found = |p| counts(&near).percentile(p, near.iter().copied());
        assert_eq!((found(0.5), found(0.9)), (Some(1.5), Some(next)));
    }

    proptest::proptest! {
        #[test]
        fn counting_agrees_with_selecting(
            values in proptest::collection::vec(
                proptest::prop_oneof![0.0..4.0_f64, proptest::sample::select(vec![0.0, 1.0, 1e-300, 1e300])],
                1..300,
            ),
            p in 0.0..=1.0_f64,
            at in 0_usize..300,
        ) {
            let at = at.min(values.len());
            let mut merged = counts(&values[..at]);
            merged.merge(&counts(&values[at..]));
            let expected = super::super::percentile(&mut values.clone(), p);
            proptest::prop_assert_eq!(merged.percentile(p, values.iter().copied()), expected);
        }
    }
}
