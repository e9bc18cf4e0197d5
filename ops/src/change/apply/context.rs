//! What a run works on and with: the job, the target, time, the stop flag, and who wants to hear how it goes.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::feed::Changes;
use super::readback::Problem;
use crate::change::error::RunError;
use crate::change::journal::{Canary, Header};
use crate::change::pace::Pace;
use crate::change::plan::Layout;
use crate::files::FileError;
use crate::ids::Ids;
use crate::target::{RunId, Target, TargetError, TargetIdentity};

/// One run over a list of changes, in one direction.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// The table, and how the rows of the changes lie.
    pub layout: &'a Layout,
    /// Plan and direction.
    pub run: &'a RunId,
    /// The changes.
    pub changes: &'a dyn Changes,
    /// Which database, for the report.
    pub identity: &'a TargetIdentity,
    /// SHA-256 of the changes where they are not those of the plan itself.
    pub digest: Option<&'a str>,
    /// The keys that a person named, where it is about those only.
    pub keys: Option<&'a [String]>,
    /// Rows that a person may miss in it, for the report.
    pub left_out: &'a [Problem],
    /// All of it is one batch, and one transaction: it goes through whole or not at all.
    pub is_whole: bool,
    /// Where journal, outcomes and report go.
    pub folder: &'a Path,
    /// Whether a written row must read back as planned, or as the run stored it.
    pub expect: Expect,
}

impl fmt::Debug for Job<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("run", self.run).field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Job<'_> {
    /// The first line of its journal.
    pub(crate) fn header(&self) -> Header {
        Header {
            plan: self.run.plan.clone(),
            direction: self.run.direction.clone(),
            table: self.layout.table.name.to_string(),
            columns: self.layout.each_column().map(|column| column.name.clone()).collect(),
            total: self.changes.total(),
            changes: self.digest.map(str::to_owned),
            keys: self.keys.map(<[String]>::to_vec),
        }
    }
}

/// What a row that was written must look like when read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// What the target stored, which defaults and triggers may have made another row than was sent.
    Stored,
    /// Exactly what was planned: a rollback restores, or it does not.
    Planned,
}

/// What a run works with.
pub struct Context<'a> {
    /// Where the rows are.
    pub target: &'a mut dyn Target,
    /// Time.
    pub pace: &'a mut dyn Pace,
    /// Where ids and chance come from.
    pub ids: &'a mut Ids,
    /// Set when somebody wants the run to end after its batch.
    pub stop: &'a AtomicBool,
    /// Hears how it goes, after every batch and while it waits.
    pub progress: &'a mut dyn FnMut(&Progress),
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("pace", &self.pace).field("stop", &self.stop).finish_non_exhaustive()
    }
}

impl Context<'_> {
    /// Whether somebody wants the run to end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// A number by chance.
    pub(crate) fn random(&mut self) -> u64 {
        u64::from_str_radix(&self.ids.hex("jitter", 8), 16).unwrap_or(0)
    }
}

/// How a run goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Rows that are done: with an outcome, or read back.
    pub done: u64,
    /// Rows in all.
    pub total: u64,
    /// Rows a second since the run began.
    pub rows_per_second: Option<f64>,
    /// How long the rest takes at that rate.
    pub eta: Option<Duration>,
    /// What it does.
    pub state: State,
}

/// What a run does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Batches go out.
    Running,
    /// It waits on purpose.
    Throttled(String),
    /// It waits for a target that is not available.
    Retrying(String),
    /// It reads back what was written.
    Verifying,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("running"),
            Self::Throttled(reason) => write!(f, "throttled: {reason}"),
            Self::Retrying(reason) => write!(f, "retrying: {reason}"),
            Self::Verifying => f.write_str("verifying"),
        }
    }
}

/// Why a run stopped before its last row, or before it could say that all is well.
#[derive(Debug)]
pub enum Why {
    /// Somebody asked for it.
    Interrupted,
    /// A row was not what the plan saw.
    Drift,
    /// The database refused more rows than it may.
    Budget {
        /// How many may fail.
        rows_max: u64,
    },
    /// The first rows are done; somebody must look.
    Canary(Canary),
    /// The time is over.
    Deadline,
    /// The target was not available for too long.
    Unavailable {
        /// How often it was tried.
        tries: u32,
        /// What it said last.
        reason: String,
    },
    /// Another runner took the table.
    Lost(String),
    /// All was to be one transaction, and the target refused it.
    Whole {
        /// What it said.
        reason: String,
    },
    /// Something else went wrong.
    Error(RunError),
}

impl From<RunError> for Why {
    fn from(error: RunError) -> Self {
        Self::Error(error)
    }
}

impl From<FileError> for Why {
    fn from(error: FileError) -> Self {
        Self::Error(error.into())
    }
}

impl From<TargetError> for Why {
    fn from(error: TargetError) -> Self {
        match error {
            TargetError::Lost(who) => Self::Lost(who),
            other => Self::Error(other.into()),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted => f.write_str("interrupted; it can be resumed"),
            Self::Drift => f.write_str(
                "a row is not what the plan saw; resume with `--on-drift skip` to leave such rows alone, \
                 or make a new plan",
            ),
            Self::Budget { rows_max } => write!(
                f,
                "the database refused more than {rows_max} rows; resume with a larger error budget, or make a new plan"
            ),
            Self::Canary(canary) => write!(
                f,
                "the canary is applied: {} rows, {} read back as written, {} altered; going on needs an approval",
                canary.rows, canary.verified, canary.altered
            ),
            Self::Deadline => f.write_str("the deadline of the run is over; it can be resumed"),
            Self::Unavailable { tries, reason } => {
                write!(f, "the target was not available, tried {tries} times: {reason}; it can be resumed")
            }
            Self::Lost(who) => write!(f, "the table is no longer held by this run: {who}"),
            Self::Whole { reason } => write!(
                f,
                "the target refused the one transaction, and nothing was changed: {reason}; try it in batches"
            ),
            Self::Error(error) => f.write_str(&chain(error)),
        }
    }
}

/// An error with its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    crate::text::one_line(&text)
}
