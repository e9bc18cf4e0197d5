//! `drain`: work off the phases of a database, in sessions that survive being killed.

mod limits;
mod place;
mod rekey;
mod sessions;

use std::path::{Path, PathBuf};

use anyhow::bail;
use ops::config::Config;
use ops::db::sqlite::WriteAhead;
use ops::files;
use ops::guard::Refusal;
use ops::phases::{PhaseState, Selection, Store};
use ops::telemetry::Flag;
use ops::text::plural;
use ops::url::DbUrl;
use ops::work::drain::{
    DrainReport, History, Journal, Policy, Settings as Allowed, Surroundings, TriagePolicy, Worker, drain,
};

use self::place::Place;
use super::database::{DatabaseArgs, shown};
use super::executor::{ExecutorArgs, Kind, require_purpose};
use crate::exit::Code;
use crate::output::{self, Output};
use crate::settings::Settings;
use crate::signal;

/// Work off the QUEUED and FAILED phases of a database
///
/// Samples one phase of every run first, then goes on where attempts yield. Claims each phase by key with a lease,
/// attempts it, and records one outcome and one telemetry event for each attempt, or the one reason why there is none.
/// Events are written when TELEMETRY_DB_ENABLED is 1, true, yes or on. One that the database refuses is counted, and the drain
/// goes on; with TELEMETRY_DEBUG=1 it ends there (exit 1), to go on with --resume.
///
/// A session keeps a journal under DIR/drain/. One that was killed or stopped by a limit goes on with --resume; limits
/// and time count over the whole session.
///
/// A program for `--executor command` reads the phase as JSON on stdin, writes the deliverables into its
/// working directory and answers on stdout with one JSON object: status ("success" or "failed"), and what is
/// known of output_tokens, input_tokens, max_tokens, stop_reason, model, truncated and error. It may append a word a line
/// to the file that the input names as `milestones` (preflight_ok, model_call_started, model_call_ended, and
/// preflight_failed, import_failed, scope_failed, database_mismatch, api_unreachable, api_not_found): then a phase that
/// yields nothing says how far it came. An attempt is a success only when every deliverable is there. ^C ends the
/// running attempts and leaves their phases as they were (exit 130).
///
/// The executors `messages` and `chat` ask a model for the deliverables, within the token cap of the run, and have a
/// program check them. On one machine phases are in a SQLite file; `--db postgres://…` lets many machines share them, and so
/// does `--api-url` with `cargo xtask serve` where the database is.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    sessions: Option<sessions::Command>,
    #[command(flatten)]
    database: DatabaseArgs,
    /// Work through the API that `serve` offers there, once both have compared which database it is: by --expect, or
    /// by the database that is named here. A token is taken from OPS_API_TOKEN
    #[arg(long, value_name = "ORIGIN")]
    api_url: Option<String>,
    /// What attempts the phases
    #[arg(long, value_enum, required = true)]
    executor: Option<Kind>,
    #[command(flatten)]
    limits: limits::LimitArgs,
    /// Threads that attempt phases, each with its own connection
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    /// Go on with a session: this one, or the latest that is not done
    #[arg(long, value_name = "SESSION", num_args = 0..=1, default_missing_value = sessions::LATEST)]
    resume: Option<String>,
    /// Refuse (exit 3) while another drain works on the database
    #[arg(long)]
    exclusive: bool,
    /// Accept a database without runs and phases
    #[arg(long)]
    allow_empty: bool,
    /// Where sessions and attempts keep their files
    #[arg(long, value_name = "DIR", default_value = ".ops")]
    out: PathBuf,
    /// Print one JSON document instead of the report
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    how: ExecutorArgs,
}

pub(crate) fn run(args: &Args, settings: &Settings) -> anyhow::Result<Code> {
    if let Some(command) = &args.sessions {
        return sessions::run(command, settings);
    }
    let Some(kind) = args.executor else { bail!("--executor is needed") };
    let output = Output::new(settings, args.json);
    let api = args.api_url.as_deref();
    let place = Place::find(&args.database, api, args.allow_empty, settings, &output)?;
    require_purpose(kind, place.lineage())?;
    let out = settings.cwd.join(&args.out);
    // What refuses comes before anything is written.
    let executors =
        args.how.executors(kind, &out.join("attempts"), settings, place.lineage(), args.workers)?;
    let mut opened = place.open()?;
    let store = opened.as_mut();
    if args.exclusive {
        require_alone(store, settings)?;
    }
    let mut policy = policy(settings, Selection::default(), &args.how)?;
    policy.database = place.name();
    let (folder, journal, history) = match &args.resume {
        None => {
            policy.settings = args.limits.settings(settings.choice_seed());
            let (session_id, folder) = sessions::fresh(&out, &policy.session_id)?;
            policy.session_id = session_id;
            (folder.clone(), Journal::create(&folder)?, History::default())
        }
        Some(session) => {
            let found = sessions::resume(&out, session, &policy.database)?;
            policy.session_id = found.session_id;
            policy.settings = args.limits.over(found.allowed);
            (found.folder, found.journal, found.history)
        }
    };
    require_runs(store, &policy.settings.selection.run_ids)?;
    let log = place.url().map(|url| write_ahead(url, &folder)).transpose()?.flatten();
    let stop_file = sessions::stop_file(&folder);
    sessions::withdraw_stop(&stop_file)?;
    policy.stop_file = Some(stop_file);
    let worker = |executor| Ok(Worker { store: place.open()?, executor });
    let workers = executors.into_iter().map(worker).collect::<anyhow::Result<_>>()?;
    let report = work(store, workers, &policy, Some(journal), &history, settings, &output)?;
    drop(opened);
    take_back(log, &folder);
    write_reports(&report, &folder)?;
    output.json(&report)?;
    output.document(&report.document());
    output.line(&format!("Report    {}", shown(&folder.join("report.md"), settings)));
    Ok(code(&report))
}

/// Gives a file a write-ahead log for as long as this session works. A session that was killed has left its own behind,
/// and a mark of that, so that the process which takes it up takes the log back too.
fn write_ahead(url: &DbUrl, folder: &Path) -> anyhow::Result<Option<WriteAhead>> {
    let DbUrl::Sqlite(url) = url else { return Ok(None) };
    let mark = folder.join(LOG_MARK);
    if mark.exists() {
        return Ok(Some(WriteAhead::adopt(url.path())));
    }
    let log = WriteAhead::begin(url.path());
    if log.has_switched() {
        files::write_atomic(&mark, b"the database had no write-ahead log before this session\n")?;
    }
    Ok(Some(log))
}

/// Takes the log back. Where others still need it, the mark goes all the same: the last of them folds it in.
fn take_back(log: Option<WriteAhead>, folder: &Path) {
    if let Some(log) = log {
        log.end();
        // A mark that stays only makes a later process look once more.
        let _ = std::fs::remove_file(folder.join(LOG_MARK));
    }
}

/// Marks a session whose database got a write-ahead log from it.
const LOG_MARK: &str = "write-ahead";

/// A run id that is not there is most often a slip: draining nothing would hide it.
fn require_runs(store: &mut dyn Store, wanted: &[String]) -> anyhow::Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let runs = store.run_ids()?;
    let Some(missing) = wanted.iter().find(|id| !runs.contains(id)) else { return Ok(()) };
    let some: Vec<&str> = runs.iter().take(5).map(String::as_str).collect();
    let expected = format!("one of {}: {}", plural(runs.len() as u64, "run"), some.join(", "));
    Err(Refusal::new("there is no such run", expected, format!("`{missing}`")).into())
}

/// Refuses when another drain holds a lease.
fn require_alone(store: &mut dyn Store, settings: &Settings) -> anyhow::Result<()> {
    let owners = store.live_owners(settings.clock.now())?;
    if owners.is_empty() {
        return Ok(());
    }
    let found = format!("leases of {}", owners.join(", "));
    Err(Refusal::new("another drain works on this database", "no lease that has not expired", found)
        .next("wait for it, or leave --exclusive away: drains share the phases")
        .into())
}

/// A policy with fresh ids and the flag of the environment, without limits and without triage.
pub(crate) fn policy(
    settings: &Settings,
    selection: Selection,
    how: &ExecutorArgs,
) -> anyhow::Result<Policy> {
    let mut ids = settings.ids();
    Ok(Policy {
        settings: Allowed { selection, triage: TriagePolicy::off(), ..Allowed::default() },
        lease: how.lease(),
        telemetry: Flag::parse(settings.telemetry_flag.as_deref()),
        telemetry_debug: settings.store_options()?.debug,
        session_id: format!("drain-{}-{}", settings.clock.now().compact(), ids.hex("session", 3)),
        owner: format!("worker-{}", ids.hex("owner", 6)),
        database: String::new(),
        stop_file: None,
        coefficients: Config::of(&settings.cwd)?.estimator.coefficients,
    })
}

/// Drains with progress on stderr until done or interrupted.
pub(crate) fn work(
    store: &mut dyn Store,
    workers: Vec<Worker>,
    policy: &Policy,
    journal: Option<Journal>,
    history: &History,
    settings: &Settings,
    output: &Output,
) -> anyhow::Result<DrainReport> {
    let stop = signal::stop_flag()?;
    let mut progress = output.progress(0, "attempts");
    let mut tell = |done: u64, total: u64, phase: &str| progress.at(done, total, phase);
    let surroundings = Surroundings { clock: settings.clock, stop, progress: &mut tell };
    Ok(drain(store, workers, policy, journal, history, surroundings)?)
}

fn write_reports(report: &DrainReport, folder: &Path) -> anyhow::Result<()> {
    let document = report.document();
    files::write_atomic(&folder.join("report.json"), output::pretty(report)?.as_bytes())?;
    files::write_atomic(&folder.join("report.md"), document.markdown().as_bytes())?;
    files::write_atomic(&folder.join("report.html"), document.html().as_bytes())?;
    Ok(())
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

/// The states that a drain may take phases from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum From {
    /// Waiting for an attempt
    Queued,
    /// Given up by an earlier drain or program; fails again where it was
    Failed,
}

impl From {
    fn state(self) -> PhaseState {
        match self {
            Self::Queued => PhaseState::Queued,
            Self::Failed => PhaseState::Failed,
        }
    }
}
