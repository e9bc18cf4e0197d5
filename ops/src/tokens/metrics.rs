//! How far a prediction was from the outcome: one definition, used by writers and readers alike.
//!
//! Nothing here rounds, and nothing may invent a number for a missing count.

use serde::{Deserialize, Serialize};

/// Symmetric mean absolute percentage error of one event, `200·|p − a| / (p + a)`, in percent from 0 to 200;
/// 0 when both are 0.
pub fn smape_percent(predicted: u64, actual: u64) -> f64 {
    let total = predicted as f64 + actual as f64;
    if total == 0.0 { 0.0 } else { 200.0 * predicted.abs_diff(actual) as f64 / total }
}

/// Predicted over actual tokens, a ratio (1.5 is half as much again); `None` when nothing was written.
pub fn waste_ratio(predicted: u64, actual: u64) -> Option<f64> {
    (actual > 0).then(|| predicted as f64 / actual as f64)
}

/// Whether more was written than predicted.
pub fn underestimated(predicted: u64, actual: u64) -> bool {
    actual > predicted
}

/// The metrics as they are stored with an event.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// See [`smape_percent`].
    pub smape_percent: f64,
    /// See [`waste_ratio`].
    pub waste_ratio: f64,
    /// See [`underestimated`].
    pub underestimated: bool,
}

impl Metrics {
    /// The metrics of an event; `None`, stored as three NULLs, unless both counts are above 0.
    pub fn of(predicted: u64, actual: u64) -> Option<Self> {
        let waste_ratio = waste_ratio(predicted, actual).filter(|_| predicted > 0)?;
        Some(Self {
            smape_percent: smape_percent(predicted, actual),
            waste_ratio,
            underestimated: underestimated(predicted, actual),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_events() {
        for (predicted, actual, smape, waste, under) in [
            (1200, 800, 40.0, 1.5, false),
            (500, 700, 33.333_333_333_3, 0.714_285_714_3, true),
            (250, 100, 85.714_285_714_2, 2.5, false),
            (1000, 1000, 0.0, 1.0, false),
            (100, 120, 18.181_818_181_8, 0.833_333_333_3, true),
            (7020, 3788, 59.807_549_963_0, 1.853_220_696_9, false),
            (19240, 13211, 37.157_560_629_9, 1.456_362_122_5, false),
            (5200, 16384, 103.632_320_237_2, 0.317_382_812_5, true),
            (3339, 8192, 84.173_098_603_8, 0.407_592_773_4, true),
        ] {
            let metrics = Metrics::of(predicted, actual).unwrap();
            assert!((metrics.smape_percent - smape).abs() < 1e-9, "{predicted} {actual}: {metrics:?}");
            assert!((metrics.waste_ratio - waste).abs() < 1e-9, "{predicted} {actual}: {metrics:?}");
            assert_eq!(metrics.underestimated, under, "{predicted} {actual}");
        }
    }

    #[test]
    fn nothing_is_stored_without_both_counts() {
        assert_eq!(Metrics::of(0, 10), None);
        assert_eq!(Metrics::of(10, 0), None);
        assert_eq!(Metrics::of(0, 0), None);
        assert_eq!(smape_percent(0, 0).to_bits(), 0.0_f64.to_bits());
        assert_eq!(waste_ratio(10, 0), None);
        assert!(underestimated(90, 100) && !underestimated(100, 100));
    }

    proptest! {
        #[test]
        fn smape_is_symmetric_and_bounded(p: u64, a: u64) {
            let smape = smape_percent(p, a);
            prop_assert_eq!(smape.to_bits(), smape_percent(a, p).to_bits());
            prop_assert!((0.0..=200.0).contains(&smape));
        }

        #[test]
        fn waste_below_one_is_an_underestimate(p in 1_u64..1 << 40, a in 1_u64..1 << 40) {
            let metrics = Metrics::of(p, a).unwrap();
            prop_assert_eq!(metrics.waste_ratio < 1.0, metrics.underestimated);
        }
    }
}
