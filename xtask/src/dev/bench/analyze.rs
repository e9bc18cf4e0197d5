//! Area `analyze`: token metrics by stratum over 10 million events, in a SQLite file and in a Parquet file.
//!
//! The job: per category, complexity and band of deliverables count attempts, successes, truncated and
//! underestimated ones, and over those not truncated take mean and median SMAPE and median and P90 waste. Ours does more:
//! it recomputes every stored metric, and takes gates, totals and bounds. The Parquet file is DuckDB's own of the same
//! events; every answer must be that of all others, from either file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;
use xshell::cmd;

use super::peers::{self, PYTHON};
use super::race::{Contender, Race};
use super::{Bench, Comparison, Measured, Missing};
use crate::output;

/// Events of the full size.
const EVENTS: u64 = 10_000_000;

/// The seed of the events.
const SEED: u64 = 42;

/// What makes the events.
const GENERATOR: &str = include_str!("analyze_data.py");

/// How far two answers may be apart, relative to the larger.
const TOLERANCE: f64 = 1e-9;

/// More memory we may not take, in MB.
const MEMORY_MAX: f64 = 200.0;

/// A peer that takes a minute runs once: a median would change nothing.
const SLOW_ROUNDS: u64 = 1;

/// The SQLite scanner of DuckDB is an extension that DuckDB itself would download from its own server, and there is none
/// for the version after this one.
const SCANNER: [&str; 2] = ["duckdb==1.5.5", "duckdb-extension-sqlite-scanner==1.5.5"];
const DUCKDB: [&str; 1] = ["duckdb==2.0.0"];
const FRAMES: [&str; 4] = ["pandas==3.1.1", "polars==2.1.0", "pyarrow==26.0.1", "connectorx==0.4.6"];

pub(super) fn run(bench: &Bench) -> anyhow::Result<Measured> {
    let events = if bench.quick { EVENTS / 10 } else { EVENTS };
    let database = data(bench, events)?;
    let mut missing = Vec::new();
    let mut had = |peer: &'static str, python: Result<String, String>| match python {
        Ok(python) => Some((peer, python)),
        Err(why) => {
            missing.push(Missing { peer, why });
            None
        }
    };
    let scanner =
        had("DuckDB 1.5.5 with its SQLite scanner", peers::python_with(bench, &SCANNER)).map(|(_, p)| p);
    let duckdb = had("DuckDB 2.0.0", peers::python_in(bench, "venv-duckdb-2", &DUCKDB)).map(|(_, p)| p);
    let frames = had("pandas and polars", peers::python_in(bench, "venv-frames", &FRAMES)).map(|(_, p)| p);
    let shell = had("the sqlite3 shell", peers::sqlite3(&bench.cargo.sh).map(str::to_owned)).map(|(_, p)| p);
    let scripts = [include_str!("analyze_pandas.py"), include_str!("analyze_polars.py")];
    let peer = |name: &str, python: &Option<String>, script: &str, file: &str| {
        let python = python.as_deref()?;
        // A tenth of the size is for trying out: what takes as long whatever the size decides it.
        Some(Contender::new(name, &[python, "-I", "-c", script, file]).speed((!bench.quick).then_some(1.0)))
    };
    let mut first = None;
    let mut results = Vec::new();

    let file = database.display().to_string();
    let mut contenders = vec![ours(bench, "--db", &file)];
    contenders.extend(peer("DuckDB 1.5.5", &scanner, include_str!("analyze_duckdb.py"), &file));
    contenders.extend(peer("polars", &frames, scripts[1], &file));
    contenders.extend(peer("pandas", &frames, scripts[0], &file).map(|c| c.rounds(SLOW_ROUNDS)));
    contenders.extend(shell.as_deref().map(|program| {
        let command = [program, "-readonly", "-json", &file, include_str!("analyze_sqlite.sql")];
        Contender::new("the sqlite3 shell", &command).speed((!bench.quick).then_some(1.0)).rounds(SLOW_ROUNDS)
    }));
    results.extend(race(bench, "SQLite", &database, contenders, &mut first, events)?);

    if let Some(parquet) = parquet(bench, &database, scanner.as_deref())? {
        let file = parquet.display().to_string();
        let mut contenders = vec![ours(bench, "--from", &file)];
        contenders.extend(peer("DuckDB 1.5.5", &scanner, include_str!("analyze_duckdb.py"), &file));
        contenders.extend(peer("DuckDB 2.0.0", &duckdb, include_str!("analyze_duckdb.py"), &file));
        contenders.extend(peer("polars", &frames, scripts[1], &file));
        contenders.extend(peer("pandas", &frames, scripts[0], &file));
        results.extend(race(bench, "Parquet", &parquet, contenders, &mut first, events)?);
    }
    Ok(Measured { format: 1, area: "analyze", size: events, pairs: bench.pairs, results, missing })
}

fn ours(bench: &Bench, from: &str, file: &str) -> Contender {
    let program = bench.program.display().to_string();
    // Random events meet no gate, and that is not what is measured.
    Contender::new("ours", &[&program, "analyze", "tokens", from, file, "--json", "--no-gate"])
}

/// One input, all who read it.
fn race(
    bench: &Bench,
    about: &str,
    data: &Path,
    contenders: Vec<Contender>,
    first: &mut First,
    events: u64,
) -> anyhow::Result<Vec<Comparison>> {
    let race = Race {
        about: about.to_owned(),
        contenders,
        before: &|| {
            let read = File::open(data).and_then(|mut file| io::copy(&mut file, &mut io::sink()));
            read.map(drop).with_context(|| format!("failed to read `{}`", data.display()))
        },
        look: &mut |name, answer| agree(first, &format!("{name} from {about}"), answer, events),
        rate: None,
    };
    let mut results = race.run(&bench.cargo.sh, &bench.folder, bench.pairs)?;
    let peak = results.iter().find(|result| result.unit == "MB").map(|result| result.ours);
    results.extend(peak.map(|peak| {
        Comparison::less(format!("{about}, peak memory against the limit"), peak, MEMORY_MAX, "MB", Some(1.0))
    }));
    Ok(results)
}

/// The same events as DuckDB writes them; none without DuckDB.
fn parquet(bench: &Bench, database: &Path, python: Option<&str>) -> anyhow::Result<Option<PathBuf>> {
    let Some(python) = python else { return Ok(None) };
    let file = database.with_extension("parquet");
    let (note, recipe) = (file.with_extension("parquet-recipe"), recipe());
    if !(file.exists() && ops::files::read_text(&note).is_ok_and(|found| found == recipe)) {
        output::stderr("writing them as Parquet\n");
        let partial = ops::files::partial_name(&file);
        let script = include_str!("analyze_duckdb.py");
        cmd!(bench.cargo.sh, "{python} -I -c {script} {database} {partial}").quiet().run()?;
        ops::files::rename(&partial, &file)?;
        ops::files::write_atomic(&note, recipe.as_bytes())?;
    }
    Ok(Some(file))
}

/// What the events are made by: generator, seed and schema.
fn recipe() -> String {
    let schema = include_str!("../../../../migrations/sqlite/schema.sql");
    format!("seed {SEED}\n{GENERATOR}\n{schema}")
}

/// The file of events, made unless the one that is there was made by the same recipe: generator, seed and schema.
fn data(bench: &Bench, events: u64) -> anyhow::Result<PathBuf> {
    let file = bench.folder.join(format!("analyze-{events}.db"));
    let note = file.with_extension("recipe");
    let recipe = recipe();
    if !(file.exists() && ops::files::read_text(&note).is_ok_and(|found| found == recipe)) {
        output::stderr(&format!("making {events} events\n"));
        let partial = ops::files::partial_name(&file);
        let (events, seed, program) = (events.to_string(), SEED.to_string(), &bench.program);
        cmd!(bench.cargo.sh, "{PYTHON} -I -c {GENERATOR} {partial} {events} {seed} {program}")
            .quiet()
            .run()?;
        ops::files::rename(&partial, &file)?;
        ops::files::write_atomic(&note, recipe.as_bytes())?;
    }
    Ok(file)
}

/// One stratum of an answer.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
struct Stratum {
    category: String,
    complexity: String,
    deliverables: String,
    attempts: u64,
    success: u64,
    truncated: u64,
    underestimated: u64,
    smape_mean: Option<f64>,
    smape_median: Option<f64>,
    waste_median: Option<f64>,
    waste_p90: Option<f64>,
}

impl Stratum {
    fn key(&self) -> [String; 3] {
        [&self.category, &self.complexity, &self.deliverables].map(Clone::clone)
    }

    fn counts(&self) -> [u64; 4] {
        [self.attempts, self.success, self.truncated, self.underestimated]
    }

    fn metrics(&self) -> [Option<f64>; 4] {
        [self.smape_mean, self.smape_median, self.waste_median, self.waste_p90]
    }
}

/// An answer of ours as the peers give it: the artifact of `analyze tokens --json` with its groups unfolded.
fn unfolded(text: &str) -> anyhow::Result<Vec<Stratum>> {
    let answer: serde_json::Value = serde_json::from_str(text)?;
    let strata = answer["analysis"]["strata"].as_array().context("the answer has no `analysis.strata`")?;
    let unfold = |stratum: &serde_json::Value| {
        let (counts, cost) = (&stratum["attempts"], &stratum["cost"]);
        serde_json::from_value(serde_json::json!({
            "category": stratum["category"],
            "complexity": stratum["complexity"],
            "deliverables": stratum["deliverables"],
            "attempts": counts["attempts"],
            "success": counts["success"],
            "truncated": counts["truncated"],
            "underestimated": counts["underestimated"],
            "smape_mean": cost["smape_percent_mean"],
            "smape_median": cost["smape_percent_median"],
            "waste_median": cost["waste_ratio_median"],
            "waste_p90": cost["waste_ratio_p90"],
        }))
    };
    Ok(strata.iter().map(unfold).collect::<Result<_, _>>()?)
}

/// The first answer: whose it is, and what it says of each stratum.
type First = Option<(String, BTreeMap<[String; 3], Stratum>)>;

/// Whether an answer is about `events` events and says the same of every stratum as the first.
fn agree(first: &mut First, name: &str, text: &str, events: u64) -> anyhow::Result<()> {
    let strata = if name.starts_with("ours") {
        unfolded(text)
    } else {
        serde_json::from_str(text).map_err(Into::into)
    };
    let strata: Vec<Stratum> = strata.with_context(|| format!("the answer of {name} cannot be read"))?;
    let total: u64 = strata.iter().map(|stratum| stratum.attempts).sum();
    anyhow::ensure!(total == events, "{name} counts {total} events of {events}");
    let strata: BTreeMap<_, _> = strata.into_iter().map(|stratum| (stratum.key(), stratum)).collect();
    let Some((other, expected)) = first else {
        *first = Some((name.to_owned(), strata));
        return Ok(());
    };
    anyhow::ensure!(strata.keys().eq(expected.keys()), "{name} and {other} see different strata");
    for (ours, theirs) in expected.values().zip(strata.values()) {
        anyhow::ensure!(is_same(ours, theirs), "{other}: {ours:?}\n{name}: {theirs:?}");
    }
    Ok(())
}

fn is_same(a: &Stratum, b: &Stratum) -> bool {
    let is_near = |(a, b): (Option<f64>, Option<f64>)| match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()),
        (a, b) => a == b,
    };
    a.counts() == b.counts() && a.metrics().into_iter().zip(b.metrics()).all(is_near)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = r#"[{"category": "docs", "complexity": "low", "deliverables": "1-3", "attempts": 3,
        "success": 2, "truncated": 1, "underestimated": 0, "smape_mean": 10.5, "smape_median": 10.0,
        "waste_median": 1.5, "waste_p90": null}]"#;

    /// The document of `analyze tokens --json`, as far as it is compared, that says the same as [`PEER`].
    const OURS: &str = r#"{"format": 1, "analysis": {"format": 1, "strata": [{"category": "docs",
        "complexity": "low", "deliverables": "1-3",
        "attempts": {"attempts": 3, "success": 2, "truncated": 1, "underestimated": 0},
        "cost": {"smape_percent_mean": 10.5, "smape_percent_median": 10.00000000001,
        "waste_ratio_median": 1.5, "waste_ratio_p90": null}}]}}"#;

    fn agree(ours: &str, peer: &str, events: u64) -> Result<(), String> {
        let mut first = None;
        let mut one = |name, text| super::agree(&mut first, name, text, events);
        one("ours", ours).and_then(|()| one("peer", peer)).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn equal_answers_agree() {
        agree(OURS, PEER, 3).unwrap();
        assert_eq!(agree(OURS, PEER, 4).unwrap_err(), "ours counts 3 events of 4");
        assert!(agree("{}", PEER, 3).unwrap_err().contains("no `analysis.strata`"));
        assert!(agree(OURS, "100% done", 3).unwrap_err().starts_with("the answer of peer cannot be read"));
        assert!(agree(OURS, "[]", 3).unwrap_err().contains("peer counts 0 events of 3"));
    }

    #[test]
    fn a_wrong_value_anywhere_is_caught() {
        for (from, to) in [
            (r#""docs""#, r#""tests""#),
            (r#""low""#, r#""high""#),
            (r#""1-3""#, r#""4-7""#),
            (r#""success": 2"#, r#""success": 3"#),
            (r#""truncated": 1"#, r#""truncated": 0"#),
            (r#""underestimated": 0"#, r#""underestimated": 1"#),
            (r#""smape_mean": 10.5"#, r#""smape_mean": 10.5000001"#),
            (r#""smape_median": 10.0"#, r#""smape_median": 10.0000001"#),
            (r#""waste_median": 1.5"#, r#""waste_median": 1.5000001"#),
            (r#""waste_p90": null"#, r#""waste_p90": 2.0"#),
        ] {
            let wrong = PEER.replace(from, to);
            assert_ne!(wrong, PEER, "{from} is not in the answer");
            assert!(agree(OURS, &wrong, 3).is_err(), "{from} as {to}");
        }
    }

    #[test]
    fn a_missing_stratum_is_caught_though_the_total_is_right() {
        let one = Stratum { attempts: 1, ..read(PEER) };
        let two = Stratum { complexity: "high".to_owned(), attempts: 2, ..read(PEER) };
        let split = serde_json::to_string(&[one, two]).unwrap();
        assert_eq!(agree(OURS, &split, 3).unwrap_err(), "peer and ours see different strata");
    }

    fn read(text: &str) -> Stratum {
        serde_json::from_str::<Vec<Stratum>>(text).unwrap().remove(0)
    }
}
