//! `pipeline`: where a plan stands on its way through the gates. It starts nothing.

use std::path::{Path, PathBuf};

use ops::change::gate::{self, Gates, Stage, Walk};

use super::backfill;
use crate::exit::Code;
use crate::output::Output;
use crate::settings::Settings;

/// Where a backfill stands: plan, approve, apply, soak, health
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Say which stages passed, and the command that comes next
    ///
    /// Starts nothing: each stage is started by a person. Exit 6 when a stage did not pass or a record came out of
    /// its order.
    Status {
        #[command(flatten)]
        plan: PlanArgs,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Refuse (exit 6) unless this stage is the one that comes next
    Require {
        /// The stage: plan, approve, apply, soak or health
        #[arg(value_parser = stage)]
        stage: Stage,
        #[command(flatten)]
        plan: PlanArgs,
    },
}

#[derive(Debug, clap::Args)]
struct PlanArgs {
    /// The folder of a plan, or the first digits of its id; without it, the plan of the last record
    #[arg(long, value_name = "DIR|ID")]
    plan: Option<String>,
    /// The chain
    #[arg(long, value_name = "FILE", default_value = gate::DEFAULT_PATH)]
    gates: PathBuf,
}

fn stage(text: &str) -> Result<Stage, String> {
    let known = || gate::WAY.map(Stage::as_str).join(", ");
    gate::WAY
        .into_iter()
        .find(|stage| stage.as_str() == text)
        .ok_or_else(|| format!("expected one of {}", known()))
}

impl PlanArgs {
    /// The plan's way so far; a folder is read whole first, so that an edited plan is refused.
    fn walk(&self, settings: &Settings) -> anyhow::Result<Walk> {
        let id = match &self.plan {
            Some(text) if settings.cwd.join(text).is_dir() => {
                Some(backfill::open(Path::new(text), settings)?.plan().id.clone())
            }
            other => other.clone(),
        };
        Ok(Gates::load(&settings.cwd.join(&self.gates))?.walk(id.as_deref())?)
    }
}

pub(crate) fn run(args: &Args, settings: &Settings) -> anyhow::Result<Code> {
    match &args.what {
        What::Status { plan, json } => {
            let output = Output::new(settings, *json);
            let walk = plan.walk(settings)?;
            output.json(&walk)?;
            output.document(&walk.document());
            Ok(if walk.is_stopped() { Code::GateNotMet } else { Code::Done })
        }
        What::Require { stage, plan } => {
            plan.walk(settings)?.require_next(*stage)?;
            Output::new(settings, false).line(&format!("`{}` comes next", stage.as_str()));
            Ok(Code::Done)
        }
    }
}
