//! What there is to undo: everything that runs of a plan have written and no rollback has taken back.

use std::collections::HashSet;

use super::Place;
use super::inverse::{InverseFile, InverseWriter};
use crate::change::apply::{
    self, APPLY, Changes, Expect, Job, Past, Problem, Session, applied, not_begun, recover, standings,
};
use crate::change::error::RunError;
use crate::change::journal::{self, Durability, Found, Journal};
use crate::change::plan::{KeySet, Op, PlanDir, Standing, invert, key_json};
use crate::guard::Refusal;
use crate::target::{Change, Outcome, RunId, TargetIdentity};
use crate::value::{Digest128, digest_key};

/// Rows that a report lists.
const LISTED_MAX: usize = 100;

/// What there is to undo.
pub(super) struct Gathered<'p> {
    pub(super) inverse: InverseFile<'p>,
    /// Rows that somebody named and that are not in it.
    pub(super) left_out: Vec<Problem>,
    /// The first position that no run has reached, where the target's books can tell whether one goes on.
    pub(super) after: Option<u64>,
}

/// Brings the journal of the run in line with the target, and writes the file of changes that undo it.
pub(super) fn gather<'p>(
    plan: &'p PlanDir,
    session: &mut Session<'_, '_>,
    identity: &TargetIdentity,
    place: &Place,
    keys: Option<KeySet>,
) -> Result<Gathered<'p>, RunError> {
    let run = RunId { plan: plan.id().to_owned(), direction: APPLY.to_owned() };
    let folder = plan.run_dir(APPLY);
    let job = Job {
        layout: plan.layout(),
        run: &run,
        changes: plan,
        identity,
        digest: None,
        keys: None,
        left_out: &[],
        is_whole: false,
        folder: &folder,
        expect: Expect::Stored,
    };
    require_unknown(plan, session, place)?;
    let has_books = session.context.target.capabilities().books_in_target;
    let found = if has_books { caught_up(session, &job)? } else { known(&job)? };
    let doubtful = resolve(session, &job, &found)?;
    let mut gathering = Gathering {
        plan,
        writer: InverseWriter::create(&place.folder, plan.layout())?,
        back: rolled_back(plan, place)?,
        keys,
        left_out: Vec::new(),
    };
    for done in Past::open(plan, &folder, found.next)? {
        let done = done?;
        gathering.take(done.position, &done.change, Some(done.outcome))?;
    }
    let mut rest = plan.read(found.next)?;
    for (position, outcome) in (found.next..).zip(doubtful) {
        if let Some(change) = rest.next() {
            gathering.take(position, &change?, outcome)?;
        }
    }
    if gathering.keys.is_some() {
        let reached = found.next + found.in_doubt.map_or(0, |doubt| doubt.rows);
        for (position, change) in (reached..).zip(rest) {
            gathering.take(position, &change?, None)?;
        }
    }
    gathering.finish(has_books.then_some(found.next))
}

/// Refuses when the target knows of this rollback and the folder does not.
fn require_unknown(plan: &PlanDir, session: &mut Session<'_, '_>, place: &Place) -> Result<(), RunError> {
    let run = RunId { plan: plan.id().to_owned(), direction: place.direction.clone() };
    let books = session.ask(|target| target.recorded(&run, 0)).map_err(not_begun)?;
    if books.is_empty() {
        return Ok(());
    }
    Err(Refusal::new(
        "the target knows of a rollback that this folder does not have",
        format!("the journal of `{}` in `{}`", place.direction, place.folder.display()),
        "only the target's books",
    )
    .next("use the plan directory with which the rollback was begun")
    .into())
}

/// Where the run stands according to its journal.
fn known(job: &Job<'_>) -> Result<Found, RunError> {
    Ok(journal::peek(&job.folder.join(apply::JOURNAL), &job.header())?.unwrap_or_default())
}

/// Where the run stands according to the target's books, which the journal is brought in line with.
fn caught_up(session: &mut Session<'_, '_>, job: &Job<'_>) -> Result<Found, RunError> {
    let found = known(job)?;
    let (run, next) = (job.run, found.next);
    let books = session.ask(|target| target.recorded(run, next)).map_err(not_begun)?;
    let Some(last) = books.last() else { return Ok(found) };
    let end = last.first + last.outcomes.len() as u64;
    let path = job.folder.join(apply::JOURNAL);
    let (mut journal, found) = Journal::open(&path, &job.header(), Durability::Relaxed)?;
    let mut found = found.unwrap_or_default();
    recover(session, job, &mut journal, &mut found, end)?;
    journal.flush(session.context.pace.elapsed())?;
    Ok(found)
}

/// What became of a batch whose answer nobody has seen: the outcomes of its rows, none for those it did not write.
fn resolve(
    session: &mut Session<'_, '_>,
    job: &Job<'_>,
    found: &Found,
) -> Result<Vec<Option<Outcome>>, RunError> {
    let Some(doubt) = &found.in_doubt else { return Ok(Vec::new()) };
    let rows = usize::try_from(doubt.rows).unwrap_or(usize::MAX);
    let changes: Vec<Change> = job.changes.read(found.next)?.take(rows).collect::<Result<_, _>>()?;
    let standings = standings(session, job, &changes).map_err(not_begun)?;
    let outcome = |(position, (change, (standing, found)))| match standing {
        Standing::Already if doubt.already.contains(&position) => Some(Outcome::Already),
        Standing::Already => Some(applied(change, found)),
        Standing::Drifted => Some(Outcome::Drifted { found }),
        Standing::Fresh => None,
    };
    Ok((found.next..).zip(changes.iter().zip(standings)).map(outcome).collect())
}

/// The keys of rows that earlier rollbacks have put back: 16 bytes and a place in a table each.
fn rolled_back(plan: &PlanDir, place: &Place) -> Result<HashSet<Digest128>, RunError> {
    let mut back = HashSet::new();
    for folder in &place.earlier {
        let inverse = InverseFile::open(folder, plan.layout())?;
        for done in Past::open(&inverse, folder, inverse.total())? {
            let done = done?;
            if matches!(done.outcome, Outcome::Applied { .. } | Outcome::Already) {
                back.insert(digest_key(&plan.layout().key_of(&done.change)));
            }
        }
    }
    Ok(back)
}

struct Gathering<'p> {
    plan: &'p PlanDir,
    writer: InverseWriter<'p>,
    back: HashSet<Digest128>,
    keys: Option<KeySet>,
    left_out: Vec<Problem>,
}

impl<'p> Gathering<'p> {
    fn take(&mut self, position: u64, change: &Change, outcome: Option<Outcome>) -> Result<(), RunError> {
        let key = self.plan.layout().key_of(change);
        if self.keys.as_mut().is_some_and(|keys| !keys.takes(&key)) {
            return Ok(());
        }
        let (what, detail) = match outcome {
            Some(Outcome::Applied { .. }) if self.back.contains(&digest_key(&key)) => {
                ("left_out", "rolled back before")
            }
            Some(Outcome::Applied { stored }) => {
                if let Some(change) = invert(change, stored.as_ref()) {
                    return Ok(self.writer.push(&change)?);
                }
                ("unknown", "it is not known what was stored")
            }
            Some(Outcome::Already) => ("left_out", "not written: it already was as wanted"),
            Some(Outcome::Drifted { .. }) => ("left_out", "not written: it had drifted"),
            Some(Outcome::Failed { .. }) => ("left_out", "not written: the database refused it"),
            None => ("left_out", "not written: it was not reached"),
        };
        if (self.keys.is_some() || what == "unknown") && self.left_out.len() < LISTED_MAX {
            let (key, op, detail) = (key_json(&key), Op::of(change).as_str(), detail.to_owned());
            self.left_out.push(Problem { position, key, op, what, detail });
        }
        Ok(())
    }

    fn finish(self, after: Option<u64>) -> Result<Gathered<'p>, RunError> {
        let unmet: Vec<&str> = self.keys.iter().flat_map(KeySet::unmet).take(10).collect();
        if !unmet.is_empty() {
            return Err(Refusal::new(
                "some keys are not in the plan",
                "keys of rows that the plan changes",
                unmet.join(" "),
            )
            .next("look at the plan with `cargo xtask plan show`")
            .into());
        }
        Ok(Gathered { inverse: self.writer.finish()?, left_out: self.left_out, after })
    }
}
