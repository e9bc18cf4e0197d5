//! `rehearse`: try a plan on a clone of its table, there and back, before anybody approves it.

mod place;
mod process;
mod shell;

use std::path::PathBuf;

use ops::change::apply::{BatchRows, Replan, Settings as RunSettings};
use ops::change::error::RunError;
use ops::change::gate::{self, Gates};
use ops::change::rehearse::{self, CrashAt, Errand, Rehearsal, RehearseError, Tools, Ways, rehearse};
use ops::target::Target;

use super::backup_plan::surroundings;
use super::database::shown;
use super::plan::PlanArgs;
use super::target::{self, TargetArgs};
use super::upsert;
use crate::exit::Code;
use crate::output::Output;
use crate::settings::Settings;
use crate::signal::stop_flag;

/// Try a plan on a clone of its table, there and back, before anybody approves it
///
/// The clone is filled from the plan's own backup. The plan is applied to it, read back, planned again, taken back by
/// rollback.sql, applied again, and rolled back; the digests must agree at every step. Then, with --crash-at,
/// once more with processes that are killed. The clone is removed at the end; what a killed rehearsal leaves is removed by
/// the next one. For a SQLite target the clone is a private file beside the plan. For PostgreSQL, and for what is
/// behind PostgREST, it is a schema of its own in the database that --scratch names. Nothing is written to the
/// target. Exit 1 when the plan does not do what it says.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) plan: PlanArgs,
    /// The target of the plan, where the plan cannot name it with its password; only its catalogue is read
    #[arg(long, value_name = "URL")]
    pub(super) target: Option<String>,
    /// The PostgreSQL database in which to make the clone; also SCRATCH_DATABASE_URL, which keeps a password out of the
    /// list of processes
    #[arg(long, value_name = "URL")]
    pub(super) scratch: Option<String>,
    /// Make the clone in the target's own database, in a schema that is removed again; without this the target is refused
    /// as scratch
    #[arg(long)]
    pub(super) in_target: bool,
    /// Rows in a batch
    #[arg(long, value_name = "ROWS", default_value = "200")]
    batch_size: std::num::NonZeroUsize,
    /// Kill processes at their writes: none, all, or a number of writes spread over all of them
    #[arg(long, value_name = "WRITES", default_value = "none", value_parser = crash_at)]
    crash_at: CrashAt,
    /// The file that the plan was made from: plan again on the clone, which must find nothing to do
    #[arg(long, value_name = "FILE")]
    desired: Option<PathBuf>,
    /// Its cell that means NULL, where it is CSV or TSV
    #[arg(long, value_name = "TEXT", requires = "desired")]
    null: Option<String>,
    /// The chain of approvals and runs
    #[arg(long, value_name = "FILE", default_value = gate::DEFAULT_PATH)]
    gates: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Be one process of a rehearsal
    #[arg(long, value_name = "ERRAND", hide = true)]
    errand: Option<Errand>,
}

fn crash_at(text: &str) -> Result<CrashAt, String> {
    match text {
        "none" => Ok(CrashAt::None),
        "all" => Ok(CrashAt::All),
        number => match number.parse() {
            Ok(number) if number > 0 => Ok(CrashAt::Sample(number)),
            _ => Err("expected none, all, or a number of writes from 1 on".to_owned()),
        },
    }
}

impl Args {
    fn run_settings(&self) -> RunSettings {
        RunSettings { batch: BatchRows { rows: self.batch_size, time: None }, ..RunSettings::default() }
    }

    fn target_args(&self) -> TargetArgs {
        TargetArgs { target: self.target.clone(), sqlite_normal: false }
    }
}

pub(crate) fn run(args: &Args, settings: &Settings) -> anyhow::Result<Code> {
    if let Some(errand) = args.errand {
        return process::run(args, errand, settings);
    }
    let output = Output::new(settings, args.json);
    let plan = args.plan.open(settings)?;
    let gates = settings.cwd.join(&args.gates);
    // A chain that cannot be added to is found out before the work.
    Gates::load(&gates)?;
    let stop = stop_flag()?;
    let mut ids = settings.ids();
    // Behind PostgREST there is no catalogue to look at: the plan knows what the table looks like.
    if place::has_catalogue(&plan) {
        let mut target = args.target_args().open_for(&plan, settings)?;
        target::identify(target.as_mut(), &output)?;
        rehearse::require_target(&plan, target.as_mut(), settings.clock, &mut ids, stop)?;
    }
    let place = place::find(args, &plan, settings)?;
    let mut scratch = place.scratch(&plan, settings)?;
    let request =
        args.desired.as_ref().map(|file| upsert::request(file, args.null.as_deref(), &plan, settings));
    let around = surroundings(settings)?;
    let mut plan_again = |target: &mut dyn Target| -> Result<Replan, RunError> {
        upsert::again(target, request.as_ref().expect("asked only with a request"), &around)
    };
    let mut bar = output.progress(plan.len(), "done");
    let ways = Ways {
        settings: args.run_settings(),
        plan_again: request.is_some().then_some(&mut plan_again),
        shell: &mut |script| place.run_script(&plan, script),
        crash_at: args.crash_at,
        process: &mut |errand| process::start(args, errand, settings),
    };
    let tools = Tools {
        clock: settings.clock,
        ids: &mut ids,
        stop,
        progress: &mut |step, done, total| bar.at(done, total, step),
    };
    let result = rehearse(&plan, scratch.as_mut(), ways, tools);
    drop(bar);
    let rehearsal = match result {
        Err(RehearseError::Stopped) => {
            output.line("Stopped; the clone is removed, and nothing was decided.");
            return Ok(Code::Interrupted);
        }
        result => result?,
    };
    super::gates::append(&gates, rehearsal.entry(plan.manifest()), settings)?;
    show(&rehearsal, &plan, &output, settings)?;
    Ok(if rehearsal.passed { Code::Done } else { Code::Failed })
}

fn show(
    rehearsal: &Rehearsal,
    plan: &ops::change::plan::PlanDir,
    output: &Output,
    settings: &Settings,
) -> anyhow::Result<()> {
    output.json(rehearsal)?;
    let mut document = rehearsal.document();
    let report = rehearse::folder(plan).join(rehearse::REPORT_MD);
    document.facts([
        ("report", shown(&report, settings)),
        ("next", rehearsal.next(plan.manifest(), &shown(plan.path(), settings))),
    ]);
    output.document(&document);
    Ok(())
}
