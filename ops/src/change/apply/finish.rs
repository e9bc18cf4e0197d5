//! The end of a run: read back, plan again, close the books, and write down what happened.

use super::context::{Job, Why, chain};
use super::readback::{self, Checked};
use super::report::{Replan, RunReport, Seconds, Verification};
use super::session::Session;
use super::{PlanAgain, Ran};
use crate::change::error::RunError;
use crate::change::journal::Journal;
use crate::clock::Stamp;
use crate::files;

/// What was known when the run began.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) started_at: Stamp,
    /// Bytes that were cut from the journal.
    pub(crate) torn: u64,
    /// Outcomes that came from the books.
    pub(crate) recovered: u64,
    /// The target's books say that the run is over.
    pub(crate) was_closed: bool,
}

/// Ends a run that has sent everything (`stopped` is `None`) or stopped.
pub(crate) fn finish(
    session: &mut Session<'_, '_>,
    job: &Job<'_>,
    mut journal: Journal,
    stopped: Option<Why>,
    ran: &Ran,
    facts: &Facts,
    plan_again: Option<PlanAgain<'_>>,
) -> Result<RunReport, RunError> {
    let is_ours = !facts.was_closed && !matches!(stopped, Some(Why::Lost(_)));
    let ended = end(session, job, &mut journal, stopped, ran, plan_again, is_ours);
    let End { stopped, checked, replan, is_verified } = match ended {
        Ok(ended) => ended,
        Err(error) => {
            if is_ours {
                let _ = session.close(&job.layout.table, false);
            }
            return Err(error);
        }
    };
    let mut report = RunReport::new(job, &ran.found, facts.started_at);
    report.before = ran.before;
    report.ended_at = session.context.pace.now();
    report.effort = session.effort;
    report.seconds = Seconds { apply: ran.seconds, verify: session.seconds() - ran.seconds };
    report.verification =
        is_verified.then_some(Verification { verified: checked.verified, altered: checked.altered });
    report.replan = replan;
    report.journal_torn = facts.torn;
    report.journal_recovered = facts.recovered;
    report.written = checked.written;
    report.problems.extend(checked.problems);
    if let Some(Why::Canary(canary)) = &stopped {
        report.canary = Some(*canary);
    }
    if facts.was_closed {
        report.why = RunReport::was_done(job);
        report.is_old = true;
    }
    report.conclude(stopped.as_ref());
    write(job, &report)?;
    if stopped.is_none() {
        journal.closed(report.ended_at)?;
    }
    Ok(report)
}

struct End {
    stopped: Option<Why>,
    checked: Checked,
    replan: Option<Replan>,
    is_verified: bool,
}

fn end(
    session: &mut Session<'_, '_>,
    job: &Job<'_>,
    journal: &mut Journal,
    mut stopped: Option<Why>,
    ran: &Ran,
    plan_again: Option<PlanAgain<'_>>,
    is_ours: bool,
) -> Result<End, RunError> {
    let flushed = journal.flush(session.context.pace.elapsed());
    let mut replan = None;
    let checked = match flushed.map_err(Why::from).and_then(|()| check(session, job, ran, stopped.is_none()))
    {
        Ok(checked) => checked,
        Err(Why::Error(error @ RunError::File(_))) => return Err(first_error(stopped, error)),
        Err(why) => {
            stopped = Some(why);
            check(session, job, ran, false).map_err(into_error)?
        }
    };
    let is_verified = stopped.is_none();
    if let (true, Some(plan_again)) = (is_verified, plan_again) {
        replan = Some(
            plan_again(session.context.target)
                .unwrap_or_else(|error| Replan::NotPlanned { reason: chain(&error) }),
        );
    }
    if is_ours && let Err(why) = session.close(&job.layout.table, stopped.is_none()) {
        // A lease that is not given back runs out; a run that is not closed is not done.
        stopped = stopped.or(Some(why));
    }
    Ok(End { stopped, checked, replan, is_verified })
}

fn check(session: &mut Session<'_, '_>, job: &Job<'_>, ran: &Ran, verify: bool) -> Result<Checked, Why> {
    readback::list(session, job, ran.found.next, verify)
}

/// The error that ended the run, or the one that ended its end.
fn first_error(stopped: Option<Why>, error: RunError) -> RunError {
    match stopped {
        Some(Why::Error(first)) => first,
        _ => error,
    }
}

fn into_error(why: Why) -> RunError {
    match why {
        Why::Error(error) => error,
        other => crate::target::TargetError::failed("list the outcomes", other.to_string()).into(),
    }
}

/// Writes the report beside the journal, for programs and for people.
pub(crate) fn write(job: &Job<'_>, report: &RunReport) -> Result<(), RunError> {
    let mut json = serde_json::to_vec_pretty(report).expect("a report is JSON");
    json.push(b'\n');
    files::write_atomic(&job.folder.join("report.json"), &json)?;
    files::write_atomic(&job.folder.join("report.md"), report.document().markdown().as_bytes())?;
    Ok(())
}
