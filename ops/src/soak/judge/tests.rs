//! What the verdict must and must not say.

use super::super::evidence::tests::{counted, look, metric, soak};
use super::super::evidence::{Log, Look, Metric, Reading};
use super::*;

const LOOKS: u64 = 73;

fn never() -> Metric {
    metric("overrides", Rule::Never { hidden_max: 0.05 })
}

fn at_least() -> Metric {
    metric("conversion", Rule::AtLeast { rate: 0.85, margin: 0.05 })
}

/// A whole soak of one metric.
fn judged(metric: Metric, reading: impl Fn(u64) -> Reading) -> Judgement {
    judge(&log(metric, LOOKS, reading))
}

fn log(metric: Metric, looks: u64, reading: impl Fn(u64) -> Reading) -> Log {
    let (mut log, _) = Log::begin(soak(vec![metric]));
    for number in 0..looks {
        log.add(look(number * 300, vec![reading(number)]));
    }
    log
}

#[test]
fn good_is_said_only_with_evidence_for_it() {
    let good = judged(never(), |look| counted(look * 2, look * 2));
    assert_eq!(
        (good.verdict, good.metrics[0].because.as_str()),
        (Verdict::Go, "none of 144 is bad: at most 2.06 % are")
    );
    let few = judged(never(), |look| counted(look.min(10), look.min(10)));
    assert_eq!((few.verdict, few.metrics[0].needed), (Verdict::Insufficient, Some(49)));
    let healthy = judged(at_least(), |look| counted(look * 10, look * 9));
    assert_eq!(healthy.verdict, Verdict::Go);
    assert!(healthy.metrics[0].bounds.lower >= 0.8 && healthy.metrics[0].detectable.unwrap() > 0.75);
    let few = judged(at_least(), |look| counted(look / 10, look / 10));
    assert_eq!(few.verdict, Verdict::Insufficient);
    assert!(few.metrics[0].needed.unwrap() > 5);
}

#[test]
fn one_bad_unit_stays_bad() {
    let one = judged(never(), |look| counted(look * 2, look * 2 - u64::from(look >= 7)));
    assert_eq!((one.verdict, one.metrics[0].decided_at), (Verdict::NoGo, Some(8)));
    // Also when looking was bad at other times.
    let blind = judged(never(), |look| match look {
        7 => counted(2, 1),
        _ => Reading::Failed("timed out".to_owned()),
    });
    assert_eq!(blind.verdict, Verdict::NoGo);
}

#[test]
fn a_low_rate_is_found_early() {
    let low = judged(at_least(), |look| counted(look * 10, look * 7));
    assert_eq!(low.verdict, Verdict::NoGo);
    assert!(low.metrics[0].decided_at.unwrap() < 15, "{:?}", low.metrics[0]);
    assert!(low.metrics[0].bounds.upper < 0.85);
}

#[test]
fn nothing_counted_is_never_good() {
    for metric in [never(), at_least()] {
        assert_eq!(judged(metric.clone(), |_| counted(0, 0)).verdict, Verdict::Insufficient);
        let failed = judged(metric.clone(), |_| Reading::Failed("no".to_owned()));
        assert_eq!((failed.verdict, failed.metrics[0].failed), (Verdict::Invalid, LOOKS));
        let (empty, _) = Log::begin(soak(vec![metric.clone()]));
        assert_eq!(judge(&empty).verdict, Verdict::Insufficient);
        let last = judged(metric, |look| match look {
            72 => Reading::Failed("no".to_owned()),
            look => counted(look * 10, look * 10),
        });
        assert_eq!(last.verdict, Verdict::Insufficient);
    }
}

#[test]
fn a_stuck_source_is_not_good() {
    let quiet = Metric { quiet_max_s: Some(3600), ..never() };
    let stuck = judged(quiet, |look| counted(look.min(30) * 10, look.min(30) * 10));
    assert_eq!(stuck.verdict, Verdict::Insufficient);
    assert!(stuck.metrics[0].because.starts_with("nothing new for 12600 s"), "{:?}", stuck.metrics[0]);
}

#[test]
fn impossible_counts_are_not_believed() {
    let lies: [fn(u64) -> Reading; 4] = [
        |look| counted(look, look + 1),
        |look| counted(100 - look, 100 - look),
        |look| counted(200, 100 - look),
        |look| counted(200, 100 + look),
    ];
    for (index, lie) in lies.into_iter().enumerate() {
        let judgement = judged(at_least(), lie);
        assert_eq!(judgement.verdict, Verdict::Invalid, "lie {index}: {judgement:?}");
    }
}

#[test]
fn what_a_look_tried_adds_up() {
    let probes = Metric { counting: Counting::ThisLook, ..never() };
    let judgement = judged(probes, |_| counted(5, 5));
    assert_eq!((judgement.verdict, judgement.metrics[0].units), (Verdict::Go, 365));
}

#[test]
fn a_soak_that_was_not_watched_is_not_good() {
    let good = |look: u64| counted(look * 2, look * 2);
    let early = judge(&log(never(), 72, good));
    assert_eq!(
        (early.verdict, early.because),
        (Verdict::Insufficient, vec!["21300 s of 21600 s are over".to_owned()])
    );
    let without = |gone: fn(usize) -> bool| {
        let (mut log, _) = Log::begin(soak(vec![never()]));
        for number in (0..73_usize).filter(|number| !gone(*number)) {
            log.add(look(number as u64 * 300, vec![good(number as u64)]));
        }
        judge(&log)
    };
    assert_eq!(without(|_| false).verdict, Verdict::Go);
    assert_eq!(without(|number| number == 40).verdict, Verdict::Go);
    assert_eq!(
        without(|number| (40..43).contains(&number)).because,
        ["nobody looked for 1200 s; at most 900 s are allowed"]
    );
    assert_eq!(without(|number| number % 3 == 1).verdict, Verdict::Invalid);
    let mut set = log(never(), LOOKS, good);
    set.looks[20] = Look { up_ms: set.looks[20].up_ms - 60_000, ..set.looks[20].clone() };
    assert_eq!(judge(&set).verdict, Verdict::Invalid);
}

#[test]
fn the_error_rate_is_shared_by_the_rates() {
    let both = soak(vec![at_least(), metric("other", Rule::AtLeast { rate: 0.5, margin: 0.1 }), never()]);
    assert!((both.error_rate_each() - 0.025).abs() < 1e-12);
    assert!((soak(vec![never()]).error_rate_each() - 0.05).abs() < 1e-12);
}
