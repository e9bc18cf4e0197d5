//! Which phase comes next: all candidates in memory, as little of each as choosing needs, always in order.
//!
//! Sample first: one phase of every run; then runs that promise to yield, those that yield most first; then the rest.
//! Among equals decide the kind of the last failure, the place of the phase, how many failed phases its run has, and the
//! row. No database here: a claim reads one row and the table is not looked through again.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::phases::{Candidate, PhaseState};

/// A phase that waits in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) pk: i64,
    /// The state that it waits in.
    pub(super) state: PhaseState,
    /// Attempts that its row counts: whoever finds another number was overtaken.
    pub(super) attempts: u64,
    /// Attempts of this session.
    pub(super) tries: u32,
    pub(super) bucket: u8,
    pub(super) index: i64,
    pub(super) tier: i64,
}

impl Waiting {
    pub(super) fn new(candidate: &Candidate<'_>) -> Self {
        Self {
            pk: candidate.phase_pk,
            state: candidate.state,
            attempts: candidate.attempts,
            tries: 0,
            bucket: bucket(candidate.last_failure),
            index: candidate.phase_index,
            tier: candidate.tier_index,
        }
    }

    /// What orders the phases of one run.
    fn rank(&self) -> (u32, u8, i64, i64, i64) {
        (self.tries, self.bucket, self.index, self.tier, self.pk)
    }
}

/// The kind of a failure, the least known first.
pub(super) fn bucket(reason: Option<&str>) -> u8 {
    const KINDS: [(&[&str], u8); 4] = [
        (&["collection", "import"], 1),
        (&["deliverable", "missing"], 2),
        (&["patch", "no-op", "manifest"], 3),
        (&["timeout", "timed"], 5),
    ];
    let Some(reason) = reason.map(str::to_lowercase).filter(|reason| !reason.trim().is_empty()) else {
        return 0;
    };
    // Whole words: `important` is no import. `ImportError` and `missing_file` begin with theirs.
    let words: Vec<&str> = reason.split(|c: char| !c.is_alphanumeric() && c != '-').collect();
    let has = |kinds: &[&str]| kinds.iter().any(|kind| words.iter().any(|word| names(word, kind)));
    KINDS.iter().find(|(kinds, _)| has(kinds)).map_or(4, |(_, bucket)| *bucket)
}

/// Whether a word is this kind, alone or with an ending of it: `imports`, `importerror`, `patched`.
fn names(word: &str, kind: &str) -> bool {
    word.strip_prefix(kind)
        .is_some_and(|end| ["", "s", "ed", "ing", "error", "errors", "notfounderror", "out"].contains(&end))
        || word.ends_with("error") && word.contains(kind)
}

/// Where a run stands among the runs; the least comes first.
type Key = (u8, Reverse<u32>, u32, u8, i64, i64, u32, i64, usize);

/// A run and what waits in it.
#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) id: String,
    /// The worst first, so that the best is taken from the end.
    waiting: Vec<Waiting>,
    /// Phases that its stop keeps from being attempted.
    parked: Vec<Waiting>,
    /// FAILED phases, attempted or not.
    pub(super) failed: u32,
    pub(super) is_sampled: bool,
    pub(super) is_promising: bool,
    /// Attempts and those worth something.
    pub(super) trials: (u32, u32),
    pub(super) timeouts: u32,
    /// Why it was stopped.
    pub(super) stopped: Option<&'static str>,
    place: Option<Key>,
}

impl Run {
    /// Phases that were never attempted and are not going to be.
    pub(super) fn skipped(&self) -> u64 {
        self.parked.iter().filter(|phase| phase.tries == 0).count() as u64
    }

    /// Chance that the next attempt is worth something, under a uniform prior.
    pub(super) fn chance(&self) -> f64 {
        let (trials, yields) = self.trials;
        f64::from(yields + 1) / f64::from(trials + 2)
    }
}

/// All runs.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) runs: Vec<Run>,
    by_id: HashMap<String, usize>,
    order: BTreeSet<Key>,
    waiting: u64,
}

impl Queue {
    /// The number of a run, known or new.
    pub(super) fn run(&mut self, id: &str) -> usize {
        if let Some(index) = self.by_id.get(id) {
            return *index;
        }
        self.runs.push(Run { id: id.to_owned(), ..Run::default() });
        self.by_id.insert(id.to_owned(), self.runs.len() - 1);
        self.runs.len() - 1
    }

    /// Adds one of many phases; [`Self::settle`] puts them in order.
    pub(super) fn fill(&mut self, run: usize, phase: Waiting) {
        self.runs[run].waiting.push(phase);
        self.waiting += 1;
    }

    /// Puts everything in order.
    pub(super) fn settle(&mut self) {
        for index in 0..self.runs.len() {
            self.runs[index].waiting.sort_unstable_by_key(|phase| Reverse(phase.rank()));
            self.place(index);
        }
    }

    /// Adds a phase in its place; in a stopped run it is parked unless `keep` holds.
    pub(super) fn put(&mut self, index: usize, phase: Waiting, keep: impl Fn(i64) -> bool) {
        let run = &mut self.runs[index];
        if run.stopped.is_some() && !keep(phase.pk) {
            run.parked.push(phase);
            return;
        }
        let at = run.waiting.partition_point(|other| other.rank() > phase.rank());
        run.waiting.insert(at, phase);
        self.waiting += 1;
        self.place(index);
    }

    /// Takes the next phase out.
    pub(super) fn pop(&mut self) -> Option<(usize, Waiting)> {
        let key = *self.order.first()?;
        let index = key.8;
        let phase = self.runs[index].waiting.pop()?;
        self.waiting -= 1;
        self.place(index);
        Some((index, phase))
    }

    /// Takes this phase out, if it waits.
    pub(super) fn take(&mut self, index: usize, pk: i64) -> Option<Waiting> {
        let waiting = &mut self.runs[index].waiting;
        let at = waiting.iter().rposition(|phase| phase.pk == pk)?;
        let phase = waiting.remove(at);
        self.waiting -= 1;
        self.place(index);
        Some(phase)
    }

    /// Parks what waits in a run, but for what `keep` holds. The first reason stays.
    pub(super) fn stop(&mut self, index: usize, reason: &'static str, keep: impl Fn(i64) -> bool) {
        let run = &mut self.runs[index];
        run.stopped.get_or_insert(reason);
        let waiting = std::mem::take(&mut run.waiting);
        self.waiting -= waiting.len() as u64;
        let (kept, parked): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|phase| keep(phase.pk));
        self.waiting += kept.len() as u64;
        run.waiting = kept;
        run.parked.extend(parked);
        self.place(index);
    }

    /// Takes a stop back.
    pub(super) fn reopen(&mut self, index: usize) {
        let run = &mut self.runs[index];
        run.stopped = None;
        let parked = std::mem::take(&mut run.parked);
        self.waiting += parked.len() as u64;
        run.waiting.extend(parked);
        run.waiting.sort_unstable_by_key(|phase| Reverse(phase.rank()));
        self.place(index);
    }

    /// Puts a run where it belongs after it has changed.
    pub(super) fn place(&mut self, index: usize) {
        let run = &mut self.runs[index];
        if let Some(old) = run.place.take() {
            self.order.remove(&old);
        }
        let Some(best) = run.waiting.last() else { return };
        let group = match (run.is_sampled, run.is_promising) {
            (false, _) => 0,
            (true, true) => 1,
            (true, false) => 2,
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a chance in millionths")]
        let worth = if group == 1 { (run.chance() * 1e6) as u32 } else { 0 };
        let (tries, bucket, place, tier, pk) = best.rank();
        let key = (group, Reverse(worth), tries, bucket, place, tier, run.failed, pk, index);
        run.place = Some(key);
        self.order.insert(key);
    }

    /// How many phases wait.
    pub(super) fn len(&self) -> u64 {
        self.waiting
    }

    /// Parked phases by the reason of their run: those that were never attempted, or those that were.
    pub(super) fn parked_by_reason(&self, attempted: bool) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        for run in &self.runs {
            let count = run.parked.iter().filter(|phase| (phase.tries > 0) == attempted).count() as u64;
            if count > 0 {
                *counts.entry(run.stopped.unwrap_or("stopped")).or_insert(0) += count;
            }
        }
        counts
    }

    /// Rows of the parked phases.
    pub(super) fn parked(&self) -> impl Iterator<Item = i64> + '_ {
        self.runs.iter().flat_map(|run| run.parked.iter().map(|phase| phase.pk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(pk: i64, index: i64, reason: Option<&str>) -> Waiting {
        Waiting {
            pk,
            state: PhaseState::Failed,
            attempts: 0,
            tries: 0,
            bucket: bucket(reason),
            index,
            tier: 0,
        }
    }

    /// Row, index and last failure.
    type Phases<'a> = &'a [(i64, i64, Option<&'a str>)];

    fn queue(runs: &[(&str, Phases<'_>)]) -> Queue {
        let mut queue = Queue::default();
        for (id, phases) in runs {
            let run = queue.run(id);
            for (pk, index, reason) in *phases {
                queue.runs[run].failed += 1;
                queue.fill(run, phase(*pk, *index, *reason));
            }
        }
        queue.settle();
        queue
    }

    fn drain(queue: &mut Queue) -> Vec<i64> {
        std::iter::from_fn(|| {
            let (run, phase) = queue.pop()?;
            queue.runs[run].is_sampled = true;
            queue.place(run);
            Some(phase.pk)
        })
        .collect()
    }

    #[test]
    fn the_kind_of_the_last_failure_comes_before_the_index() {
        let reasons =
            ["timed out", "weird", "no-op apply", "Deliverable missing", "CI collection error", "  "]
                .map(Some);
        let phases: Vec<_> = (0..).zip(reasons).map(|(i, reason)| (i, i, reason)).collect();
        let mut queue = queue(&[("r", &phases)]);
        assert_eq!(drain(&mut queue), [5, 4, 3, 2, 1, 0]);
        assert_eq!(
            (bucket(Some("an important thing")), bucket(Some("ImportError: x")), bucket(None)),
            (4, 1, 0)
        );
    }

    #[test]
    fn one_phase_of_every_run_comes_first_fewer_failures_before_more() {
        let mut queue = queue(&[
            ("many", &[(1, 0, None), (2, 1, None), (3, 2, None)]),
            ("late", &[(4, 7, None)]),
            ("few", &[(5, 0, None), (6, 1, None)]),
        ]);
        assert_eq!(drain(&mut queue), [5, 1, 4, 6, 2, 3]);
    }

    #[test]
    fn runs_that_yield_more_come_first_once_they_are_sampled() {
        let mut queue = queue(&[("a", &[(1, 0, None), (2, 1, None)]), ("b", &[(3, 0, None), (4, 1, None)])]);
        for (pk, trials) in [(1, (1, 0)), (3, (1, 1))] {
            let (run, found) = queue.pop().unwrap();
            assert_eq!(found.pk, pk);
            let run_state = &mut queue.runs[run];
            (run_state.is_sampled, run_state.is_promising, run_state.trials) = (true, true, trials);
            queue.place(run);
        }
        assert_eq!(drain(&mut queue), [4, 2]);
    }

    #[test]
    fn a_stop_parks_and_can_be_taken_back() {
        let mut queue = queue(&[("a", &[(1, 0, None), (2, 1, None), (3, 2, None)])]);
        queue.stop(0, "systemic", |pk| pk == 3);
        assert_eq!((queue.len(), queue.parked_by_reason(false)["systemic"]), (1, 2));
        queue.put(0, phase(9, 9, None), |_| false);
        assert_eq!(queue.parked().count(), 3);
        queue.reopen(0);
        assert_eq!(drain(&mut queue), [1, 2, 3, 9]);
        assert!(queue.parked_by_reason(false).is_empty());
    }
}
