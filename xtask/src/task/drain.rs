//! `drain`: work off the waiting phases of a database.

use std::path::PathBuf;

use ops::config::Config;
use ops::guard::Refusal;
use ops::identity;
use ops::phases::{Selection, Store};
use ops::telemetry::Flag;
use ops::text::plural;
use ops::work::drain::{DrainReport, Executor, Policy, drain};

use super::database::{DatabaseArgs, open_store};
use super::executor::{ExecutorArgs, Kind, require_purpose};
use crate::exit::Code;
use crate::output::Output;
use crate::settings::Settings;
use crate::signal;

/// Work off the QUEUED phases of a database
///
/// Claims one phase after the other with a lease, attempts it, and records one outcome and one telemetry
/// event for each attempt. Events are written when TELEMETRY_DB_ENABLED is 1, true, yes or on; otherwise the
/// report says why not.
///
/// A program for `--executor command` reads the phase as JSON on stdin, writes the deliverables into its
/// working directory and answers on stdout with one JSON object: status ("success" or "failed"), and what is
/// known of output_tokens, input_tokens, max_tokens, stop_reason, model, truncated and error. An attempt is
/// a success only when every deliverable is there. ^C ends the running attempt and leaves its phase waiting (exit 130).
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Only phases of this run
    #[arg(long, value_name = "ID")]
    run_id: Option<String>,
    /// What attempts the phases
    #[arg(long, value_enum)]
    executor: Kind,
    /// At most this many attempts
    #[arg(long, value_name = "N")]
    attempts_max: Option<u64>,
    /// Go on after a phase has failed for good
    #[arg(long)]
    keep_going: bool,
    /// Accept a database without runs and phases
    #[arg(long)]
    allow_empty: bool,
    /// Where attempts keep their files
    #[arg(long, value_name = "DIR", default_value = ".ops")]
    out: PathBuf,
    /// Print one JSON document instead of the report
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    how: ExecutorArgs,
}

pub(crate) fn run(args: &Args, settings: &Settings) -> anyhow::Result<Code> {
    let output = Output::new(settings, args.json);
    let url = args.database.sqlite(settings)?;
    let identity = args.database.identify(&url, settings, &output)?;
    identity::require_contents(&identity, args.allow_empty)?;
    require_purpose(args.executor, &identity)?;
    let mut store = open_store(&url, &identity)?;
    if let Some(run_id) = &args.run_id {
        require_run(&mut store, run_id)?;
    }
    let mut policy = policy(settings, args.run_id.clone(), &args.how)?;
    policy.attempts_max = args.attempts_max;
    policy.stop_on_failure = !args.keep_going;
    let directory = settings.cwd.join(&args.out).join("attempts");
    let mut executor = args.how.executor(args.executor, &directory, settings)?;
    let report = drain_with_progress(&mut store, executor.as_mut(), &policy, settings, &output)?;
    output.json(&report)?;
    output.document(&report.document());
    Ok(code(&report))
}

/// A run id that is not there is most often a slip: draining nothing would hide it.
fn require_run(store: &mut dyn Store, run_id: &str) -> anyhow::Result<()> {
    let runs = store.run_ids()?;
    if runs.iter().any(|run| run == run_id) {
        return Ok(());
    }
    let some: Vec<&str> = runs.iter().take(5).map(String::as_str).collect();
    let expected = format!("one of {}: {}", plural(runs.len() as u64, "run"), some.join(", "));
    Err(Refusal::new("there is no such run", expected, format!("`{run_id}`")).into())
}

/// A policy with fresh ids and the flag of the environment.
pub(crate) fn policy(
    settings: &Settings,
    run_id: Option<String>,
    how: &ExecutorArgs,
) -> anyhow::Result<Policy> {
    let mut ids = settings.ids();
    Ok(Policy {
        selection: Selection { run_id },
        attempts_max: None,
        stop_on_failure: true,
        lease: how.lease(),
        telemetry: Flag::parse(settings.telemetry_flag.as_deref()),
        session_id: format!("drain-{}-{}", settings.clock.now().compact(), ids.hex("session", 3)),
        owner: format!("worker-{}", ids.hex("owner", 6)),
        coefficients: Config::of(&settings.cwd)?.estimator.coefficients,
    })
}

/// Drains with progress on stderr until done or interrupted.
pub(crate) fn drain_with_progress(
    store: &mut dyn Store,
    executor: &mut dyn Executor,
    policy: &Policy,
    settings: &Settings,
    output: &Output,
) -> anyhow::Result<DrainReport> {
    let stop = signal::stop_flag()?;
    let mut progress = output.progress(0, "attempts");
    let mut tell = |done: u64, total: u64, phase: &str| progress.at(done, total, phase);
    Ok(drain(store, executor, policy, &settings.clock, stop, &mut tell)?)
}

/// An honest exit code: interrupted, out of balance or failed, more to do, done.
pub(crate) fn code(report: &DrainReport) -> Code {
    if report.stopped == Some("interrupted") {
        Code::Interrupted
    } else if !report.balances() || report.phases_failed > 0 {
        Code::Failed
    } else if report.stopped.is_some() {
        Code::Partly
    } else {
        Code::Done
    }
}
