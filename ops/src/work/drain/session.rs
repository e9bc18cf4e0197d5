//! The state of a session: everything that its journal implies and nothing else.
//!
//! Work goes on by appending an event and then applying it here; a resumed session applies the events of its journal.
//! So the two cannot differ.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::journal::{Claimed, Ended, Event, Line};
use super::limits::Settings;
use super::queue::{Queue, Waiting};
use super::tally::Tally;
use super::triage::{Decision, Result as TriageResult, Triage};
use crate::phases::{AccountedAttempt, Candidate, PhaseState};

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Attempt this phase of this run.
    Phase(usize, Waiting),
    /// Others of this session are at work whose phases may come back.
    Wait,
    /// Nothing waits any more.
    Drained,
    /// A limit ends the session.
    Limit(&'static str),
}

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) settings: Settings,
    pub(super) queue: Queue,
    pub(super) triage: Triage,
    pub(super) tally: Tally,
    /// What is being attempted, by row.
    pub(super) in_flight: HashMap<i64, (usize, Waiting, bool)>,
    /// Rows that were claimed by this session.
    claimed: HashSet<i64>,
    /// Rows that somebody else was faster at, with the attempts that were seen.
    overtaken: HashMap<i64, u64>,
    /// Rows that were given to a worker and not yet claimed.
    handed_out: u64,
    /// Attempts without an event, one after the other.
    streak: u64,
    has_failed_phase: bool,
    pub(super) worked_ms: u64,
}

impl Session {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            queue: Queue::default(),
            triage: Triage::default(),
            tally: Tally::default(),
            in_flight: HashMap::new(),
            claimed: HashSet::new(),
            overtaken: HashMap::new(),
            handed_out: 0,
            streak: 0,
            has_failed_phase: false,
            worked_ms: 0,
        }
    }

    /// Reads what the journal of an earlier process claimed, before the candidates of now are added.
    pub(super) fn expect(&mut self, lines: &[Line]) {
        for line in lines {
            if let Event::Claimed(claimed) = &line.event
                && self.claimed.insert(claimed.pk)
            {
                let run = self.queue.run(&claimed.run_id);
                self.queue.runs[run].failed += u32::from(claimed.prior == PhaseState::Failed);
            }
        }
    }

    /// Reads which phases the database knows attempts of, whatever the journal says.
    pub(super) fn expect_row(&mut self, pk: i64) {
        self.claimed.insert(pk);
    }

    /// Applies the lines of an earlier process. An attempt that the database has no account of was undone with it.
    pub(super) fn replay(&mut self, lines: &[Line], accounted: &[AccountedAttempt]) {
        let accounted: HashSet<(i64, u64)> =
            accounted.iter().map(|attempt| (attempt.phase_pk, attempt.attempt)).collect();
        for line in lines {
            match &line.event {
                Event::Ended(ended) if !accounted.contains(&(ended.pk, ended.attempt)) => {
                    self.apply(&Event::Released { pk: ended.pk });
                }
                event => self.apply(event),
            }
            self.worked_ms = line.worked_ms;
        }
    }

    /// Adds a phase that waits now, unless the journal knows it.
    pub(super) fn fill(&mut self, candidate: &Candidate<'_>) {
        if self.claimed.contains(&candidate.phase_pk) {
            return;
        }
        let run = self.queue.run(candidate.run_id);
        self.queue.runs[run].failed += u32::from(candidate.state == PhaseState::Failed);
        self.queue.fill(run, Waiting::new(candidate));
    }

    /// Adds a phase that has come since, or come back; `true` when it was not known to wait.
    pub(super) fn refill(&mut self, candidate: &Candidate<'_>, parked: &HashSet<i64>) -> bool {
        let pk = candidate.phase_pk;
        let is_known = self.claimed.contains(&pk) || parked.contains(&pk) || self.in_flight.contains_key(&pk);
        // A FAILED phase that others attempted meanwhile has had its turn.
        let is_over =
            candidate.state == PhaseState::Failed && self.overtaken.get(&pk) != Some(&candidate.attempts);
        if is_known || is_over {
            return false;
        }
        self.overtaken.remove(&pk);
        let run = self.queue.run(candidate.run_id);
        let policy = &self.settings.triage;
        self.queue.put(run, Waiting::new(candidate), |pk| policy.holds_out(pk));
        true
    }

    /// What comes next.
    pub(super) fn next(&mut self) -> Next {
        let limits = &self.settings.limits;
        let busy = self.in_flight.len() as u64 + self.handed_out;
        let reached = |limit: Option<u64>, value: u64| limit.is_some_and(|limit| value >= limit);
        let stop = if limits.stop_on_failure && self.has_failed_phase {
            Some("phase_failed")
        } else if reached(limits.seconds.map(|seconds| seconds.saturating_mul(1000)), self.worked_ms) {
            Some("time_limit")
        } else if reached(limits.zero_yield_streak, self.streak) {
            Some("zero_yield_streak")
        } else {
            reached(limits.attempts, self.tally.attempts.total + busy).then_some("attempt_limit")
        };
        if let Some(reason) = stop {
            return if busy > 0 {
                Next::Wait
            } else if self.queue.len() == 0 && reason != "phase_failed" {
                Next::Drained
            } else {
                Next::Limit(reason)
            };
        }
        match self.queue.pop() {
            Some((run, phase)) => {
                self.handed_out += 1;
                // Its run is being sampled; until the verdict is there, other runs go first.
                self.queue.runs[run].is_sampled = true;
                self.queue.place(run);
                Next::Phase(run, phase)
            }
            None if busy > 0 => Next::Wait,
            None => Next::Drained,
        }
    }

    /// A phase that was handed out could not be claimed.
    pub(super) fn overtaken(&mut self, run: usize, phase: Waiting) {
        self.handed_out -= 1;
        self.overtaken.insert(phase.pk, phase.attempts);
        self.tally.overtaken += 1;
        self.forget_sample(run);
    }

    /// Nothing was learned about a run, unless another attempt says something.
    fn forget_sample(&mut self, run: usize) {
        if self.queue.runs[run].trials.0 == 0 && !self.in_flight.values().any(|(other, ..)| *other == run) {
            self.queue.runs[run].is_sampled = false;
            self.queue.place(run);
        }
    }

    /// A phase that was handed out is claimed; its event follows.
    pub(super) fn taken(&mut self) {
        self.handed_out -= 1;
    }

    /// Takes in what happened.
    pub(super) fn apply(&mut self, event: &Event) {
        match event {
            Event::Opened { .. } | Event::Stopped { .. } => {}
            Event::Resumed { settings, .. } => {
                self.settings = (**settings).clone();
                // A stop that the person who resumes has seen.
                self.has_failed_phase = false;
                self.streak = 0;
            }
            Event::Claimed(claimed) => self.claimed(claimed),
            Event::Ended(ended) => self.ended(ended),
            Event::Released { pk } => {
                if let Some((run, phase, _)) = self.in_flight.remove(pk) {
                    let policy = &self.settings.triage;
                    self.queue.put(run, phase, |pk| policy.holds_out(pk));
                    self.forget_sample(run);
                }
            }
            Event::Lost { pk, phase } => {
                self.in_flight.remove(pk);
                self.tally.lost(phase);
            }
        }
    }

    fn claimed(&mut self, claimed: &Claimed) {
        let run = self.queue.run(&claimed.run_id);
        self.queue.take(run, claimed.pk);
        self.claimed.insert(claimed.pk);
        let phase = Waiting {
            pk: claimed.pk,
            state: claimed.prior,
            attempts: claimed.attempts,
            tries: claimed.tries,
            bucket: claimed.bucket,
            index: claimed.index,
            tier: claimed.tier,
        };
        self.queue.runs[run].is_sampled = true;
        self.queue.place(run);
        self.in_flight.insert(claimed.pk, (run, phase, claimed.held_out));
    }

    fn ended(&mut self, ended: &Ended) {
        let known = self.in_flight.remove(&ended.pk);
        let run = known.as_ref().map_or_else(|| self.queue.run(&ended.run_id), |(run, ..)| *run);
        let held_out = known.as_ref().is_some_and(|(.., held_out)| *held_out);
        let has_event = ended.telemetry == "written";
        let is_worth = has_event || ended.outcome == "success";
        let timed_out = ended.outcome == "timed_out";
        self.tally.account(ended, held_out, is_worth);
        self.streak = if has_event { 0 } else { self.streak + 1 };
        let prior = known.as_ref().map(|(_, phase, _)| phase.state);
        self.has_failed_phase |= ended.state == PhaseState::Failed && prior != Some(PhaseState::Failed);
        let is_new = ended.fingerprint.as_ref().is_none_or(|id| self.triage.seen(id) == 0);
        let state = &mut self.queue.runs[run];
        if state.trials.0 == 0 {
            state.is_promising = is_worth || timed_out || is_new;
        }
        state.is_sampled = true;
        state.trials.0 += 1;
        state.trials.1 += u32::from(is_worth);
        state.timeouts += u32::from(timed_out);
        if let Some((_, phase, _)) = known {
            self.put_back(run, phase, ended.state);
        }
        self.decide(run, ended, is_worth);
        self.queue.place(run);
    }

    /// Another attempt at the phase, if there is to be one.
    fn put_back(&mut self, run: usize, phase: Waiting, state: PhaseState) {
        let tries = phase.tries + 1;
        let limit = self.settings.limits.attempts_per_phase;
        // A phase that had failed before gets one attempt unless more were asked for.
        let limit = if state == PhaseState::Failed { limit.or(Some(1)) } else { limit };
        let is_wanted = self.settings.selection.takes_state(state);
        let goes_on = state != PhaseState::Complete && is_wanted && limit.is_none_or(|limit| tries < limit);
        let was_queued = state == PhaseState::Failed && phase.state == PhaseState::Queued;
        if !goes_on || was_queued {
            if state == PhaseState::Queued && is_wanted {
                self.tally.out_of_attempts += 1;
            }
            return;
        }
        let policy = &self.settings.triage;
        let again = Waiting { state, attempts: phase.attempts + 1, tries, ..phase };
        self.queue.put(run, again, |pk| policy.holds_out(pk));
    }

    fn decide(&mut self, run: usize, ended: &Ended, is_worth: bool) {
        let Settings { limits, triage: policy, .. } = self.settings.clone();
        let fingerprint = ended.fingerprint.as_deref().filter(|_| ended.is_systemic && !is_worth);
        let template = ended.template.as_deref().unwrap_or_default();
        let result = TriageResult {
            run,
            is_worth,
            chance: self.queue.runs[run].chance(),
            has_yielded: self.queue.runs[run].trials.1 > 0,
            fingerprint: fingerprint.map(|id| (id, template)),
        };
        for decision in self.triage.ended(&policy, &result) {
            match decision {
                Decision::Stop(run, reason) => self.queue.stop(run, reason, |pk| policy.holds_out(pk)),
                Decision::StopUnsampled(reason) => {
                    for run in 0..self.queue.runs.len() {
                        if !self.queue.runs[run].is_sampled {
                            self.queue.stop(run, reason, |pk| policy.holds_out(pk));
                        }
                    }
                }
                Decision::Reopen(runs) => self.reopen(&runs),
            }
        }
        let repeats = fingerprint.map_or(0, |id| self.triage.seen(id));
        if limits.fingerprint_repeats.is_some_and(|limit| repeats >= limit) {
            self.tally.repeat_hits += 1;
            self.queue.stop(run, "fingerprint_repeats", |_| false);
        }
        if limits.timeouts_per_run.is_some_and(|limit| self.queue.runs[run].timeouts >= limit) {
            self.queue.stop(run, "timeouts", |_| false);
        }
    }

    /// Opens runs again; none named: those that were only presumed.
    fn reopen(&mut self, runs: &[usize]) {
        let by_triage =
            |reason: Option<&str>| matches!(reason, Some("systemic" | "price" | "presumed_systemic"));
        if runs.is_empty() {
            for run in 0..self.queue.runs.len() {
                if self.queue.runs[run].stopped == Some("presumed_systemic") {
                    self.queue.reopen(run);
                }
            }
        }
        for run in runs {
            if by_triage(self.queue.runs[*run].stopped) {
                self.queue.reopen(*run);
            }
        }
        self.tally.reopened += 1;
    }

    /// Whether a phase goes on being attempted only to test the stop of its run.
    pub(super) fn is_held_out(&self, run: usize) -> bool {
        self.queue.runs[run].stopped.is_some()
    }

    /// Phases that were never attempted, by reason.
    pub(super) fn skips(&self) -> BTreeMap<&'static str, u64> {
        let mut skips = self.queue.parked_by_reason(false);
        if self.tally.overtaken > 0 {
            skips.insert("overtaken", self.tally.overtaken);
        }
        skips
    }

    /// Phases that were attempted and would have been again, by reason.
    pub(super) fn cut_short(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = self.queue.parked_by_reason(true);
        if self.tally.out_of_attempts > 0 {
            counts.insert("attempts_per_phase", self.tally.out_of_attempts);
        }
        counts
    }
}

#[cfg(test)]
mod tests;
