//! Analyses of known samples, and the laws of merging.

use proptest::prelude::*;

use super::super::summary::{Summary, Verdict};
use super::*;
use crate::report::Style;
use crate::stats;

const EVENT: TokenEvent<'_> = TokenEvent {
    id: 1,
    category: "implementation",
    complexity: "low",
    deliverable_count: 1,
    predicted: 100,
    actual: 100,
    selected_budget: None,
    success: true,
    truncated: Some(false),
    smape_percent: None,
    waste_ratio: None,
    underestimated: None,
};

fn analyse<'a>(success_only: bool, events: impl IntoIterator<Item = TokenEvent<'a>>) -> Analysis {
    let mut analysis = Analysis::new(Options { success_only });
    events.into_iter().for_each(|event| analysis.push(&event));
    analysis
}

/// Six clean measurements of one stratum.
fn clean() -> Vec<TokenEvent<'static>> {
    let counts = [(5200, 1218), (5200, 1117), (5200, 1588), (5200, 1768), (2600, 3485), (2600, 3646)];
    counts
        .into_iter()
        .zip(1..)
        .map(|((predicted, actual), id)| TokenEvent { id, predicted, actual, ..EVENT })
        .collect()
}

#[track_caller]
fn assert_close(actual: Option<f64>, expected: f64) {
    assert!((actual.unwrap() - expected).abs() < 5e-5, "{actual:?} is not {expected}");
}

#[test]
fn cost_metrics_of_a_clean_sample() {
    let summary = analyse(false, clean()).finish();
    assert_eq!((summary.cost.rows, summary.attempts.underestimated), (6, 2));
    assert_close(summary.cost.predicted_mean, 4333.3333);
    assert_close(summary.cost.actual_mean, 2137.0);
    assert_close(summary.cost.smape_percent_mean, 86.8118);
    assert_close(summary.cost.smape_percent_median, 102.4653);
    assert_close(summary.cost.waste_ratio_mean, 2.7666);
    assert_close(summary.cost.waste_ratio_median, 3.1079);
    assert_close(summary.cost.waste_ratio_p90, 4.4623);
    assert_close(summary.cost.waste_ratio_max, 4.6553);
    assert_eq!(summary.strata.len(), 1);
    assert_eq!(summary.strata[0].cost, summary.cost);
}

#[test]
fn gates_look_at_all_attempts_whatever_was_asked_for() {
    let cut = TokenEvent { success: false, truncated: Some(true), predicted: 4000, actual: 8192, ..EVENT };
    let failed = TokenEvent { success: false, predicted: 300, actual: 100, ..EVENT };
    for success_only in [false, true] {
        let summary = analyse(success_only, [EVENT, cut, failed, EVENT]).finish();
        assert_eq!(summary.gates[0].percent, Some(25.0));
        assert!(summary.gates.iter().all(|gate| gate.verdict == Verdict::NotMet));
        assert_eq!(summary.cost.rows, if success_only { 2 } else { 3 });
        assert_eq!(summary.lower_bounds.rows, 1);
        assert_eq!(summary.lower_bounds.ratio_median, Some(2.048));
    }
}

#[test]
fn a_gate_is_met_at_its_limit_and_not_beyond() {
    let cut = TokenEvent { truncated: Some(true), ..EVENT };
    let under = TokenEvent { actual: 101, ..EVENT };
    let verdicts = |events: &[(usize, TokenEvent<'static>)]| {
        let events = events.iter().flat_map(|(n, event)| std::iter::repeat_n(*event, *n));
        analyse(false, events).finish().gates.iter().map(|gate| gate.verdict).collect::<Vec<_>>()
    };
    assert_eq!(verdicts(&[(93, EVENT), (2, cut), (5, under)]), [Verdict::Met, Verdict::Met]);
    assert_eq!(verdicts(&[(92, EVENT), (3, cut), (5, under)]), [Verdict::NotMet, Verdict::Met]);
    assert_eq!(verdicts(&[(92, EVENT), (2, cut), (6, under)]), [Verdict::Met, Verdict::NotMet]);
    assert_eq!(verdicts(&[]), [Verdict::Insufficient, Verdict::Insufficient]);
}

#[test]
fn a_cut_below_the_prediction_is_censored() {
    let cut = TokenEvent { truncated: Some(true), predicted: 9000, actual: 8192, ..EVENT };
    let tally = analyse(false, [cut]).finish().attempts;
    assert_eq!((tally.underestimated, tally.censored), (0, 1));
}

#[test]
fn unrecorded_truncation_is_no_pass() {
    let summary = analyse(false, [TokenEvent { truncated: None, ..EVENT }]).finish();
    assert_eq!(summary.gates[0].verdict, Verdict::Insufficient);
    assert!(!summary.gates_met());
}

#[test]
fn events_without_both_counts_are_no_measurement() {
    let none = TokenEvent { predicted: 0, actual: 50, ..EVENT };
    let summary = analyse(false, [none, TokenEvent { actual: 0, ..EVENT }]).finish();
    assert_eq!((summary.attempts.attempts, summary.attempts.underestimated, summary.cost.rows), (2, 1, 0));
    assert_eq!(summary.cost.smape_percent_mean, None);
}

#[test]
fn wrong_stored_metrics_are_found() {
    let right =
        TokenEvent { smape_percent: Some(0.0), waste_ratio: Some(1.0), underestimated: Some(false), ..EVENT };
    let wrong = TokenEvent {
        id: 7,
        predicted: 200,
        actual: 150,
        smape_percent: Some(99.0),
        waste_ratio: Some(13.3),
        underestimated: Some(true),
        ..EVENT
    };
    let groundless = TokenEvent { id: 3, predicted: 0, smape_percent: Some(200.0), ..EVENT };
    let found = analyse(false, [wrong, right, groundless]).finish().mismatches;
    assert_eq!((found.rows, found.smape_percent, found.waste_ratio, found.underestimated), (2, 2, 1, 1));
    let listed: Vec<_> = found.first.iter().map(|m| (m.id, m.column, m.stored)).collect();
    assert_eq!(
        listed,
        [
            (3, "smape_percent", 200.0),
            (7, "smape_percent", 99.0),
            (7, "waste_ratio", 13.3),
            (7, "underestimated", 1.0)
        ]
    );
    assert_eq!(found.first[0].recomputed, None);
    assert_close(found.first[1].recomputed, 28.5714);
    assert_close(found.first[2].recomputed, 1.3333);
    assert_eq!(found.first[3].recomputed, Some(0.0));
}

#[test]
fn lists_hold_the_smallest_ids_and_counts_hold_all() {
    let wrong = |id| TokenEvent { id, waste_ratio: Some(9.0), ..EVENT };
    let mut analysis = analyse(false, (0..50).rev().map(wrong));
    (100..150).rev().for_each(|id| analysis.push_unreadable(id, "success"));
    let summary = analysis.finish();
    assert_eq!((summary.mismatches.rows, summary.unreadable.rows), (50, 50));
    assert!(summary.mismatches.first.iter().map(|m| m.id).eq(0..20));
    assert!(summary.unreadable.first.iter().map(|u| u.id).eq(100..120));
}

#[test]
fn hazards_are_counted() {
    let hazards = analyse(
        false,
        [
            TokenEvent { complexity: "SIMPLE", deliverable_count: 0, ..EVENT },
            TokenEvent { actual: 9000, selected_budget: Some(8192), ..EVENT },
            TokenEvent { selected_budget: Some(100), ..EVENT },
        ],
    )
    .finish()
    .hazards;
    assert_eq!(hazards, Hazards { unknown_complexity: 1, zero_deliverables: 1, actual_over_budget: 1 });
}

#[test]
fn strata_are_canonical_and_sorted() {
    let event = |category, complexity, deliverable_count| TokenEvent {
        category,
        complexity,
        deliverable_count,
        ..EVENT
    };
    let events = [
        event("testing", "Medium", 1),
        event("tests", "med", 3),
        event("Docs", "low", 16),
        event("documentation", "low", 0),
        event("tests", "low", 4),
    ];
    let strata: Vec<_> = analyse(false, events)
        .finish()
        .strata
        .into_iter()
        .map(|s| (s.category, s.complexity.as_str(), s.deliverables.as_str(), s.attempts.attempts))
        .collect();
    let expected = [
        ("docs", "low", "0", 1),
        ("docs", "low", "16+", 1),
        ("tests", "low", "4-7", 1),
        ("tests", "medium", "1-3", 2),
    ];
    assert_eq!(strata, expected.map(|(c, x, d, n)| (c.to_owned(), x, d, n)));
    assert_eq!([7, 8, 15, 16].map(|n| Bucket::of(n).as_str()), ["4-7", "8-15", "8-15", "16+"]);
}

#[test]
fn a_count_beyond_32_bits_is_unreadable() {
    let summary = analyse(false, [TokenEvent { predicted: 1 << 32, ..EVENT }, EVENT]).finish();
    assert_eq!((summary.unreadable.rows, summary.attempts.attempts), (1, 1));
    assert_eq!(summary.unreadable.first[0].column, "predicted_output_tokens");
    assert!(!summary.gates_met());
}

#[test]
fn the_report_of_a_sample() {
    let mut events = clean();
    events.push(TokenEvent {
        id: 9,
        truncated: Some(true),
        predicted: 4000,
        actual: 8192,
        success: false,
        ..EVENT
    });
    events.push(TokenEvent { id: 10, waste_ratio: Some(2.0), ..EVENT });
    let mut analysis = analyse(true, events);
    analysis.push_unreadable(11, "success");
    let text = analysis.finish().document("sample.db").terminal(Style { colour: false });
    for line in [
        "  source                               sample.db",
        "  truncated                            1 (12.5 %)",
        "  not met  truncation at most 2 %: 12.5 % (1 of 8); among successes alone it would read 0.0 %",
        "  not met  every row could be read: 1 unreadable",
        "Cost of successful attempts that were not truncated",
        "  implementation  low         1-3           8        7          1      3         7",
        "  implementation  low         1-3           1                      2.048  2.048",
        "  10  waste_ratio  2.000000    1.000000",
        "  11  success",
    ] {
        assert!(text.contains(line), "{line}\nnot in\n{text}");
    }
    let empty = Analysis::default().finish().document("x").markdown();
    assert!(
        empty.contains(
            "- [ ] truncation at most 2 %: INSUFFICIENT, – (0 of 0); among successes alone it would read –"
        ),
        "{empty}"
    );
}

#[test]
fn the_artifact_of_one_event() {
    let event = TokenEvent { predicted: 150, underestimated: Some(true), ..EVENT };
    let tally = serde_json::json!({
        "attempts": 1, "success": 1, "truncated": 0, "truncation_unrecorded": 0, "underestimated": 0,
        "censored": 0, "success_truncated": 0, "success_underestimated": 0,
    });
    let cost = serde_json::json!({
        "rows": 1, "predicted_mean": 150.0, "actual_mean": 100.0, "smape_percent_mean": 40.0,
        "smape_percent_median": 40.0, "waste_ratio_mean": 1.5, "waste_ratio_median": 1.5,
        "waste_ratio_p90": 1.5, "waste_ratio_max": 1.5,
    });
    let bounds = serde_json::json!({"rows": 0, "ratio_median": null, "ratio_max": null});
    let gate = |name: &str, limit_percent: u64| {
        serde_json::json!({
            "name": name, "limit_percent": limit_percent, "count": 0, "of": 1, "percent": 0.0, "percent_of_successes": 0.0,
            "verdict": "met",
        })
    };
    let expected = serde_json::json!({
        "format": 1,
        "options": {"success_only": true},
        "attempts": tally,
        "gates": [gate("truncation", 2), gate("underestimation", 5)],
        "cost": cost,
        "lower_bounds": bounds,
        "strata": [{
            "category": "implementation", "complexity": "low", "deliverables": "1-3",
            "attempts": tally, "cost": cost, "lower_bounds": bounds,
        }],
        "mismatches": {
            "rows": 1, "smape_percent": 0, "waste_ratio": 0, "underestimated": 1,
            "first": [{"id": 1, "column": "underestimated", "stored": 1.0, "recomputed": 0.0}],
        },
        "unreadable": {"rows": 0, "first": []},
        "hazards": {"unknown_complexity": 0, "zero_deliverables": 0, "actual_over_budget": 0},
    });
    assert_eq!(serde_json::to_value(analyse(true, [event]).finish()).unwrap(), expected);
}

fn any_event() -> impl Strategy<Value = TokenEvent<'static>> {
    let category = prop::sample::select(vec!["tests", "testing", "docs", "x", "y z", ""]);
    let complexity = prop::sample::select(vec!["low", "HIGH", "maint", "odd"]);
    (
        0_i64..400,
        category,
        complexity,
        0_u64..20,
        0_u64..5000,
        0_u64..5000,
        any::<(bool, Option<bool>)>(),
        any::<Option<bool>>(),
    )
        .prop_map(
            |(
                id,
                category,
                complexity,
                deliverable_count,
                predicted,
                actual,
                (success, truncated),
                under,
            )| {
                let waste_ratio = (id % 3 == 0).then_some(1.0);
                TokenEvent {
                    id,
                    category,
                    complexity,
                    deliverable_count,
                    predicted,
                    actual,
                    success,
                    truncated,
                    waste_ratio,
                    underestimated: under,
                    ..EVENT
                }
            },
        )
}

fn events(least: usize) -> impl Strategy<Value = Vec<TokenEvent<'static>>> {
    prop::collection::vec(any_event(), least..120)
}

fn json(summary: &Summary) -> String {
    serde_json::to_string(summary).unwrap()
}

proptest! {
    #[test]
    fn merging_in_order_is_one_pass(events in events(0), cut in 0_usize..120) {
        let (head, tail) = events.split_at(cut.min(events.len()));
        let split = |events: &[TokenEvent<'static>]| analyse(false, events.iter().copied());
        let merged = split(head).merge(split(tail)).finish();
        // Equal ids are listed in the order of the source, so even the lists agree.
        prop_assert_eq!(json(&merged), json(&split(&events).finish()));
    }

    #[test]
    fn the_order_of_events_changes_nothing_but_rounding(events in events(1)) {
        let forward = analyse(false, events.iter().copied()).finish();
        let backward = analyse(false, events.iter().rev().copied()).finish();
        prop_assert_eq!(forward.attempts, backward.attempts);
        prop_assert_eq!(forward.cost.smape_percent_median, backward.cost.smape_percent_median);
        prop_assert_eq!(forward.cost.waste_ratio_p90, backward.cost.waste_ratio_p90);
        prop_assert_eq!(forward.lower_bounds, backward.lower_bounds);
        let mean = |summary: &Summary| summary.cost.smape_percent_mean.unwrap_or(0.0);
        prop_assert!((mean(&forward) - mean(&backward)).abs() < 1e-9);
    }

    #[test]
    fn metrics_agree_with_values_written_down(events in events(1)) {
        let summary = analyse(false, events.iter().copied()).finish();
        let measured: Vec<Metrics> = events
            .iter()
            .filter(|e| e.truncated != Some(true))
            .filter_map(|e| Metrics::of(e.predicted, e.actual))
            .collect();
        let mut smape: Vec<f64> = measured.iter().map(|m| m.smape_percent).collect();
        let mut waste: Vec<f64> = measured.iter().map(|m| m.waste_ratio).collect();
        prop_assert_eq!(summary.cost.rows, measured.len() as u64);
        prop_assert_eq!(summary.cost.smape_percent_median, stats::median(&mut smape));
        prop_assert_eq!(summary.cost.waste_ratio_p90, stats::percentile(&mut waste, 0.9));
        let counted: u64 = summary.strata.iter().map(|s| s.attempts.attempts).sum();
        prop_assert_eq!(counted, events.len() as u64);
    }
}
