//! The servers that a bench runs against: the stack, with the disk waited for.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;
use xshell::cmd;

use super::path;
use crate::dev::bench::Bench;
use crate::output;

/// A running stack; stopped when it is dropped.
pub(in crate::dev::bench) struct Server<'a> {
    bench: &'a Bench,
    state: PathBuf,
    /// The URL of the database.
    pub(in crate::dev::bench) database: String,
    /// The URL of PostgREST itself, with no gateway before it that could take the time.
    pub(super) rest: String,
    /// The key of the service role.
    pub(super) key: String,
}

impl<'a> Server<'a> {
    /// An error is the reason in words.
    pub(in crate::dev::bench) fn start(bench: &'a Bench) -> Result<Self, String> {
        output::stderr("starting PostgreSQL and PostgREST\n");
        let (program, state) = (&bench.program, bench.folder.join("stack"));
        let sh = &bench.cargo.sh;
        let up = || -> anyhow::Result<Self> {
            // One that a killed run left behind would not wait for the disk, perhaps.
            cmd!(sh, "{program} stack down --state {state}").quiet().ignore_stdout().run()?;
            cmd!(sh, "{program} stack up --fsync --state {state}").quiet().ignore_stdout().run()?;
            let text = ops::files::read_text(&state.join("stack.json"))?;
            let facts: Value = serde_json::from_str(&text)?;
            let fact = |pointer: &str| {
                let text = facts.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
                text.with_context(|| format!("the stack does not say its {pointer}"))
            };
            let (database, rest) = (fact("/database_url")?, fact("/postgrest_url")?);
            Ok(Self { bench, state: state.clone(), database, rest, key: fact("/keys/service_role")? })
        };
        up().map_err(|error| format!("{error:#}"))
    }

    /// Runs a script with psql.
    pub(in crate::dev::bench) fn script(&self, file: &Path) -> anyhow::Result<()> {
        let (file, url) = (path(file), &self.database);
        let psql = cmd!(self.bench.cargo.sh, "psql -X -q -v ON_ERROR_STOP=1 -f {file} {url}");
        Ok(psql.quiet().ignore_stdout().run()?)
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        let (program, state) = (&self.bench.program, &self.state);
        // Where it cannot be stopped, the next `up` says so.
        let _ =
            cmd!(self.bench.cargo.sh, "{program} stack down --state {state}").quiet().ignore_stdout().run();
    }
}
