//! The gate of a proposal: what it must hold on runs that it was not fitted to. The claims are fixed here, before any data.

use serde::Serialize;

use super::super::estimator::{self, Coefficients};
use super::super::replay;
use super::super::study::measures::Judged;
use super::super::study::paired::Paired;
use super::evidence::Task;
use crate::report::{Check, number};

/// The judgement of other coefficients.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// Present and proposed predictions for the judging attempts.
    pub paired: Paired,
    /// What must hold.
    pub claims: Vec<Check>,
    /// By category and complexity: attempts, and for how many of them the present and the proposed prediction is enough, as
    /// far as is known.
    pub coverage: Vec<(String, u64, u64, u64)>,
}

impl Verdict {
    /// Whether all holds.
    pub fn is_met(&self) -> bool {
        self.claims.iter().all(|claim| claim.met)
    }
}

/// Judges other coefficients by tasks that they were not fitted to.
pub fn judge(
    tasks: &[Task<'_>],
    present: &Coefficients,
    proposed: &Coefficients,
    rules: &estimator::Calibration,
) -> Verdict {
    let pairs: Vec<[Judged<'_>; 2]> = tasks
        .iter()
        .map(|task| {
            let [_, new] = replay::pair(task.sample, task.features, proposed);
            let [_, old] = replay::pair(task.sample, task.features, present);
            [old, new]
        })
        .collect();
    let paired = Paired::of(&pairs, rules.quantile, rules.seed);
    let claims = claims(&paired);
    let mut coverage = std::collections::BTreeMap::<String, (u64, u64, u64)>::new();
    for (task, pair) in tasks.iter().zip(&pairs) {
        let (category, complexity) = task.stratum();
        let row = coverage.entry(format!("{category}, {}", complexity.as_str())).or_default();
        let enough = |j: &Judged<'_>| u64::from(!task.sample.is_cut() && !j.is_under());
        *row = (row.0 + 1, row.1 + enough(&pair[0]), row.2 + enough(&pair[1]));
    }
    let coverage = coverage.into_iter().map(|(name, (n, old, new))| (name, n, old, new)).collect();
    Verdict { paired, claims, coverage }
}

fn claims(paired: &Paired) -> Vec<Check> {
    let counts = |claim: &str, [old, new]: [u64; 2]| Check {
        claim: claim.to_owned(),
        met: new <= old,
        measured: format!("{old} before, {new} after, of {}", paired.attempts),
    };
    let pinball = paired.interval("pinball loss, tokens");
    let smape = (paired.old.smape_percent_mean, paired.new.smape_percent_mean);
    vec![
        counts("no more attempts are underestimated", paired.underestimated),
        counts("no more outputs are cut at the selected budget", paired.cut),
        Check {
            claim: "the pinball loss falls, all of its 95 % interval below 0".to_owned(),
            met: pinball.is_some_and(|i| i.high < 0.0),
            measured: pinball.map_or_else(
                || "too few phases for an interval".to_owned(),
                |i| format!("[{:.1}, {:.1}] tokens an attempt", i.low, i.high),
            ),
        },
        Check {
            claim: "the mean SMAPE falls".to_owned(),
            met: smape.0.zip(smape.1).is_some_and(|(old, new)| new < old),
            measured: format!("{} % before, {} % after", number(smape.0, 2), number(smape.1, 2)),
        },
    ]
}
