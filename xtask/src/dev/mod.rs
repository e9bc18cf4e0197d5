//! Tasks for those who work on this repository: check everything, measure against peers, run the servers of
//! the live tests.
//!
//! They start other programs and so are the only users of xshell; no task of the toolkit may depend on them.

pub(crate) mod bench;
pub(crate) mod ci;
pub(crate) mod stack;
mod suite;

use anyhow::Context;
use xshell::{Cmd, Shell, cmd};

use crate::settings::Settings;

/// The cargo that runs this program, in the root of the repository.
#[derive(Debug)]
pub(crate) struct Cargo {
    sh: Shell,
    program: String,
}

impl Cargo {
    pub(crate) fn new(settings: &Settings) -> anyhow::Result<Self> {
        let sh = Shell::new().context("failed to find the working directory")?;
        sh.change_dir(&settings.root);
        let program = sh.var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        Ok(Self { sh, program })
    }

    /// The command `cargo <args>`, not yet started. What it prints goes where our own output goes.
    pub(crate) fn command(&self, args: &[&str]) -> Cmd<'_> {
        let program = &self.program;
        // The suite decides by comparing; whoever runs it must not make it accept what it sees.
        cmd!(self.sh, "{program} {args...}").quiet().env_remove("UPDATE_GOLDEN")
    }

    /// Whether the command succeeds; prints nothing.
    fn can(&self, args: &[&str]) -> bool {
        self.command(args).ignore_stdout().ignore_stderr().run().is_ok()
    }
}
