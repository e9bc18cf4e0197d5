//! What triage saves and what it costs, on backlogs whose truth is known: with the engine's own session, without a
//! database.
//!
//! A backlog has the shape of a real one. Some of its runs share a planted failure and yield next to nothing, the others
//! yield often and fail in their own ways. What every phase would do is fixed before, so draining everything is known.

use serde::Serialize;

use super::journal::{Claimed, Ended, Event};
use super::limits::{Limits, Settings};
use super::report::HoldOut;
use super::session::{Next, Session};
use super::triage::TriagePolicy;
use crate::phases::{Candidate, PhaseState, Selection};
use crate::random::Random;
use crate::stats;

/// Phases that wait, and the runs that they are in.
const PHASES: u64 = 207 + 107;
const RUNS: u64 = 70;
/// Planted failures, and how many runs show each.
const CLUSTERS: u64 = 4;
const RUNS_PER_CLUSTER: u64 = 8;
/// Chance that a phase yields: in a run that shows a planted failure, and in another.
const YIELD: [f64; 2] = [0.02, 0.45];
/// Failures that are nobody's fault but the phase's.
const NOISE: u64 = 12;

/// What one phase would do.
#[derive(Debug, Clone)]
struct Truth {
    run: u64,
    yields: bool,
    fingerprint: String,
    tokens: u64,
}

/// What draining one backlog with triage came to, beside draining all of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Tokens of all phases.
    pub tokens: u64,
    /// Tokens of the phases that were attempted.
    pub spent: u64,
    /// Phases that would yield.
    pub yields: u64,
    /// Those that were attempted.
    pub yielded: u64,
    /// What the report says of the skipped phases.
    pub hold_out: HoldOut,
}

impl Outcome {
    /// Share of the tokens that were saved, in percent.
    pub fn saved_percent(&self) -> f64 {
        100.0 - stats::percent(self.spent, self.tokens).unwrap_or(100.0)
    }

    /// Share of the yield that was lost, in percent.
    pub fn lost_percent(&self) -> f64 {
        100.0 - stats::percent(self.yielded, self.yields).unwrap_or(100.0)
    }

    /// Share of the yield that was lost at most, by what the report says of the skipped phases, in percent: what anybody
    /// would say who knows the report and not the truth. Without a hold-out it may be all.
    pub fn lost_at_most_percent(&self) -> f64 {
        let bound = self.hold_out.at_most_percent.unwrap_or(100.0);
        let lost = self.hold_out.skipped as f64 * bound / 100.0;
        if lost > 0.0 { 100.0 * lost / (lost + self.yielded as f64) } else { 0.0 }
    }

    /// Whether the bound of the report holds for the phases that were skipped; `None` where there is none.
    pub fn is_bound_right(&self) -> Option<bool> {
        let lost = self.yields - self.yielded;
        let truth = stats::percent(lost, self.hold_out.skipped)?;
        self.hold_out.at_most_percent.map(|bound| truth <= bound)
    }
}

/// Drains the backlog of this seed with triage.
pub fn simulate(policy: &TriagePolicy, seed: u64) -> Outcome {
    let truths = backlog(seed);
    let selection = Selection { states: vec![PhaseState::Failed], ..Selection::default() };
    let triage = TriagePolicy { seed, ..policy.clone() };
    let mut session = Session::new(Settings { selection, limits: Limits::default(), triage });
    for (pk, truth) in (0..).zip(&truths) {
        session.fill(&Candidate {
            phase_pk: pk,
            run_id: &format!("run-{:02}", truth.run),
            state: PhaseState::Failed,
            tier_index: 0,
            phase_index: pk,
            attempts: 0,
            last_failure: None,
        });
    }
    session.queue.settle();
    let mut outcome = Outcome {
        tokens: truths.iter().map(|truth| truth.tokens).sum(),
        spent: 0,
        yields: truths.iter().filter(|truth| truth.yields).count() as u64,
        yielded: 0,
        hold_out: HoldOut::default(),
    };
    while let Next::Phase(run, phase) = session.next() {
        let Some(truth) = usize::try_from(phase.pk).ok().and_then(|pk| truths.get(pk)) else { break };
        outcome.spent += truth.tokens;
        outcome.yielded += u64::from(truth.yields);
        let run_id = session.queue.runs[run].id.clone();
        session.taken();
        for event in attempt(&run_id, phase.pk, truth, session.is_held_out(run)) {
            session.apply(&event);
        }
    }
    let skipped = session.skips().values().sum();
    let (attempted, yielded) = session.tally.held_out;
    outcome.hold_out = HoldOut::new(skipped, attempted, yielded);
    outcome
}

/// What the phases of a backlog would do.
fn backlog(seed: u64) -> Vec<Truth> {
    let mut random = Random::seeded(seed);
    let mut phase = |number: u64| {
        let run = if number < RUNS { number } else { random.below(RUNS) };
        let cluster = run / RUNS_PER_CLUSTER;
        let is_planted = cluster < CLUSTERS;
        let yields = random.chance(YIELD[usize::from(!is_planted)]);
        let noise = random.below(NOISE);
        let fingerprint = if is_planted { format!("planted-{cluster}") } else { format!("noise-{noise}") };
        let tokens = if yields { 4000 } else { 3000 + random.below(6000) };
        Truth { run, yields, fingerprint, tokens }
    };
    (0..PHASES).map(&mut phase).collect()
}

/// A claim and its end.
fn attempt(run_id: &str, pk: i64, truth: &Truth, held_out: bool) -> [Event; 2] {
    let claimed = Claimed {
        pk,
        run_id: run_id.to_owned(),
        phase_id: String::new(),
        prior: PhaseState::Failed,
        attempts: 0,
        tries: 0,
        bucket: 0,
        index: pk,
        tier: 0,
        attempt: 1,
        fencing_token: 1,
        held_out,
    };
    let failed = !truth.yields;
    let ended = Ended {
        pk,
        run_id: run_id.to_owned(),
        phase_id: String::new(),
        attempt: 1,
        outcome: if failed { "failed" } else { "success" }.to_owned(),
        reason: None,
        detail: None,
        state: if failed { PhaseState::Failed } else { PhaseState::Complete },
        telemetry: if failed { "output_tokens_unknown" } else { "written" }.to_owned(),
        zero_yield: None,
        asked_model: None,
        stage: String::new(),
        fingerprint: failed.then(|| truth.fingerprint.clone()),
        template: None,
        is_systemic: true,
        took_ms: 0,
        tokens: truth.tokens,
        warning: None,
    };
    [Event::Claimed(Box::new(claimed)), Event::Ended(Box::new(ended))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_triage_nothing_is_saved_and_nothing_lost() {
        let all = simulate(&TriagePolicy::off(), 1);
        assert_eq!((all.spent, all.yielded, all.hold_out.skipped), (all.tokens, all.yields, 0));
        assert_eq!(all, simulate(&TriagePolicy::off(), 1));
    }

    #[test]
    fn triage_saves_more_than_it_loses_and_its_bound_holds_as_often_as_it_says() {
        let outcomes: Vec<Outcome> = (0..300).map(|seed| simulate(&TriagePolicy::default(), seed)).collect();
        let mean = |of: fn(&Outcome) -> f64| outcomes.iter().map(of).sum::<f64>() / outcomes.len() as f64;
        let (saved, lost) = (mean(Outcome::saved_percent), mean(Outcome::lost_percent));
        let bounds: Vec<bool> = outcomes.iter().filter_map(Outcome::is_bound_right).collect();
        let right = bounds.iter().filter(|right| **right).count() as f64 / bounds.len() as f64;
        assert!(
            saved > 25.0 && lost < 10.0,
            "saved {saved:.1} %, lost {lost:.1} %, bound right in {right:.3}"
        );
        assert!(bounds.len() > 200 && right > 0.92, "bound right in {right:.3} of {}", bounds.len());
    }
}
