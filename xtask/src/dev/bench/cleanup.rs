//! Area `cleanup`: a million damaged rows to cleaned JSON and CSV, against polars, DuckDB and Python.
//!
//! The peers normalise, choose triggers, score by the same four parts, keep one row of a name and write both files; that
//! their rows, triggers and scores are ours is looked at in every race. Ours does that with every rule of the shipped
//! dataset switched on: it also votes on encodings, repairs them, fills from words, grades titles, looks for near
//! duplicates, and lists every change.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use xshell::cmd;

use super::peers::{self, PYTHON};
use super::race::{self, Contender, Race, Sample};
use super::{Bench, Comparison, Measured, Missing};
use crate::output;

/// Cleaning a million rows of 400 bytes, against polars, DuckDB and Python
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Rows instead of a million; peers that cannot hold so many are left out with --alone
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1000..))]
    rows: Option<u64>,
    /// Without the peers
    #[arg(long)]
    alone: bool,
    /// Only from this format
    #[arg(long, value_name = "FORMAT", value_parser = FORMATS, requires = "alone")]
    format: Option<String>,
    /// What a row takes in tables of 1, 5 and 20 million rows, ours only; needs 70 GB of disk
    #[arg(long, conflicts_with_all = ["rows", "alone"])]
    linear: bool,
}

/// Rows of the full size.
const ROWS: u64 = 1_000_000;
/// The seed of the rows.
const SEED: u64 = 42;
/// What makes the rows.
const GENERATOR: &str = include_str!("cleanup_data.py");
/// The packages of the peers.
const PACKAGES: [&str; 2] = ["polars==2.1.0", "duckdb==1.5.5"];
/// The formats of the input; the first is the one that the peers read.
const FORMATS: [&str; 4] = ["ndjson", "json", "csv", "sql"];

pub(super) fn run(bench: &Bench, args: &Args) -> anyhow::Result<Measured> {
    if args.linear {
        return linear(bench);
    }
    let rows = args.rows.unwrap_or(if bench.quick { ROWS / 10 } else { ROWS });
    let mut contenders = Vec::new();
    for format in FORMATS.into_iter().filter(|format| args.format.as_ref().is_none_or(|only| only == format))
    {
        let name = if format == FORMATS[0] { "ours".to_owned() } else { format!("ours from {format}") };
        contenders.push(ours(bench, name, rows, format)?);
    }
    let (folders, ours) = (bench.folder.join("cleanup"), bench.folder.join("cleanup-ours.json"));
    let data = data(bench, rows, args.format.as_deref().unwrap_or(FORMATS[0]))?;
    let mut missing = Vec::new();
    if !args.alone {
        match peers::python_with(bench, &PACKAGES) {
            Ok(python) => {
                for (name, script, speed) in [
                    ("polars 2.1.0", include_str!("cleanup_polars.py"), Some(2.0)),
                    ("DuckDB 1.5.5", include_str!("cleanup_duckdb.py"), Some(2.0)),
                    ("Python json and csv", include_str!("cleanup_python.py"), Some(2.0)),
                ] {
                    let folder = text(&out(bench, name)?);
                    let command = [&python, "-I", "-c", script, &text(&data), &folder];
                    contenders.push(Contender::new(name, &command).speed(speed));
                }
            }
            Err(why) => missing.push(Missing { peer: "polars, DuckDB and Python", why }),
        }
    }
    let race = Race {
        about: String::new(),
        contenders,
        before: &|| {
            empty(&folders)?;
            let read = File::open(&data).and_then(|mut file| io::copy(&mut file, &mut io::sink()));
            read.map(drop).with_context(|| format!("failed to read `{}`", data.display()))
        },
        look: &mut |name, answer| agree(bench, name, answer, &ours, rows),
        rate: None,
    };
    let results = race.run(&bench.cargo.sh, &bench.folder, bench.pairs)?;
    Ok(Measured { format: 2, area: "cleanup", size: rows, pairs: bench.pairs, results, missing })
}

/// Ours, from so many rows in a format.
fn ours(bench: &Bench, name: String, rows: u64, format: &str) -> anyhow::Result<Contender> {
    let (data, out) = (data(bench, rows, format)?, out(bench, &format!("ours-{format}"))?);
    let [program, data, out] = [&bench.program, &data, &out].map(|path| text(path));
    let job = ["cleanup", "--dataset", "glyphs", "--json", "--sample", "0"];
    let files = ["--source", &data, "--out", &out];
    Ok(Contender::new(name, &[&[program.as_str()], &job[..], &files[..]].concat()))
}

/// Empties the folders of all contenders: to free what is overwritten takes as long as to write it, and is no part of
/// the job.
fn empty(folders: &Path) -> anyhow::Result<()> {
    for folder in std::fs::read_dir(folders)? {
        let folder = folder?.path();
        std::fs::remove_dir_all(&folder)?;
        ops::files::create_dir(&folder)?;
    }
    Ok(())
}

/// Tables of several sizes in turn: what a million of their rows takes in the larger ones and in the smallest.
fn linear(bench: &Bench) -> anyhow::Result<Measured> {
    let sizes = [1, 5, 20].map(|times| times * if bench.quick { ROWS / 10 } else { ROWS });
    let mut tables = Vec::new();
    for rows in sizes {
        tables.push((ours(bench, format!("{rows} rows"), rows, FORMATS[0])?, Vec::new()));
    }
    for round in 1..=bench.pairs {
        for (contender, samples) in &mut tables {
            empty(&bench.folder.join("cleanup"))?;
            let sample = race::sample(&bench.cargo.sh, &bench.folder, contender)?;
            let (pairs, seconds, megabytes) = (bench.pairs, sample.seconds, sample.peak_bytes / 1e6);
            let name = &contender.name;
            output::stderr(&format!("round {round}/{pairs}  {name}: {seconds:.2} s, {megabytes:.0} MB\n"));
            samples.push(sample);
        }
    }
    empty(&bench.folder.join("cleanup"))?;
    let median = |table: usize, of: fn(&Sample) -> f64| {
        ops::stats::median(&mut tables[table].1.iter().map(of).collect::<Vec<_>>())
            .expect("every table was read")
    };
    let million = |table: usize| median(table, |sample| sample.seconds) * 1e6 / sizes[table] as f64;
    let megabytes = |table: usize| median(table, |sample| sample.peak_bytes / 1e6);
    let mut results = Vec::new();
    for table in 1..sizes.len() {
        let name = |what: &str| format!("{what} in {} rows against {}", sizes[table], sizes[0]);
        results.push(Comparison::less(name("a million rows"), million(table), million(0), "s", None));
        results.push(Comparison::less(name("peak memory"), megabytes(table), megabytes(0), "MB", None));
    }
    Ok(Measured {
        format: 2,
        area: "cleanup",
        size: sizes[2],
        pairs: bench.pairs,
        results,
        missing: Vec::new(),
    })
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Where a contender writes.
fn out(bench: &Bench, name: &str) -> anyhow::Result<PathBuf> {
    let folder = bench.folder.join("cleanup").join(name);
    ops::files::create_dir(&folder)?;
    Ok(folder)
}

/// The rows in a format, made unless those that are there were made by the same recipe.
fn data(bench: &Bench, rows: u64, format: &str) -> anyhow::Result<PathBuf> {
    let file = bench.folder.join(format!("cleanup-{rows}.{format}"));
    let note = file.with_extension(format!("{format}-recipe"));
    let recipe = format!("seed {SEED}\n{GENERATOR}");
    if !(file.exists() && ops::files::read_text(&note).is_ok_and(|found| found == recipe)) {
        output::stderr(&format!("making {rows} rows as {format}\n"));
        let partial = ops::files::partial_name(&file);
        let (rows, seed) = (rows.to_string(), SEED.to_string());
        cmd!(bench.cargo.sh, "{PYTHON} -I -c {GENERATOR} {partial} {rows} {seed}").quiet().run()?;
        ops::files::rename(&partial, &file)?;
        ops::files::write_atomic(&note, recipe.as_bytes())?;
    }
    Ok(file)
}

/// Whether an answer is about all rows and, of a peer, holds the rows that ours holds, which are kept at `ours`.
fn agree(bench: &Bench, name: &str, answer: &str, ours: &Path, rows: u64) -> anyhow::Result<()> {
    let answer: serde_json::Value = serde_json::from_str(answer).context("the answer cannot be read")?;
    let books = if name.starts_with("ours") { &answer["ledger"] } else { &answer };
    anyhow::ensure!(books["rows_in"] == rows, "{name} read {} rows of {rows}", books["rows_in"]);
    if name == "ours" {
        ops::files::rename(&out(bench, "ours-ndjson")?.join("cleaned_glyphs.json"), ours)?;
    }
    if name.starts_with("ours") {
        return Ok(());
    }
    let theirs = out(bench, name)?.join("cleaned.json");
    let script = include_str!("cleanup_agree.py");
    Ok(cmd!(bench.cargo.sh, "{PYTHON} -I -c {script} {ours} {theirs}").quiet().run()?)
}
