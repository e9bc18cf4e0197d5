//! The loop that sends a plan's changes: batch by batch, in order, until the end or a reason to stop.
//!
//! A batch goes through whole, or is cut in two until the row that the database refuses stands alone; an answer
//! that was lost is looked up before anything is sent again. Every row gets exactly one outcome, in the order of
//! the plan.
//!
//! Where the target has no books the rows themselves must tell, and cannot tell everything: one that was inserted by
//! a request whose answer was lost, and deleted by somebody before it was looked up, is inserted again; one that a
//! trigger made another row than was sent is taken for somebody else's and left alone.

use super::context::{Job, State, Why};
use super::feed::Feed;
use super::readback;
use super::session::Session;
use super::settings::OnDrift;
use super::sizing::Sizing;
use crate::change::error::RunError;
use crate::change::journal::{Canary, Doubt, Journal, Tally};
use crate::change::plan::{Layout, PlanError, Standing};
use crate::change::throttle::Throttle;
use crate::target::{Batch, Change, Outcome, RecordedBatch, TargetError};

/// Refused rows beyond the budget that are still named before a run ends in the middle of a batch.
const NAMED_MAX: u64 = 20;

/// The loop.
#[derive(Debug)]
pub(crate) struct Runner<'s, 'j, 'r, 'c> {
    pub(crate) session: &'s mut Session<'r, 'c>,
    pub(crate) job: &'j Job<'j>,
    pub(crate) journal: &'s mut Journal,
    pub(crate) sizing: Sizing,
    pub(crate) throttle: Throttle,
    pub(crate) tally: Tally,
    /// The first position without an outcome.
    pub(crate) next: u64,
    /// Rows that go first and alone, when that is still to be done.
    pub(crate) canary: Option<u64>,
    /// Whether the target keeps books of its own.
    pub(crate) has_books: bool,
    /// Rows of the batch that were as wanted before it was sent the first time. Only kept without books: a lost
    /// answer would make them look like ours.
    pub(crate) already: Vec<u64>,
}

/// A part of a batch, by indices into it.
#[derive(Debug)]
enum Part {
    /// To be sent.
    Send(Piece),
    /// Sent, and nobody knows what became of it.
    Doubt(Piece),
    /// Decided.
    Known { from: usize, outcomes: Vec<Outcome> },
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    from: usize,
    to: usize,
    /// How often it failed.
    tries: u32,
    /// Whether an answer was lost: a row that already is as wanted may be so by us.
    was_in_doubt: bool,
}

impl Piece {
    fn new(from: usize, to: usize) -> Self {
        Self { from, to, tries: 0, was_in_doubt: false }
    }

    fn rows(self) -> usize {
        self.to - self.from
    }

    /// Both halves, the second first: parts are a stack.
    fn halves(self) -> [Part; 2] {
        let middle = self.from + self.rows() / 2;
        let half = |from, to| Part::Send(Self { from, to, tries: 0, ..self });
        [half(middle, self.to), half(self.from, middle)]
    }
}

impl Runner<'_, '_, '_, '_> {
    /// Works through the feed. `doubt` is a first batch that was sent by a run that did not live to see the answer.
    pub(crate) fn run(&mut self, feed: &mut Feed, doubt: Option<Doubt>) -> Result<(), Why> {
        let mut changes = Vec::new();
        if let Some(doubt) = doubt {
            feed.next(usize::try_from(doubt.rows).unwrap_or(usize::MAX), &mut changes)?;
            let piece = Piece { was_in_doubt: true, ..Piece::new(0, changes.len()) };
            self.already = doubt.already;
            self.batch(&changes, Part::Doubt(piece))?;
        }
        self.look_at_canary()?;
        loop {
            feed.next(self.rows(), &mut changes)?;
            if changes.is_empty() {
                break;
            }
            self.ready()?;
            self.throttle.sent(self.session.context.pace.elapsed(), changes.len());
            self.look_ahead(&changes)?;
            self.batch(&changes, Part::Send(Piece::new(0, changes.len())))?;
        }
        let total = self.job.changes.total();
        if self.next == total {
            return Ok(());
        }
        let what = format!("{} changes were read, and the plan counts {total}", self.next);
        Err(RunError::from(PlanError::Invalid(what)).into())
    }

    /// Rows of the next batch.
    fn rows(&self) -> usize {
        if self.job.is_whole {
            return usize::MAX;
        }
        let rows = self.sizing.rows().min(self.throttle.rows_max().unwrap_or(usize::MAX));
        let canary = self.canary.map(|rows| rows.saturating_sub(self.next));
        rows.min(canary.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX))).max(1)
    }

    /// Notes which rows of a batch are as wanted before it goes, where nobody but the journal could tell later.
    fn look_ahead(&mut self, changes: &[Change]) -> Result<(), Why> {
        if self.has_books {
            return Ok(());
        }
        let standings = readback::standings(self.session, self.job, changes)?;
        let is_after = |(n, (standing, _))| (standing == Standing::Already).then_some(n);
        self.already = (self.next..).zip(standings).filter_map(is_after).collect();
        Ok(())
    }

    /// Waits until a batch may go.
    fn ready(&mut self) -> Result<(), Why> {
        loop {
            self.session.check()?;
            let at = self.session.context.pace.elapsed();
            let target = &mut *self.session.context.target;
            let Some(hold) = self.throttle.hold(at, &mut |sql| target.measure(sql)) else { break };
            self.session.effort.throttled_ms += u64::try_from(hold.span.as_millis()).unwrap_or(u64::MAX);
            self.session.wait(hold.span, &State::Throttled(hold.reason))?;
        }
        self.session.keep()
    }

    /// Takes a batch to its outcomes, and says whether the run may go on.
    fn batch(&mut self, changes: &[Change], opening: Part) -> Result<(), Why> {
        let first = self.next;
        let drifted = self.tally.drifted;
        let mut parts = vec![opening];
        while let Some(part) = parts.pop() {
            match part {
                Part::Send(piece) => self.send(first, changes, piece, &mut parts)?,
                Part::Doubt(piece) => self.resolve(first, changes, piece, &mut parts)?,
                Part::Known { from, outcomes } => self.book(first + from as u64, &outcomes)?,
            }
        }
        if self.tally.drifted > drifted && self.session.settings.on_drift == OnDrift::Stop {
            return Err(Why::Drift);
        }
        self.within_budget(0)?;
        self.look_at_canary()
    }

    fn send(
        &mut self,
        first: u64,
        changes: &[Change],
        piece: Piece,
        parts: &mut Vec<Part>,
    ) -> Result<(), Why> {
        let at = first + piece.from as u64;
        self.journal.intent(at, piece.rows(), &self.already)?;
        let pace = &self.session.context.pace;
        let (began, now) = (pace.elapsed(), pace.now());
        let sent = &changes[piece.from..piece.to];
        let Layout { table, columns, key, .. } = self.job.layout;
        let batch = Batch { table, columns, key, run: self.job.run, first: at, changes: sent, now };
        let can_halve = piece.rows() > 1;
        match self.session.context.target.apply(&batch) {
            Ok(outcomes) => {
                let span = self.session.context.pace.elapsed().saturating_sub(began);
                self.sizing.took(piece.rows(), span);
                let effort = &mut self.session.effort;
                effort.batches += 1;
                effort.rows_max = effort.rows_max.max(piece.rows() as u64);
                parts.push(self.known(piece, sent, outcomes)?);
            }
            Err(TargetError::TooSlow { reason } | TargetError::Rejected { reason }) if self.job.is_whole => {
                return Err(Why::Whole { reason });
            }
            Err(TargetError::TooSlow { .. }) if can_halve => {
                self.sizing.too_slow(piece.rows());
                self.split(piece, parts);
            }
            Err(TargetError::Rejected { .. }) if can_halve => self.split(piece, parts),
            Err(TargetError::Rejected { reason }) => parts.push(refused(piece, reason)),
            Err(TargetError::TooSlow { reason }) if self.is_hopeless(piece) => {
                parts.push(refused(piece, reason));
            }
            Err(TargetError::TooSlow { reason }) => self.again(piece, None, &reason, parts)?,
            Err(TargetError::Transient { reason, retry_after }) => {
                self.again(piece, retry_after, &reason, parts)?;
            }
            Err(TargetError::InDoubt { reason }) => {
                self.session.effort.in_doubt += 1;
                self.again(Piece { was_in_doubt: true, ..piece }, None, &reason, parts)?;
            }
            // The batch whose answer was lost has arrived after all: the books have it now.
            Err(TargetError::Refused(refusal)) if piece.was_in_doubt && self.has_books => {
                self.again(piece, None, &crate::text::one_line(&refusal.to_string()), parts)?;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn split(&mut self, piece: Piece, parts: &mut Vec<Part>) {
        self.session.effort.splits += 1;
        parts.extend(piece.halves());
    }

    /// A row on which the target gave up every time fails, where the budget has room for it; otherwise the run
    /// stops before it, and a later one tries again.
    fn is_hopeless(&self, piece: Piece) -> bool {
        piece.tries + 1 >= self.session.settings.retry.tries_max && self.tally.failed < self.failed_max()
    }

    fn again(
        &mut self,
        piece: Piece,
        asked: Option<std::time::Duration>,
        reason: &str,
        parts: &mut Vec<Part>,
    ) -> Result<(), Why> {
        let piece = Piece { tries: piece.tries + 1, ..piece };
        self.session.again(piece.tries, asked, reason)?;
        parts.push(if piece.was_in_doubt { Part::Doubt(piece) } else { Part::Send(piece) });
        Ok(())
    }

    /// What the target said, one outcome a row.
    fn known(&self, piece: Piece, sent: &[Change], outcomes: Vec<Outcome>) -> Result<Part, Why> {
        if outcomes.len() != sent.len() {
            let said = format!("{} outcomes for {} changes", outcomes.len(), sent.len());
            return Err(TargetError::failed("apply a batch", said).into());
        }
        // Without books, a row that has become as wanted after a lost answer was written by us.
        let is_ours = |n| piece.was_in_doubt && !self.has_books && !self.already.contains(&n);
        let outcome = |(n, outcome)| match outcome {
            Outcome::Already if is_ours(n) => Outcome::Applied { stored: None },
            outcome => outcome,
        };
        let outcomes = (self.next..).zip(outcomes).map(outcome).collect();
        Ok(Part::Known { from: piece.from, outcomes })
    }

    /// Finds out what became of a piece whose answer was lost.
    fn resolve(
        &mut self,
        first: u64,
        changes: &[Change],
        piece: Piece,
        parts: &mut Vec<Part>,
    ) -> Result<(), Why> {
        let sent = &changes[piece.from..piece.to];
        let at = first + piece.from as u64;
        if self.has_books {
            let run = self.job.run;
            let books = self.session.ask(|target| target.recorded(run, at))?;
            parts.push(match books.into_iter().next() {
                Some(RecordedBatch { first, outcomes }) if first == at => {
                    self.known(piece, sent, outcomes)?
                }
                _ => Part::Send(piece),
            });
            return Ok(());
        }
        let standings = readback::standings(self.session, self.job, sent)?;
        let mut decided: Vec<Part> = Vec::new();
        for (i, (change, (standing, found))) in (piece.from..).zip(sent.iter().zip(standings)) {
            let outcome = match standing {
                Standing::Already if self.already.contains(&(first + i as u64)) => Outcome::Already,
                Standing::Already => readback::applied(change, found),
                Standing::Drifted => Outcome::Drifted { found },
                Standing::Fresh => {
                    match decided.last_mut() {
                        Some(Part::Send(open)) => open.to = i + 1,
                        _ => decided.push(Part::Send(Piece { from: i, to: i + 1, ..piece })),
                    }
                    continue;
                }
            };
            match decided.last_mut() {
                Some(Part::Known { outcomes, .. }) => outcomes.push(outcome),
                _ => decided.push(Part::Known { from: i, outcomes: vec![outcome] }),
            }
        }
        parts.extend(decided.into_iter().rev());
        Ok(())
    }

    /// Writes outcomes down and counts them.
    fn book(&mut self, at: u64, outcomes: &[Outcome]) -> Result<(), Why> {
        let pace = &self.session.context.pace;
        self.journal.done(at, outcomes, pace.now(), pace.elapsed())?;
        for outcome in outcomes {
            self.tally.count(outcome);
        }
        self.next = at + outcomes.len() as u64;
        self.session.done(self.next, State::Running);
        self.within_budget(NAMED_MAX)
    }

    fn failed_max(&self) -> u64 {
        self.session.settings.budget.rows(self.job.changes.total())
    }

    fn within_budget(&self, beyond: u64) -> Result<(), Why> {
        let rows_max = self.failed_max();
        if self.tally.failed > rows_max.saturating_add(beyond) {
            Err(Why::Budget { rows_max })
        } else {
            Ok(())
        }
    }

    /// Reads the canary back when its rows are done, and ends the run for somebody to look.
    fn look_at_canary(&mut self) -> Result<(), Why> {
        let total = self.job.changes.total();
        let Some(rows) = self.canary.filter(|rows| self.next >= *rows && self.next < total) else {
            return Ok(());
        };
        let rows = rows.max(self.next);
        let checked = readback::canary(self.session, self.job, rows)?;
        let canary = Canary { rows, verified: checked.verified, altered: checked.altered };
        self.journal.canary(canary, self.session.context.pace.now())?;
        Err(Why::Canary(canary))
    }
}

fn refused(piece: Piece, reason: String) -> Part {
    Part::Known { from: piece.from, outcomes: vec![Outcome::Failed { reason }] }
}
