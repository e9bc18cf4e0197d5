//! The way back: undoes what a run of a plan has really written, and nothing else.
//!
//! What to undo comes from the run's journal and the target's books, never from the plan alone: half a run is undone
//! by half. A row is put back only if it still is what was stored; every other row is left alone and listed. The
//! work itself is a run like any other, with books of its own.

mod gather;
mod inverse;

use std::path::PathBuf;

use self::gather::Gathered;
use self::inverse::InverseFile;
use super::apply::{
    self, Budget, Changes, Context, Expect, Gate, Hooks, Job, OnDrift, ROLLBACK, RunReport, Session,
    Settings, Start,
};
use super::error::RunError;
use super::journal::{self, Header};
use super::lock::PlanLock;
use super::plan::{KeySet, PlanDir, names};
use crate::guard::Refusal;
use crate::target::{RunId, TargetError};

/// A rollback of at most so many rows is one transaction, where the target can do that: they are held in memory.
pub const ONE_TRANSACTION_ROWS_MAX: u64 = 50_000;

/// What a person ordered.
pub struct RollbackOrder<'a> {
    /// Only the rows with these keys; `None` takes back everything.
    pub keys: Option<KeySet>,
    /// In batches, also where one transaction would be possible.
    pub in_batches: bool,
    /// Whether it is approved.
    pub gate: Gate<'a>,
}

impl std::fmt::Debug for RollbackOrder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RollbackOrder").field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// Undoes what runs of this plan have written, or goes on with a rollback that was begun.
pub fn rollback(
    plan: &PlanDir,
    settings: &Settings,
    order: RollbackOrder<'_>,
    context: &mut Context<'_>,
) -> Result<RunReport, RunError> {
    let settings = Settings {
        on_drift: OnDrift::Skip,
        budget: Budget { rows_max: u64::MAX, share_max: None },
        canary: None,
        ..settings.clone()
    };
    let applied = RunId { plan: plan.id().to_owned(), direction: apply::APPLY.to_owned() };
    let mut session = Session::new(context, &settings, &applied, plan.len());
    let identity = apply::require_target(plan, &mut session)?;
    (order.gate)(plan, &identity)?;
    let lock = PlanLock::take(plan.runs())?;
    let named = order.keys.as_ref().map(|keys| keys.unmet().map(str::to_owned).collect::<Vec<_>>());
    let place = Place::find(plan)?;
    let Gathered { inverse, left_out, after } = match &place.begun {
        Some(header) => {
            let inverse = place.go_on(plan, header, named.as_deref())?;
            Gathered { inverse, left_out: Vec::new(), after: None }
        }
        None => gather::gather(plan, &mut session, &identity, &place, order.keys)?,
    };
    let run = RunId { plan: plan.id().to_owned(), direction: place.direction.clone() };
    let can_be_whole = session.context.target.capabilities().atomic_rollback;
    let job = Job {
        layout: plan.layout(),
        run: &run,
        changes: &inverse,
        identity: &identity,
        digest: Some(&inverse.sha256),
        keys: named.as_deref(),
        left_out: &left_out,
        is_whole: can_be_whole && !order.in_batches && inverse.total() <= ONE_TRANSACTION_ROWS_MAX,
        folder: &place.folder,
        expect: Expect::Planned,
    };
    if inverse.total() == 0 {
        let why = "nothing that this plan has written is left to be rolled back; nothing was written";
        return Ok(RunReport::nothing(&job, why, session.context.pace.now()));
    }
    let mut begun = |target: &mut dyn crate::target::Target| match after {
        Some(next) if !target.recorded(&applied, next)?.is_empty() => {
            Err(TargetError::Refused(went_on(plan)))
        }
        _ => Ok(()),
    };
    let hooks = Hooks { lock: Some(&lock), begun: Some(&mut begun), plan_again: None };
    apply::run(&job, &settings, Start::Either, session.context, hooks)
}

fn went_on(plan: &PlanDir) -> Refusal {
    Refusal::new(
        format!("plan {} was applied further while its rollback was prepared", plan.short()),
        "nobody applying it",
        "new batches in the target's books",
    )
    .next("roll it back again")
}

/// Which rollback of the plan this is, and where it lies.
#[derive(Debug)]
pub(super) struct Place {
    direction: String,
    folder: PathBuf,
    /// Folders of rollbacks that are over.
    earlier: Vec<PathBuf>,
    /// What the journal says of this one, when it was begun.
    begun: Option<Header>,
}

impl Place {
    fn find(plan: &PlanDir) -> Result<Self, RunError> {
        let mut earlier = Vec::new();
        for number in 1_u64.. {
            let direction = if number == 1 { ROLLBACK.to_owned() } else { format!("{ROLLBACK}-{number}") };
            let folder = plan.run_dir(&direction);
            let path = folder.join(apply::JOURNAL);
            let begun = journal::header(&path)?;
            match &begun {
                Some(header) if journal::peek(&path, header)?.is_some_and(|found| found.is_closed) => {
                    earlier.push(folder);
                }
                _ => return Ok(Self { direction, folder, earlier, begun }),
            }
        }
        unreachable!("folders come to an end")
    }

    /// The changes of a rollback that was begun and is not over.
    fn go_on<'p>(
        &self,
        plan: &'p PlanDir,
        header: &Header,
        named: Option<&[String]>,
    ) -> Result<InverseFile<'p>, RunError> {
        if header.keys.as_deref() != named {
            let show = |keys: Option<&[String]>| keys.map_or_else(|| "all rows".to_owned(), |k| k.join(" "));
            return Err(Refusal::new(
                "a rollback of other rows was begun and is not over",
                show(header.keys.as_deref()),
                show(named),
            )
            .next("finish that one first, with the same keys")
            .into());
        }
        let inverse = InverseFile::open(&self.folder, plan.layout())?;
        if header.changes.as_ref() != Some(&inverse.sha256) {
            return Err(Refusal::new(
                "the changes of this rollback are not what was begun",
                format!("SHA-256 {}", header.changes.as_deref().unwrap_or("none")),
                format!("SHA-256 {}", inverse.sha256),
            )
            .next(format!("restore `{}`", self.folder.join(names::CHANGES).display()))
            .into());
        }
        Ok(inverse)
    }
}

#[cfg(test)]
mod tests;
