//! `upsert`: apply a plan, behind its gate; without `--apply`, show what would be sent.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ops::change::apply::{self, Context, Order, Replan, RunReport, Start};
use ops::change::error::RunError;
use ops::change::gate::{Decision, Entry, GateError, Gates, Stage};
use ops::change::pace::RealPace;
use ops::change::plan::{PlanDir, PlanKind, commands};
use ops::change::planner::{self, PlanningError, Request, Surroundings};
use ops::records::Format;
use ops::target::{Target, TargetError, TargetIdentity};

use super::backup_plan::surroundings;
use super::database::shown;
use super::plan::PlanArgs;
use super::run::{self, ApprovalArgs, RunArgs};
use super::target::{self, TargetArgs};
use crate::exit::Code;
use crate::output::Output;
use crate::settings::Settings;
use crate::signal::stop_flag;

/// Apply a plan, row by row only where the table still is what the plan saw
///
/// Without --apply it shows what would be sent, and sends nothing but reads. With --apply and the approval of exactly
/// this plan it writes in batches, keeps a journal, reads everything back, and plans again. It can be interrupted
/// and resumed at any point.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    target: TargetArgs,
    /// Write; without this only reads are sent
    #[arg(long)]
    apply: bool,
    #[command(flatten)]
    approval: ApprovalArgs,
    /// Go on with a run that stopped; with an approval also past a canary
    #[arg(long, requires = "apply")]
    resume: bool,
    /// Apply the first rows, read them back, and stop until somebody approved going on
    #[arg(long, value_name = "ROWS", requires = "apply")]
    canary: Option<NonZeroU64>,
    /// Refuse a plan that is older
    #[arg(long, value_name = "HOURS", default_value = "24")]
    max_age: NonZeroU64,
    /// Refuse unless this plan was rehearsed with success
    #[arg(long)]
    require_rehearsal: bool,
    /// The file that the plan was made from: plan again at the end, which must find nothing to do
    #[arg(long, value_name = "FILE")]
    desired: Option<PathBuf>,
    /// Its cell that means NULL, where it is CSV or TSV
    #[arg(long, value_name = "TEXT", requires = "desired")]
    null: Option<String>,
    #[command(flatten)]
    run: RunArgs,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, settings: &Settings) -> anyhow::Result<Code> {
    let output = Output::new(settings, args.json);
    let plan = args.plan.open(settings)?;
    let mut target = args.target.open_for(&plan, settings)?;
    target::identify(target.as_mut(), &output)?;
    let mut pace = RealPace::new(settings.clock);
    let mut ids = settings.ids();
    let mut bar = output.progress(plan.len(), "rows");
    let mut context = Context {
        target: target.as_mut(),
        pace: &mut pace,
        ids: &mut ids,
        stop: stop_flag()?,
        progress: &mut |progress| run::show(&mut bar, progress),
    };
    let run_settings = args.run.settings(args.canary, settings);
    if !args.apply {
        let preview = apply::preview_plan(&plan, &run_settings, &mut context, ROWS_SHOWN)?;
        output.json(&preview)?;
        output.document(&preview.document());
        output.line(&format!("Nothing was sent but reads. To apply: {}", next(&plan, settings)));
        return Ok(Code::Done);
    }
    let mut gate = |plan: &PlanDir, _: &TargetIdentity| gate(args, plan, settings);
    let desired = args.desired.as_ref();
    let request = desired.map(|file| request(file, args.null.as_deref(), &plan, settings));
    let around = surroundings(settings)?;
    let mut plan_again = |target: &mut dyn Target| -> Result<Replan, RunError> {
        again(target, request.as_ref().expect("asked only with a request"), &around)
    };
    let order = Order {
        start: if args.resume {
            Start::Resume { is_approved: args.approval.is_given() }
        } else {
            Start::Fresh
        },
        age_max: Duration::from_hours(args.max_age.get()),
        gate: &mut gate,
        plan_again: request.is_some().then_some(&mut plan_again),
    };
    let result = apply::apply(&plan, &run_settings, order, &mut context);
    drop(bar);
    let report = result?;
    note(args, &plan, &report, settings)?;
    output.json(&report)?;
    output.document(&report.document());
    Ok(run::code(report.end))
}

/// Changes that a dry run prints.
const ROWS_SHOWN: usize = 20;

/// The approval, and what was demanded besides it; noted before the first row is written.
fn gate(args: &Args, plan: &PlanDir, settings: &Settings) -> Result<(), GateError> {
    let manifest = plan.manifest();
    if args.require_rehearsal {
        Gates::load(&args.approval.path(settings))?.require_pass(Stage::Rehearse, manifest)?;
    }
    args.approval.approve(manifest, settings)?;
    let begun = Entry::about(manifest, Stage::Apply, Decision::Begun);
    args.approval.append(begun, settings)
}

/// The planning that the plan came from, to be made again.
pub(super) fn request(file: &Path, null: Option<&str>, plan: &PlanDir, settings: &Settings) -> Request {
    let facts = plan.facts();
    let format = facts.desired.format.split('+').next().and_then(Format::parse);
    Request {
        table: plan.layout().table.name.clone(),
        key: facts.key.clone(),
        desired: settings.cwd.join(file),
        format,
        null: null.unwrap_or_default().to_owned(),
        ignore_columns: facts.ignored_columns.iter().cloned().collect(),
        compare: facts.comparators.iter().map(|(column, rule)| format!("{column}={rule}")).collect(),
        allow_delete: facts.kind == PlanKind::Delete,
        expect_empty: false,
    }
}

/// Plans again, and says what is left to do.
pub(super) fn again(
    target: &mut dyn Target,
    request: &Request,
    around: &Surroundings<'_>,
) -> Result<Replan, RunError> {
    let counts = planner::remaining(target, request, around).map_err(|error| not_planned(&error))?;
    Ok(Replan::Left { insert: counts.insert, update: counts.update, delete: counts.delete })
}

fn not_planned(error: &PlanningError) -> RunError {
    TargetError::failed("plan again", run::chain(error)).into()
}

/// Notes in the chain what came of it: the canary, or the whole.
fn note(args: &Args, plan: &PlanDir, report: &RunReport, settings: &Settings) -> anyhow::Result<()> {
    let stage = if args.canary.is_some() && report.canary.is_some() { Stage::Canary } else { Stage::Apply };
    let mut entry = run::entry(plan.manifest(), stage, report);
    if let Some(canary) = report.canary.filter(|_| stage == Stage::Canary) {
        entry.decision = if canary.altered == 0 { Decision::Pass } else { Decision::Fail };
    }
    Ok(args.approval.append(entry, settings)?)
}

fn next(plan: &PlanDir, settings: &Settings) -> String {
    let approve = commands::approve(plan.manifest());
    format!("cargo xtask upsert --plan {} --apply {approve}", shown(plan.path(), settings))
}
