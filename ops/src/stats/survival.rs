//! Quantiles of values of which some are only known from below (Kaplan and Meier 1958).
//!
//! Leaving such values out, or taking them for exact, makes every quantile too small, and more data does not help. A
//! quantile beyond what was seen is not made up: there is none.

/// A value, or the bound that it lies above.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// The value.
    pub value: f64,
    /// How much it counts; attempts at one task share a weight of 1.
    pub weight: f64,
    /// Whether the true value is larger, by an unknown amount.
    pub censored: bool,
}

/// The estimated distribution: how much lies at or below each value that was seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Survival {
    /// Values that were seen exactly, ascending, with the share at or below each.
    steps: Vec<(f64, f64)>,
    /// Observations in ascending order, exact before censored ones of the same value.
    sorted: Vec<Observation>,
}

impl Survival {
    /// The distribution of observations; those without a positive weight or with a value that is no number are left out.
    pub fn of(mut observations: Vec<Observation>) -> Self {
        observations.retain(|o| o.value.is_finite() && o.weight > 0.0);
        observations.sort_by(|a, b| a.value.total_cmp(&b.value).then(a.censored.cmp(&b.censored)));
        let mut at_risk: f64 = observations.iter().map(|o| o.weight).sum();
        let mut above = 1.0;
        let mut steps: Vec<(f64, f64)> = Vec::new();
        let mut i = 0;
        while i < observations.len() {
            let value = observations[i].value;
            let tied = observations[i..].iter().take_while(|o| o.value.total_cmp(&value).is_eq());
            let (mut ended, mut left, mut count) = (0.0, 0.0, 0);
            for o in tied {
                count += 1;
                *(if o.censored { &mut left } else { &mut ended }) += o.weight;
            }
            if ended > 0.0 {
                // What is left over of the last weights is rounding.
                above *= if at_risk - ended > 1e-9 * at_risk { 1.0 - ended / at_risk } else { 0.0 };
                steps.push((value, 1.0 - above));
            }
            at_risk -= ended + left;
            i += count;
        }
        Self { steps, sorted: observations }
    }

    /// The smallest value that at least `share` lies at or below; `None` when it is beyond what was seen.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let at = self.steps.partition_point(|(_, below)| *below < share - 1e-12);
        self.steps.get(at).map(|(value, _)| *value)
    }

    /// The share at or below a value.
    pub fn below(&self, value: f64) -> f64 {
        let at = self.steps.partition_point(|(step, _)| *step <= value);
        at.checked_sub(1).map_or(0.0, |at| self.steps[at].1)
    }

    /// The largest share that a quantile can be told of.
    pub fn reach(&self) -> f64 {
        self.steps.last().map_or(0.0, |(_, below)| *below)
    }

    /// The observations that count, in ascending order.
    pub fn observations(&self) -> &[Observation] {
        &self.sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exact(value: f64) -> Observation {
        Observation { value, weight: 1.0, censored: false }
    }

    fn above(value: f64) -> Observation {
        Observation { value, weight: 1.0, censored: true }
    }

    #[test]
    fn a_known_table() {
        // 6-MP arm of Freireich et al. 1963, weeks in remission: the textbook's table.
        let weeks = [6.0, 6.0, 6.0, 7.0, 10.0, 13.0, 16.0, 22.0, 23.0].map(exact);
        let going_on = [6.0, 9.0, 10.0, 11.0, 17.0, 19.0, 20.0, 25.0, 32.0, 32.0, 34.0, 35.0].map(above);
        let survival = Survival::of(weeks.into_iter().chain(going_on).collect());
        for (week, left) in [
            (6.0, 0.857),
            (7.0, 0.807),
            (10.0, 0.753),
            (13.0, 0.690),
            (16.0, 0.627),
            (22.0, 0.538),
            (23.0, 0.448),
        ] {
            assert!((1.0 - survival.below(week) - left).abs() < 5e-4, "{week}");
        }
        assert_eq!((survival.quantile(0.5), survival.quantile(0.6)), (Some(23.0), None));
        assert!((survival.reach() - 0.552).abs() < 5e-4);
    }

    #[test]
    fn nothing_and_one() {
        assert_eq!(Survival::of(Vec::new()).quantile(0.5), None);
        assert_eq!(Survival::of(vec![exact(3.0)]).quantile(1.0), Some(3.0));
        assert_eq!(Survival::of(vec![above(3.0)]).quantile(0.01), None);
        assert_eq!(Survival::of(vec![exact(f64::NAN)]).observations().len(), 0);
    }

    proptest! {
        #[test]
        fn without_bounds_it_counts(values in prop::collection::vec(0_u8..50, 1..60), share in 0.01..1.0_f64) {
            let survival = Survival::of(values.iter().map(|v| exact(f64::from(*v))).collect());
            let found = survival.quantile(share).unwrap();
            let at_most = values.iter().filter(|v| f64::from(**v) <= found).count() as f64;
            let less = values.iter().filter(|v| f64::from(**v) < found).count() as f64;
            let n = values.len() as f64;
            prop_assert!(at_most / n >= share - 1e-9 && less / n < share);
        }

        #[test]
        fn the_order_changes_nothing_and_bounds_only_raise(values in prop::collection::vec((1_u8..50, any::<bool>()), 1..60)) {
            let list = |reverse: bool, ignore: bool| {
                let mut list: Vec<Observation> = values
                    .iter()
                    .map(|(v, c)| Observation { value: f64::from(*v), weight: 1.0, censored: *c && !ignore })
                    .collect();
                if reverse {
                    list.reverse();
                }
                Survival::of(list)
            };
            prop_assert_eq!(list(false, false), list(true, false));
            for share in [0.25, 0.5, 0.9] {
                let exact = list(false, true).quantile(share).unwrap();
                prop_assert!(list(false, false).quantile(share).is_none_or(|found| found >= exact));
            }
        }
    }
}
