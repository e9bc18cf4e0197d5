//! What applying and rolling back share: how fast, how patient, when to stop, and what came of it.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use ops::change::apply::{BatchRows, Budget, End, OnDrift, Progress, RunReport, Settings as RunSettings};
use ops::change::gate::{self, Decision, Entry, GateError, Gates, Stage, Typed, approve};
use ops::change::plan::{Manifest, PlanDir, PlanKind};
use ops::change::throttle::{Limits, QueryLimit};

use crate::exit::Code;
use crate::output;
use crate::settings::Settings;

/// How a run goes.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// Rows in a batch
    #[arg(long, value_name = "ROWS", default_value = "200")]
    batch_size: NonZeroUsize,
    /// Let batches grow and shrink towards this time
    #[arg(long, value_name = "MILLISECONDS")]
    batch_time: Option<NonZeroU64>,
    /// What to do about a row that is not what the plan saw; it is left alone in any case
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = Drift::Stop)]
    on_drift: Drift,
    /// Rows that the database may refuse before the run stops
    #[arg(long, value_name = "ROWS", default_value_t = 0)]
    max_failed: u64,
    /// Send at most this many rows a second
    #[arg(long, value_name = "ROWS", value_parser = positive)]
    max_rows_per_second: Option<f64>,
    /// Send nothing while this file exists
    #[arg(long, value_name = "FILE")]
    pause_file: Option<PathBuf>,
    /// Send nothing while this query returns more than --throttle-max
    #[arg(long, value_name = "SQL", requires = "throttle_max")]
    throttle_query: Option<String>,
    /// The largest number that is fine
    #[arg(long, value_name = "NUMBER", requires = "throttle_query", allow_negative_numbers = true)]
    throttle_max: Option<f64>,
    /// Stop after this time; the run can be resumed
    #[arg(long, value_name = "MINUTES", default_value = "1440")]
    deadline: NonZeroU64,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Drift {
    /// Stop after its batch
    Stop,
    /// Go on, and list it
    Skip,
}

fn positive(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|n: &f64| n.is_finite() && *n > 0.0)
        .ok_or_else(|| "expected a number above 0".into())
}

impl RunArgs {
    pub(crate) fn settings(&self, canary: Option<NonZeroU64>, settings: &Settings) -> RunSettings {
        let time = self.batch_time.map(|ms| Duration::from_millis(ms.get()));
        let query = self.throttle_query.clone().zip(self.throttle_max);
        RunSettings {
            batch: BatchRows { rows: self.batch_size, time },
            on_drift: match self.on_drift {
                Drift::Stop => OnDrift::Stop,
                Drift::Skip => OnDrift::Skip,
            },
            budget: Budget { rows_max: self.max_failed, share_max: None },
            canary,
            deadline: Duration::from_mins(self.deadline.get()),
            limits: Limits {
                rows_per_second: self.max_rows_per_second,
                pause_file: self.pause_file.as_ref().map(|file| settings.cwd.join(file)),
                query: query.map(|(sql, most)| QueryLimit { sql, most }),
            },
            ..RunSettings::default()
        }
    }
}

/// How a person approves.
#[derive(Debug, clap::Args)]
pub(crate) struct ApprovalArgs {
    /// Approve exactly this plan: its id, or the first 12 digits of it
    #[arg(long, value_name = "ID", conflicts_with = "approve_delete")]
    pub(crate) approve: Option<String>,
    /// Approve exactly this plan, which deletes rows
    #[arg(long, value_name = "ID")]
    pub(crate) approve_delete: Option<String>,
    /// The lineage of the database, which a production database demands
    #[arg(long, value_name = "LINEAGE")]
    pub(crate) lineage: Option<String>,
    /// The chain of approvals and runs
    #[arg(long, value_name = "FILE", default_value = gate::DEFAULT_PATH)]
    gates: PathBuf,
}

impl ApprovalArgs {
    /// Whether an approval was typed.
    pub(crate) fn is_given(&self) -> bool {
        self.approve.is_some() || self.approve_delete.is_some()
    }

    fn typed(&self) -> Option<Typed> {
        let (id, kind) = match (&self.approve, &self.approve_delete) {
            (Some(id), _) => (id, PlanKind::Upsert),
            (None, Some(id)) => (id, PlanKind::Delete),
            (None, None) => return None,
        };
        Some(Typed { id: id.clone(), kind, lineage: self.lineage.clone() })
    }

    pub(crate) fn path(&self, settings: &Settings) -> PathBuf {
        settings.cwd.join(&self.gates)
    }

    /// Takes the approval that was typed into the chain; without one, the chain must have it already.
    pub(crate) fn approve(&self, manifest: &Manifest, settings: &Settings) -> Result<(), GateError> {
        let path = self.path(settings);
        match self.typed() {
            Some(typed) => super::gates::append(&path, approve(manifest, &typed)?, settings),
            None => Ok(Gates::load(&path)?.require_approval(manifest).map(drop)?),
        }
    }

    /// Whether the chain knows that the plan was applied, wholly or partly.
    pub(crate) fn was_applied(&self, plan: &PlanDir, settings: &Settings) -> Result<bool, GateError> {
        Ok(Gates::load(&self.path(settings))?.last(Stage::Apply, plan.id()).is_some())
    }

    /// Adds a record to the chain.
    pub(crate) fn append(&self, entry: Entry, settings: &Settings) -> Result<(), GateError> {
        super::gates::append(&self.path(settings), entry, settings)
    }
}

/// What the chain keeps of a run.
pub(crate) fn entry(manifest: &Manifest, stage: Stage, report: &RunReport) -> Entry {
    let decision = if report.end == End::Done { Decision::Pass } else { Decision::Fail };
    let mut entry = Entry::about(manifest, stage, decision).with("why", report.why.as_str());
    for (how, rows) in &report.ledger.ended {
        entry = entry.with(how, *rows);
    }
    entry
}

pub(crate) fn code(end: End) -> Code {
    match end {
        End::Done => Code::Done,
        End::Partly => Code::Partly,
        End::Refused => Code::Refused,
        End::Interrupted => Code::Interrupted,
        End::Failed => Code::Failed,
    }
}

/// Shows how far a run is.
pub(crate) fn show(bar: &mut output::Progress, progress: &Progress) {
    bar.at(progress.done, progress.total, &progress.state.to_string());
}

/// An error with its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        // A refusal that came through another error says the same once more.
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    ops::text::one_line(&text)
}
