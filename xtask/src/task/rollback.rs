//! `rollback`: take back what a plan has really written, and nothing else.

use std::path::PathBuf;

use anyhow::Context as _;
use ops::change::apply::Context;
use ops::change::gate::{Decision, Entry, Stage};
use ops::change::pace::RealPace;
use ops::change::plan::{KeySet, PlanDir, commands};
use ops::change::rollback::{RollbackOrder, rollback};
use ops::guard::Refusal;
use ops::target::TargetIdentity;

use super::database::shown;
use super::plan::PlanArgs;
use super::run::{self, ApprovalArgs, RunArgs};
use super::target::{self, TargetArgs};
use crate::exit::Code;
use crate::output::Output;
use crate::settings::Settings;
use crate::signal::stop_flag;

/// Take back what a plan has really written
///
/// Rows are restored, and inserted rows deleted, only where they still are exactly what the run stored; every other
/// row is left alone and listed. Running it again does nothing more.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    target: TargetArgs,
    /// Write; without this it only says what to type
    #[arg(long)]
    apply: bool,
    #[command(flatten)]
    approval: ApprovalArgs,
    /// Only the rows whose keys are in this file, one a line
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// In batches, also where it could be one transaction
    #[arg(long)]
    in_batches: bool,
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
    if !args.apply {
        return Err(not_ordered(&plan, settings).into());
    }
    let keys = args.keys.as_ref().map(|file| {
        let text = ops::files::read_text(&settings.cwd.join(file)).context("the keys cannot be read")?;
        anyhow::Ok(KeySet::new(text.lines().filter(|line| !line.trim().is_empty())))
    });
    let mut gate = |plan: &PlanDir, _: &TargetIdentity| {
        args.approval.approve(plan.manifest(), settings)?;
        let begun = Entry::about(plan.manifest(), Stage::Rollback, Decision::Begun);
        if args.approval.was_applied(plan, settings)? {
            args.approval.append(begun, settings)
        } else {
            Ok(())
        }
    };
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
    let order = RollbackOrder { keys: keys.transpose()?, in_batches: args.in_batches, gate: &mut gate };
    let result = rollback(&plan, &args.run.settings(None, settings), order, &mut context);
    drop(bar);
    let report = result?;
    // A rollback of what was never applied does nothing, and is no stage.
    if args.approval.was_applied(&plan, settings)? {
        args.approval.append(run::entry(plan.manifest(), Stage::Rollback, &report), settings)?;
    }
    output.json(&report)?;
    output.document(&report.document());
    Ok(run::code(report.end))
}

fn not_ordered(plan: &PlanDir, settings: &Settings) -> Refusal {
    let approve = commands::approve(plan.manifest());
    Refusal::new(
        "nothing is taken back without an order",
        "--apply and the approval of this plan",
        "no --apply",
    )
    .next("cargo xtask plan check says which rows still are what the plan wrote")
    .next(format!("cargo xtask rollback --plan {} --apply {approve}", shown(plan.path(), settings)))
}
