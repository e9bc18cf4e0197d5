//! What a count of successes says about the rate behind it, exactly: no normal approximation, no rule of thumb.

use statrs::function::beta::checked_beta_reg;

/// Chance of at most `hits` in `units` tries at this rate.
pub fn at_most(hits: u64, units: u64, rate: f64) -> f64 {
    if hits >= units || rate <= 0.0 {
        return 1.0;
    }
    if rate >= 1.0 {
        return 0.0;
    }
    let (hits, units) = (hits as f64, units as f64);
    incomplete_beta(units - hits, hits + 1.0, 1.0 - rate)
}

/// The largest rate that `hits` of `units` do not exclude at this error rate, one-sided (Clopper and Pearson 1934).
/// 1 without units.
pub fn upper(hits: u64, units: u64, error_rate: f64) -> f64 {
    if hits >= units {
        return 1.0;
    }
    if hits == 0 {
        return 1.0 - error_rate.powf(1.0 / units as f64);
    }
    root(|rate| at_most(hits, units, rate) - error_rate)
}

/// The smallest rate that `hits` of `units` do not exclude at this error rate, one-sided. 0 without units.
pub fn lower(hits: u64, units: u64, error_rate: f64) -> f64 {
    1.0 - upper(units - hits.min(units), units, error_rate)
}

/// The regularised incomplete beta function `I_x(a, b)` for positive `a` and `b`.
pub fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    checked_beta_reg(a, b, x.clamp(0.0, 1.0)).unwrap_or(f64::NAN)
}

/// Where a function that falls from positive to negative on `0.0..=1.0` is zero, to the last bits.
pub fn root(falling: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if falling(middle) > 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 5e-5, "{found} instead of {expected}");
    }

    #[test]
    fn bounds_are_those_of_the_tables() {
        near(upper(0, 288, 0.05), 0.010_348);
        near(upper(0, 12, 0.05), 0.220_922);
        near(upper(1, 10, 0.05), 0.394_163);
        near(lower(9, 10, 0.05), 0.605_837);
        assert_eq!((upper(0, 0, 0.05), lower(0, 0, 0.05)), (1.0, 0.0));
        assert_eq!((upper(5, 5, 0.05), lower(0, 5, 0.05)), (1.0, 0.0));
    }

    #[test]
    fn chances_add_up() {
        near(at_most(0, 3, 0.5), 0.125);
        near(at_most(1, 3, 0.5), 0.5);
        near(at_most(2, 3, 0.5), 0.875);
        assert_eq!((at_most(3, 3, 0.5), at_most(0, 3, 0.0), at_most(0, 3, 1.0)), (1.0, 1.0, 0.0));
    }
}
