//! Which executor attempts the phases: arguments shared by `drain` and `seed-telemetry`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use ops::guard::Refusal;
use ops::identity::Identity;
use ops::work::drain::{CommandExecutor, Executor, Recorded};

use crate::settings::Settings;

/// The executors by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Replay outcomes that were recorded before; works offline, for seed databases only
    Recorded,
    /// Run a program: the phase as JSON on its stdin, the result as JSON on its stdout
    Command,
}

/// How phases are attempted.
#[derive(Debug, clap::Args)]
pub(crate) struct ExecutorArgs {
    /// Directory of recorded outcomes [default: those of this repository]
    #[arg(long, value_name = "DIR")]
    outcomes: Option<PathBuf>,
    /// How long one attempt of a program may take, in seconds; then its whole process group is ended
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// How long a phase stays ours when this process says nothing any more, in seconds; it is renewed while the process
    /// lives [default: the timeout and a minute]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    lease: Option<u64>,
    /// The program and its arguments, for the executor `command`; it runs in a new directory for each attempt,
    /// so relative paths in its arguments are paths there
    #[arg(last = true, value_name = "PROGRAM")]
    program: Vec<String>,
}

impl ExecutorArgs {
    /// The executor. Attempts of a program keep their files under `directory`.
    pub(crate) fn executor(
        &self,
        kind: Kind,
        directory: &Path,
        settings: &Settings,
    ) -> anyhow::Result<Box<dyn Executor>> {
        match kind {
            Kind::Recorded if !self.program.is_empty() => {
                bail!("a program is run by `--executor command` only")
            }
            Kind::Recorded => {
                let own = settings.root.join("fixtures/seed-telemetry/outcomes");
                let place = self.outcomes.as_ref().map_or(own, |dir| settings.cwd.join(dir));
                if !place.is_dir() {
                    bail!("there is no directory of recorded outcomes at `{}`", place.display());
                }
                Ok(Box::new(Recorded::new(&place)))
            }
            Kind::Command if self.program.is_empty() => {
                bail!("`--executor command` needs a program: … --executor command -- PROGRAM [ARGS]")
            }
            Kind::Command => Ok(Box::new(CommandExecutor {
                program: self.program_from(settings),
                timeout: Duration::from_secs(self.timeout),
                directory: directory.to_path_buf(),
            })),
        }
    }

    /// The program and its arguments. It will run in another directory, so a path to it is made absolute;
    /// a bare name is looked up in PATH.
    fn program_from(&self, settings: &Settings) -> Vec<String> {
        let mut program = self.program.clone();
        if let Some(name) = program.first_mut()
            && Path::new(name.as_str()).components().count() > 1
            && let Some(path) = settings.cwd.join(name.as_str()).to_str()
        {
            path.clone_into(name);
        }
        program
    }

    /// How long a lease lasts without being renewed; longer than any attempt unless it was said.
    pub(crate) fn lease(&self) -> Duration {
        Duration::from_secs(self.lease.unwrap_or(self.timeout.saturating_add(60)))
    }
}

/// Recorded outcomes are not this database's own: only a seed database may take them.
pub(crate) fn require_purpose(kind: Kind, identity: &Identity) -> Result<(), Refusal> {
    let purpose = identity.lineage.as_ref().map(|lineage| lineage.purpose.as_str());
    if kind != Kind::Recorded || purpose == Some("seed") {
        return Ok(());
    }
    let found =
        purpose.map_or_else(|| "a database that was never stamped".to_owned(), |p| format!("purpose `{p}`"));
    Err(Refusal::new("recorded outcomes may only be replayed into a seed database", "purpose `seed`", found)
        .next("--executor command -- PROGRAM attempts the phases in earnest"))
}
