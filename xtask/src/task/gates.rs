//! `gates`: who let what through, and whether the record of it can be relied on.

use std::path::PathBuf;

use ops::change::gate::{self, Gates};

use crate::exit::Code;
use crate::output::Output;
use crate::settings::Settings;

/// Show or audit the chain of plans, approvals, runs and rollbacks
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Print the records
    Show {
        #[command(flatten)]
        file: FileArgs,
        /// Only those about this plan (its id, or the first digits of it)
        #[arg(long, value_name = "ID")]
        plan: Option<String>,
        /// Print the records as one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Check every record against the one before it; exit 6 when something cannot be
    Audit {
        #[command(flatten)]
        file: FileArgs,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
struct FileArgs {
    /// The chain
    #[arg(long, value_name = "FILE", default_value = gate::DEFAULT_PATH)]
    gates: PathBuf,
}

pub(crate) fn run(args: &Args, settings: &Settings) -> anyhow::Result<Code> {
    match &args.what {
        What::Show { file, plan, json } => {
            let output = Output::new(settings, *json);
            let gates = Gates::load(&settings.cwd.join(&file.gates))?;
            output.json(&gates.records())?;
            output.document(&gates.document(plan.as_deref()));
            Ok(Code::Done)
        }
        What::Audit { file, json } => {
            let output = Output::new(settings, *json);
            let audit = gate::audit(&settings.cwd.join(&file.gates))?;
            output.json(&audit)?;
            output.document(&audit.document());
            Ok(if audit.is_clean() { Code::Done } else { Code::GateNotMet })
        }
    }
}
