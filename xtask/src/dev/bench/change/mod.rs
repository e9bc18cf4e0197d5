//! Area `change`: comparing a table with a file, and writing what differs, on the three targets.
//!
//! The data and the upserts written by hand are a Rust program of their own, the example `by_hand`; the servers are
//! those of `stack`, with the disk waited for.

mod apply;
mod compare;
mod postgrest;
pub(super) mod server;

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;
use xshell::cmd;

use self::server::Server;
use super::{Bench, Comparison, Measured, Missing};
use crate::output;

/// Planning and applying changes, against DuckDB, Python, and upserts written by hand
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these parts
    #[arg(long, value_enum, value_name = "PART", value_delimiter = ',')]
    part: Vec<Part>,
    /// Rows of the comparison that shows how memory grows; 50 million take 50 GB of disk
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1000..))]
    rows: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// 1 million desired rows with 1 million live ones, in SQLite and PostgreSQL
    Compare,
    /// 400,000 changes of a table of 500,000 rows in SQLite
    ApplySqlite,
    /// The same in PostgreSQL
    ApplyPostgres,
    /// Changes through PostgREST, with and without its functions
    Postgrest,
}

/// Live rows where changes are applied.
const APPLY_ROWS: u64 = 500_000;

/// What the parts share.
struct Change<'a> {
    bench: &'a Bench,
    by_hand: PathBuf,
    /// `None` where it cannot be had.
    server: Option<Server<'a>>,
    results: Vec<Comparison>,
    missing: Vec<Missing>,
}

pub(super) fn run(bench: &Bench, args: &Args) -> anyhow::Result<Measured> {
    output::stderr("building what it is measured against\n");
    let build = "build --release --locked --package xtask --example by_hand --features bench";
    bench.cargo.command(&build.split(' ').collect::<Vec<_>>()).run()?;
    let by_hand = bench.program.with_file_name(format!("examples/by_hand{}", std::env::consts::EXE_SUFFIX));
    let mut missing = Vec::new();
    let server =
        Server::start(bench).map_err(|why| missing.push(Missing { peer: "PostgreSQL and PostgREST", why }));
    let mut change = Change { bench, by_hand, server: server.ok(), results: Vec::new(), missing };
    let is_wanted = |part| args.part.is_empty() || args.part.contains(&part);
    if is_wanted(Part::Compare) {
        change.compare(args.rows)?;
    }
    if is_wanted(Part::ApplySqlite) {
        change.apply_sqlite()?;
    }
    if is_wanted(Part::ApplyPostgres) {
        change.apply_postgres()?;
    }
    if is_wanted(Part::Postgrest) {
        change.postgrest()?;
    }
    let Change { results, missing, .. } = change;
    Ok(Measured {
        format: 2,
        area: "change",
        size: compare::rows(bench),
        pairs: bench.pairs,
        results,
        missing,
    })
}

impl Change<'_> {
    /// The folder with data for this many live rows, made unless what is there was made by the same program.
    fn data(&self, rows: u64, mix: &str, outputs: &[&str]) -> anyhow::Result<PathBuf> {
        let folder = self.bench.folder.join(format!("change-{mix}-{rows}"));
        let note = folder.join("recipe");
        let source = include_str!("../../../../examples/by_hand/data.rs");
        let recipe = format!("{}\n{source}", outputs.join(" "));
        if !ops::files::read_text(&note).is_ok_and(|found| found == recipe) {
            output::stderr(&format!("making {rows} rows\n"));
            self.bench.cargo.sh.remove_path(&folder)?;
            ops::files::create_dir(&folder)?;
            self.by_hand(&[&["data", path(&folder), &rows.to_string(), mix], outputs].concat())?;
            ops::files::write_atomic(&note, recipe.as_bytes())?;
        }
        Ok(folder)
    }

    /// What the program says to these arguments.
    fn by_hand(&self, args: &[&str]) -> anyhow::Result<String> {
        let by_hand = &self.by_hand;
        Ok(cmd!(self.bench.cargo.sh, "{by_hand} {args...}").quiet().read()?)
    }

    /// The command of a way of the program.
    fn way(&self, args: &[&str]) -> Vec<String> {
        let program = path(&self.by_hand);
        std::iter::once(&program).chain(args).map(|&word| word.to_owned()).collect()
    }

    /// An empty folder for what our runs leave behind.
    fn scratch(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.bench.folder.join(name);
        self.bench.cargo.sh.remove_path(&folder)?;
        ops::files::create_dir(&folder)?;
        Ok(folder)
    }
}

/// A path for a command line. Paths of a target folder that are no text are nowhere supported.
fn path(path: &Path) -> &str {
    path.to_str().expect("the target folder has a name of text")
}

/// A count of a document.
fn count(document: &Value, pointer: &str) -> anyhow::Result<u64> {
    document.pointer(pointer).and_then(Value::as_u64).with_context(|| format!("the answer has no {pointer}"))
}
