//! `plan`: look at a plan that was made, ask whether it still fits, take a part of it.

use std::path::PathBuf;

use anyhow::Context;
use ops::change::gate;
use ops::change::plan::{KeySet, Op, PlanDir, Selection, check, select};
use ops::guard::Refusal;

use super::backup_plan;
use super::db_identity::VERSION;
use super::target::{self, TargetArgs};
use crate::exit::Code;
use crate::output::Output;
use crate::settings::Settings;

/// Look at a plan, ask whether it still fits its target, or take a part of it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Print what a person reviews: counts, risky rows first, samples
    Show {
        #[command(flatten)]
        plan: PlanArgs,
        /// Print plan.json
        #[arg(long)]
        json: bool,
    },
    /// Print one row before and after
    Diff {
        #[command(flatten)]
        plan: PlanArgs,
        /// Its key: a value, values with commas between, or JSON
        key: String,
    },
    /// Say row by row whether the target still is what the plan saw; exit 4 when it is not
    Check {
        #[command(flatten)]
        plan: PlanArgs,
        #[command(flatten)]
        target: TargetArgs,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Make a smaller plan with an id of its own
    Select(SelectArgs),
}

#[derive(Debug, clap::Args)]
struct SelectArgs {
    #[command(flatten)]
    plan: PlanArgs,
    /// A file with one key a line
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Only changes of these kinds
    #[arg(long, value_name = "OP,…", value_delimiter = ',', value_parser = op)]
    only: Vec<Op>,
    /// Only updates that change nothing but these columns
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    columns: Vec<String>,
    /// Where the plan goes
    #[arg(long, value_name = "DIR", default_value = DEFAULT_OUT)]
    out: PathBuf,
    /// The chain of approvals and runs
    #[arg(long, value_name = "FILE", default_value = gate::DEFAULT_PATH)]
    gates: PathBuf,
    /// Print plan.json
    #[arg(long)]
    json: bool,
}

/// Where plans are kept unless a person says otherwise.
pub(crate) const DEFAULT_OUT: &str = ".ops/plans";

fn op(text: &str) -> Result<Op, String> {
    Op::parse(text).ok_or_else(|| "expected insert, update or delete".to_owned())
}

/// Which plan.
#[derive(Debug, clap::Args)]
pub(crate) struct PlanArgs {
    /// The plan's folder, or its id when it is below .ops/plans
    #[arg(long, value_name = "PLAN")]
    pub(crate) plan: PathBuf,
}

impl PlanArgs {
    /// Opens the plan, which proves that nobody has edited it.
    pub(crate) fn open(&self, settings: &Settings) -> anyhow::Result<PlanDir> {
        let usual = settings.cwd.join(DEFAULT_OUT);
        let mut by_id = std::ffi::OsString::from("plan-");
        by_id.push(self.plan.as_os_str());
        let places = [settings.cwd.join(&self.plan), usual.join(&self.plan), usual.join(by_id)];
        let Some(found) = places.iter().find(|place| place.is_dir()) else {
            let refusal = Refusal::new(
                "there is no such plan",
                "the folder of a plan, or an id below .ops/plans",
                self.plan.display().to_string(),
            );
            return Err(refusal.next("cargo xtask backup-plan makes one").into());
        };
        Ok(PlanDir::open(found)?)
    }
}

pub(crate) fn run(args: &Args, settings: &Settings) -> anyhow::Result<Code> {
    match &args.what {
        What::Show { plan, json } => {
            let (plan, output) = (plan.open(settings)?, Output::new(settings, *json));
            output.json(plan.manifest())?;
            output.document(&plan.review()?);
            Ok(Code::Done)
        }
        What::Diff { plan, key } => {
            Output::new(settings, false).document(&plan.open(settings)?.diff(key)?);
            Ok(Code::Done)
        }
        What::Check { plan, target, json } => {
            let (plan, output) = (plan.open(settings)?, Output::new(settings, *json));
            let mut target = target.open_for(&plan, settings)?;
            target::identify(target.as_mut(), &output)?;
            let freshness = check(&plan, target.as_mut())?;
            output.json(&freshness)?;
            output.document(&freshness.document());
            Ok(if freshness.is_fresh() { Code::Done } else { Code::Pending })
        }
        What::Select(args) => choose(args, settings),
    }
}

fn choose(args: &SelectArgs, settings: &Settings) -> anyhow::Result<Code> {
    let plan = args.plan.open(settings)?;
    let keys = args.keys.as_ref().map(|file| {
        let text = ops::files::read_text(&settings.cwd.join(file)).context("the keys cannot be read")?;
        anyhow::Ok(KeySet::new(text.lines().filter(|line| !line.trim().is_empty())))
    });
    let selection =
        Selection { keys: keys.transpose()?, ops: args.only.clone(), columns: args.columns.clone() };
    let out = settings.cwd.join(&args.out);
    let smaller = select(&plan, selection, &out, settings.clock.now(), VERSION)?;
    backup_plan::record(&smaller, &settings.cwd.join(&args.gates), settings)?;
    backup_plan::show(&smaller, &Output::new(settings, args.json), settings)?;
    Ok(Code::Done)
}
