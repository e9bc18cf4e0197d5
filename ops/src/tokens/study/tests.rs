//! Studies of known attempts.

use proptest::prelude::*;

use super::*;
use crate::tokens::estimator::Calibration;

fn sample(id: i64, phase: &str, predicted: u64, actual: u64, truncated: bool) -> Sample {
    Sample {
        id,
        run: "r".into(),
        phase: phase.into(),
        at: Some(id),
        category: "docs".into(),
        complexity: Complexity::Low,
        deliverable_count: 1,
        predicted,
        actual,
        budget: Some(2 * predicted),
        success: !truncated,
        truncated: Some(truncated),
        flags_disagree: false,
        source: None,
        verified: None,
        version: None,
        digest: None,
        features: None,
        rebuilt: false,
    }
}

fn study(list: Vec<Sample>) -> Study {
    Study::of(&Samples { list, left_out: 0 }, &Calibration::default())
}

#[test]
fn attempts_at_one_phase_are_one_task() {
    let list: Vec<Sample> = (0..40)
        .map(|i| sample(i, &format!("p{}", i % 4), 1000, 500 + u64::try_from(i).unwrap(), false))
        .collect();
    let study = study(list);
    assert_eq!(
        (study.all.attempts, study.all.phases, study.repeated_phases, study.most_attempts),
        (40, 4, 4, 10)
    );
    let interval = study.all.truncated_interval.unwrap();
    assert!((interval.high - 0.6024).abs() < 1e-3, "{interval:?}");
    assert_eq!(study.strata[0].upper.need, 5);
}

#[test]
fn a_cut_output_is_a_bound_and_never_a_perfect_prediction() {
    let mut list: Vec<Sample> = (0..12).map(|i| sample(i, &format!("p{i}"), 1000, 900, false)).collect();
    // Without deliverables the ceiling was the prediction, and the output was cut there.
    list.extend(
        (12..17).map(|i| Sample { deliverable_count: 0, ..sample(i, &format!("p{i}"), 8192, 8192, true) }),
    );
    let study = study(list);
    let measures = study.all.measures;
    assert!((measures.smape_percent_median.unwrap() - 10.5263).abs() < 1e-3);
    assert!((measures.covered_percent.unwrap() - 100.0 * 12.0 / 17.0).abs() < 1e-9);
    assert_eq!(study.all.ratio_quantiles, [Some(0.9), None, None, None]);
    assert_eq!(study.all.ratio_p90_of_successes, Some(0.9));
    assert!(study.strata[0].measures.smape_percent_median.is_none(), "the stratum of cut outputs");
    assert!(matches!(study.strata[0].upper.bound, Bound::NotIdentifiable { .. }));
}

#[test]
fn a_small_stratum_borrows_by_the_ladder() {
    let mut list: Vec<Sample> =
        (0..20).map(|i| sample(i, &format!("p{i}"), 1000, 900 + u64::try_from(i).unwrap(), false)).collect();
    list.push(Sample { deliverable_count: 9, ..sample(90, "many", 2000, 900, false) });
    list.push(Sample { complexity: Complexity::High, ..sample(91, "high", 2000, 900, false) });
    list.push(Sample { category: "tests".into(), ..sample(92, "test", 2000, 900, false) });
    let steps: Vec<Step> = study(list).strata.iter().map(|g| g.upper.pooled).collect();
    assert_eq!(steps, [Step::Own, Step::Complexity, Step::Category, Step::All]);
}

#[test]
fn nothing_and_one() {
    let none = study(Vec::new());
    assert_eq!((none.all.attempts, none.strata.len(), none.all.truncated_interval), (0, 0, None));
    let one = study(vec![sample(1, "", 10, 20, false)]);
    assert_eq!(one.all.measures.underestimated_percent, Some(100.0));
    assert!(!one.document().markdown().is_empty());
}

#[test]
fn two_sides_differ_by_what_lies_between_them() {
    let a: Vec<Sample> = (0..30).map(|i| sample(i, &format!("p{i}"), 2000, 1000, false)).collect();
    let b: Vec<Sample> = (0..30).map(|i| sample(i, &format!("q{i}"), 1000, 1000, false)).collect();
    let (a, b): (Vec<&Sample>, Vec<&Sample>) = (a.iter().collect(), b.iter().collect());
    let comparison = Comparison::of("run", ["a", "b"], [&a, &b], 0.95, 1);
    let smape = &comparison.differences[1];
    assert!((smape.value.unwrap() + 66.666_666).abs() < 1e-3 && smape.interval.unwrap().high < -60.0);
    assert_eq!(comparison.sides[0].measures, comparison.sides[0].strata[0].3);
}

proptest! {
    #[test]
    fn the_order_changes_nothing_and_zeros_and_huge_counts_are_held(
        counts in prop::collection::vec((prop_oneof![Just(0), 0_u64..5000, Just(u64::from(u32::MAX))], prop_oneof![Just(0), 0_u64..5000, Just(u64::MAX >> 1)], any::<bool>(), 0_u8..6), 0..40),
    ) {
        let list: Vec<Sample> = counts
            .iter()
            .enumerate()
            .map(|(i, (p, a, cut, phase))| sample(i64::try_from(i).unwrap(), &format!("p{phase}"), *p, *a, *cut))
            .collect();
        let forward = study(list.clone());
        let backward = study(list.into_iter().rev().collect());
        prop_assert_eq!(forward.all.ratio_quantiles, backward.all.ratio_quantiles);
        prop_assert_eq!(forward.all.truncated_interval, backward.all.truncated_interval);
        prop_assert_eq!(forward.all.measures.smape_percent_median, backward.all.measures.smape_percent_median);
        for share in [forward.all.measures.underestimated_percent, forward.all.measures.covered_percent].into_iter().flatten() {
            prop_assert!((0.0..=100.0).contains(&share));
        }
        prop_assert!(!forward.document().markdown().is_empty());
    }
}
