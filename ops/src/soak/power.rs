//! What a soak can find out: whole soaks with a known truth, run through the code that judges.

use std::time::Duration;

use serde::Serialize;

use super::evidence::{Log, Look, Reading, Soak};
use super::judge::{Verdict, judge};
use crate::clock::Stamp;
use crate::random::Random;

/// A truth, and how much of it comes by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Scenario {
    /// The true rate of good units, 0 to 1.
    pub rate: f64,
    /// Units within the window, spread evenly over its looks.
    pub units: u64,
}

/// How often each verdict came out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Outcome {
    /// The truth.
    pub scenario: Scenario,
    /// Soaks that were run.
    pub soaks: u64,
    /// Those that ended GO.
    pub go: u64,
    /// Those that ended NO-GO.
    pub no_go: u64,
    /// Those that ended neither way.
    pub undecided: u64,
    /// Soaks in which the share of good units was below the stated rate at some look: what a bare threshold does.
    pub threshold_no_go: u64,
    /// The look, from 1, by which half of the NO-GO were decided.
    pub no_go_median_look: Option<usize>,
}

/// Runs `soaks` soaks of a scenario on the terms of `soak`, which has one metric with a rate. Deterministic.
pub fn power(soak: &Soak, rate: f64, scenario: Scenario, soaks: u64, seed: u64) -> Outcome {
    let mut random = Random::seeded(seed ^ scenario.rate.to_bits() ^ scenario.units.rotate_left(32));
    let mut outcome = Outcome {
        scenario,
        soaks,
        go: 0,
        no_go: 0,
        undecided: 0,
        threshold_no_go: 0,
        no_go_median_look: None,
    };
    let mut decided = Vec::new();
    for _ in 0..soaks {
        let log = simulated(soak, scenario, &mut random);
        outcome.threshold_no_go += u64::from(is_ever_below(&log, rate));
        let judgement = judge(&log);
        match judgement.verdict {
            Verdict::Go => outcome.go += 1,
            Verdict::NoGo => {
                outcome.no_go += 1;
                decided.extend(judgement.metrics[0].decided_at);
            }
            Verdict::Insufficient | Verdict::Invalid => outcome.undecided += 1,
        }
    }
    decided.sort_unstable();
    outcome.no_go_median_look = decided.get(decided.len() / 2).copied();
    outcome
}

fn simulated(soak: &Soak, scenario: Scenario, random: &mut Random) -> Log {
    let start = Stamp::parse(&soak.started).expect("the terms were checked");
    let (mut log, _) = Log::begin(soak.clone());
    let looks = soak.window_s / soak.every_s;
    let (mut units, mut good) = (0, 0);
    for number in 0..=looks {
        while units < scenario.units * number / looks {
            units += 1;
            good += u64::from(random.chance(scenario.rate));
        }
        let at = Duration::from_secs(number * soak.every_s);
        log.looks.push(Look {
            at: start.plus(at).iso(),
            process: "simulated".to_owned(),
            up_ms: number * soak.every_s * 1000,
            readings: vec![Reading::Counted { units, good, bad: Vec::new() }],
        });
    }
    log
}

fn is_ever_below(log: &Log, rate: f64) -> bool {
    log.looks.iter().any(|look| match look.readings[0] {
        Reading::Counted { units, good, .. } => units > 0 && (good as f64) < rate * units as f64,
        Reading::Failed(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::super::evidence::Rule;
    use super::super::evidence::tests::{metric, soak};
    use super::*;

    /// The error rates that are promised, from the code that judges: 2,000 soaks of 72 looks each.
    #[test]
    fn error_rates_are_those_that_are_stated() {
        let terms = soak(vec![metric("conversion", Rule::AtLeast { rate: 0.85, margin: 0.05 })]);
        let run = |rate, units| power(&terms, 0.85, Scenario { rate, units }, 2000, 1);
        let percent = |part: u64| part as f64 / 20.0;
        let baseline = run(0.85, 288);
        assert!(percent(baseline.no_go) <= 5.0, "{baseline:?}");
        let healthy = run(0.88, 288);
        assert!(percent(healthy.no_go) <= 5.0, "{healthy:?}");
        assert!((68.0..78.0).contains(&percent(healthy.threshold_no_go)), "{healthy:?}");
        let very_bad = run(0.70, 288);
        assert!(percent(very_bad.no_go) >= 99.0, "{very_bad:?}");
        assert!(very_bad.no_go_median_look.unwrap() <= 16, "{very_bad:?}");
        let bad = run(0.80, 1440);
        assert!(percent(bad.no_go) >= 95.0, "{bad:?}");
        // A rate at the floor is called good no more often than stated.
        assert!(percent(bad.go) <= 5.0, "{bad:?}");
        assert_eq!(run(0.9, 288), run(0.9, 288));
    }
}
