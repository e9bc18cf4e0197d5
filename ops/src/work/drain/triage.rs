//! Whether it is worth going on: per run and per fingerprint, as a sequential decision with a price.
//!
//! A run or a cluster is stopped when the chance that its next attempt is worth something falls below the price, under
//! a uniform prior. A fingerprint seen in several runs that yield nothing is systemic and stops all such runs that show
//! it; a run that yields fails for reasons of its own. What is stopped is not given up: a part of it, chosen by a seed,
//! goes on being attempted, and one success there opens everything again.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::random::Random;

/// What stopping costs and how it is tested.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TriagePolicy {
    /// Stop when the chance of a yield is below this; 0 never stops.
    pub price: f64,
    /// In how many runs that yield nothing a fingerprint is systemic; 0 for never.
    pub systemic_runs: u64,
    /// Share of stopped phases that are attempted all the same.
    pub hold_out: f64,
    /// Decides which.
    pub seed: u64,
}

impl Default for TriagePolicy {
    fn default() -> Self {
        // Three would save a fifth more and lose three times as much: `bench triage`.
        Self { price: 0.05, systemic_runs: 5, hold_out: 0.1, seed: 0 }
    }
}

impl TriagePolicy {
    /// Stops nothing.
    pub fn off() -> Self {
        Self { price: 0.0, systemic_runs: 0, hold_out: 0.0, seed: 0 }
    }

    /// Whether a phase is attempted though its run is stopped: the same answer in every process.
    pub fn holds_out(&self, phase_pk: i64) -> bool {
        Random::seeded(self.seed ^ phase_pk.cast_unsigned().wrapping_mul(0xD6E8_FEB8_6659_FD93))
            .chance(self.hold_out)
    }
}

/// The failures of one fingerprint.
#[derive(Debug, Clone, Default)]
pub(super) struct Cluster {
    pub(super) template: String,
    /// The runs that showed it since it was last open, and have yielded nothing.
    pub(super) runs: BTreeSet<usize>,
    /// Attempts that ended in it, ever.
    pub(super) failures: u64,
    /// Attempts since it was last open.
    recent: u64,
    pub(super) is_stopped: bool,
}

/// What to do after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// Stop this run, for this reason.
    Stop(usize, &'static str),
    /// Stop every run that was not sampled yet: nothing but this failure was seen so far.
    StopUnsampled(&'static str),
    /// Open these runs again.
    Reopen(Vec<usize>),
}

/// How an attempt ended, as far as triage cares.
#[derive(Debug, Clone, Copy)]
pub(super) struct Result<'a> {
    pub(super) run: usize,
    /// Whether it was a success or left an event.
    pub(super) is_worth: bool,
    /// Chance that the next attempt of the run is worth something, after this one.
    pub(super) chance: f64,
    /// Whether any attempt of the run was worth something.
    pub(super) has_yielded: bool,
    /// Fingerprint and template of a failure that can be systemic.
    pub(super) fingerprint: Option<(&'a str, &'a str)>,
}

/// All clusters.
#[derive(Debug, Default)]
pub(super) struct Triage {
    pub(super) clusters: BTreeMap<String, Cluster>,
    /// Attempts that ended in anything but a systemic failure.
    others: u64,
    attempts: u64,
    /// Runs that a cluster or the price has stopped.
    stopped: BTreeSet<usize>,
    has_stopped_unsampled: bool,
}

impl Triage {
    /// How often this failure was seen.
    pub(super) fn seen(&self, fingerprint: &str) -> u64 {
        self.clusters.get(fingerprint).map_or(0, |cluster| cluster.failures)
    }

    /// What follows from an attempt.
    pub(super) fn ended(&mut self, policy: &TriagePolicy, result: &Result<'_>) -> Vec<Decision> {
        self.attempts += 1;
        if result.is_worth {
            self.others += 1;
            return self.reopened(result.run);
        }
        let mut decisions = Vec::new();
        match result.fingerprint {
            None => self.others += 1,
            Some((id, template)) => self.clustered(policy, result, id, template, &mut decisions),
        }
        if decisions.is_empty() && result.chance < policy.price {
            self.stopped.insert(result.run);
            decisions.push(Decision::Stop(result.run, "price"));
        }
        decisions
    }

    fn clustered(
        &mut self,
        policy: &TriagePolicy,
        &Result { run, has_yielded, .. }: &Result<'_>,
        id: &str,
        template: &str,
        decisions: &mut Vec<Decision>,
    ) {
        let cluster = self.clusters.entry(id.to_owned()).or_default();
        cluster.template.clear();
        cluster.template.push_str(template);
        cluster.failures += 1;
        if has_yielded {
            return;
        }
        cluster.recent += 1;
        cluster.runs.insert(run);
        let is_only = cluster.failures == self.attempts;
        if cluster.is_stopped {
            if self.stopped.insert(run) {
                decisions.push(Decision::Stop(run, "systemic"));
            }
            return;
        }
        let chance = 1.0 / (cluster.recent as f64 + 2.0);
        let is_systemic = policy.systemic_runs > 0 && cluster.runs.len() as u64 >= policy.systemic_runs;
        if !is_systemic && (cluster.runs.len() < 2 || chance >= policy.price) {
            return;
        }
        cluster.is_stopped = true;
        for run in &cluster.runs {
            self.stopped.insert(*run);
            decisions.push(Decision::Stop(*run, "systemic"));
        }
        if is_systemic && is_only && self.others == 0 {
            self.has_stopped_unsampled = true;
            decisions.push(Decision::StopUnsampled("presumed_systemic"));
        }
    }

    /// A success opens the clusters that its run belongs to, and what was presumed.
    fn reopened(&mut self, run: usize) -> Vec<Decision> {
        let presumed = std::mem::take(&mut self.has_stopped_unsampled);
        let mut open = BTreeSet::new();
        if self.stopped.remove(&run) {
            open.insert(run);
        }
        for cluster in self.clusters.values_mut() {
            let is_in = cluster.runs.remove(&run);
            if cluster.is_stopped && (presumed || is_in) {
                cluster.is_stopped = false;
                cluster.recent = 0;
                open.append(&mut cluster.runs);
                open.extend(is_in.then_some(run));
            }
        }
        for run in &open {
            self.stopped.remove(run);
        }
        let mut decisions = Vec::new();
        if presumed {
            decisions.push(Decision::Reopen(Vec::new()));
        }
        if !open.is_empty() {
            decisions.push(Decision::Reopen(open.into_iter().collect()));
        }
        decisions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_three_runs() -> TriagePolicy {
        TriagePolicy { systemic_runs: 3, ..TriagePolicy::default() }
    }

    fn fail(triage: &mut Triage, policy: &TriagePolicy, run: usize, id: &str) -> Vec<Decision> {
        let fingerprint = Some((id, id));
        triage.ended(policy, &Result { run, is_worth: false, chance: 0.3, has_yielded: false, fingerprint })
    }

    fn succeed(triage: &mut Triage, policy: &TriagePolicy, run: usize) -> Vec<Decision> {
        triage
            .ended(policy, &Result { run, is_worth: true, chance: 0.6, has_yielded: true, fingerprint: None })
    }

    #[test]
    fn a_run_that_yields_fails_for_reasons_of_its_own() {
        let (mut triage, policy) = (Triage::default(), in_three_runs());
        for run in [0, 1] {
            assert_eq!(fail(&mut triage, &policy, run, "f"), []);
        }
        succeed(&mut triage, &policy, 1);
        let yields =
            Result { run: 2, is_worth: false, chance: 0.4, has_yielded: true, fingerprint: Some(("f", "f")) };
        for _ in 0..40 {
            assert_eq!(triage.ended(&policy, &yields), []);
        }
        assert_eq!(fail(&mut triage, &policy, 3, "f"), []);
        let stop = |run| Decision::Stop(run, "systemic");
        assert_eq!(fail(&mut triage, &policy, 4, "f"), [stop(0), stop(3), stop(4)]);
        // A stopped cluster leaves alone who yields.
        assert_eq!(triage.ended(&policy, &yields), []);
        assert_eq!(triage.seen("f"), 45);
    }

    #[test]
    fn the_same_failure_in_three_runs_stops_all_that_show_it() {
        let (mut triage, policy) = (Triage::default(), in_three_runs());
        succeed(&mut triage, &policy, 9);
        assert_eq!(fail(&mut triage, &policy, 0, "f"), []);
        assert_eq!(fail(&mut triage, &policy, 0, "f"), []);
        assert_eq!(fail(&mut triage, &policy, 1, "g"), []);
        assert_eq!(fail(&mut triage, &policy, 1, "f"), []);
        let stop = |run| Decision::Stop(run, "systemic");
        assert_eq!(fail(&mut triage, &policy, 2, "f"), [stop(0), stop(1), stop(2)]);
        assert_eq!(fail(&mut triage, &policy, 3, "f"), [stop(3)]);
        assert_eq!(fail(&mut triage, &policy, 3, "f"), []);
        assert_eq!(succeed(&mut triage, &policy, 1), [Decision::Reopen(vec![0, 1, 2, 3])]);
        assert_eq!(fail(&mut triage, &policy, 0, "f"), []);
    }

    #[test]
    fn where_nothing_else_was_seen_the_rest_is_presumed_and_a_success_takes_it_back() {
        let (mut triage, policy) = (Triage::default(), in_three_runs());
        fail(&mut triage, &policy, 0, "f");
        fail(&mut triage, &policy, 1, "f");
        let last = fail(&mut triage, &policy, 2, "f");
        assert_eq!(last.last(), Some(&Decision::StopUnsampled("presumed_systemic")));
        let opened = succeed(&mut triage, &policy, 7);
        assert_eq!(opened, [Decision::Reopen(vec![]), Decision::Reopen(vec![0, 1, 2])]);
    }

    #[test]
    fn a_run_is_stopped_when_the_next_attempt_is_not_worth_its_price() {
        let (mut triage, policy) =
            (Triage::default(), TriagePolicy { price: 0.2, ..TriagePolicy::default() });
        let none = |chance| Result { run: 4, is_worth: false, chance, has_yielded: false, fingerprint: None };
        assert_eq!(triage.ended(&policy, &none(0.25)), []);
        assert_eq!(triage.ended(&policy, &none(0.19)), [Decision::Stop(4, "price")]);
        let off = TriagePolicy::off();
        for run in 0..100 {
            assert_eq!(fail(&mut Triage::default(), &off, run, "f"), []);
        }
    }

    #[test]
    fn the_hold_out_is_the_same_for_a_seed_and_has_its_size() {
        let policy = TriagePolicy { seed: 5, ..TriagePolicy::default() };
        let held = (0..10_000).filter(|pk| policy.holds_out(*pk)).count();
        assert!((850..1150).contains(&held), "{held}");
        let other = TriagePolicy { seed: 6, ..policy.clone() };
        assert!((0..100).any(|pk| policy.holds_out(pk) != other.holds_out(pk)));
        assert!(!(0..1000).any(|pk| TriagePolicy::off().holds_out(pk)));
    }
}
