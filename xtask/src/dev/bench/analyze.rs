//! Area `analyze`: token metrics by stratum over 10 million events in a SQLite file.
//!
//! The job: per category, complexity and band of deliverables count attempts, successes, truncated and
//! underestimated ones, and over those not truncated take mean and median SMAPE and median and P90 waste.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;

use anyhow::Context;
use serde::Deserialize;
use xshell::cmd;

use super::peers::{self, PYTHON};
use super::race::{Contender, Race};
use super::{Bench, Measured, Missing};
use crate::output;

/// Events of the full size.
const EVENTS: u64 = 10_000_000;

/// The seed of the events.
const SEED: u64 = 42;

/// What makes the events.
const GENERATOR: &str = include_str!("analyze_data.py");

/// How far two answers may be apart, relative to the larger.
const TOLERANCE: f64 = 1e-9;

/// The SQLite scanner of DuckDB is an extension that DuckDB itself would download from its own server.
const DUCKDB: [&str; 2] = ["duckdb==1.5.5", "duckdb-extension-sqlite-scanner==1.5.5"];

pub(super) fn run(bench: &Bench) -> anyhow::Result<Measured> {
    let events = if bench.quick { EVENTS / 10 } else { EVENTS };
    let data = data(bench, events)?;
    let file = data.display().to_string();
    let program = bench.program.display().to_string();
    // Random events meet no gate, and that is not what is measured.
    let ours = [&program, "analyze", "tokens", "--db", &file, "--json", "--no-gate"];
    let mut contenders = vec![Contender::new("ours", &ours)];
    let mut missing = Vec::new();
    let duckdb = "DuckDB 1.5.5 with its SQLite scanner";
    match peers::python_with(bench, &DUCKDB) {
        Ok(python) => {
            let command = [&python, "-I", "-c", include_str!("analyze_duckdb.py"), &file];
            contenders.push(Contender::new(duckdb, &command).speed(1.5));
        }
        Err(why) => missing.push(Missing { peer: duckdb, why }),
    }
    let shell = "the sqlite3 shell";
    match peers::sqlite3(&bench.cargo.sh) {
        Ok(program) => {
            let command = [program, "-readonly", "-json", &file, include_str!("analyze_sqlite.sql")];
            // It sorts in one thread, so its time grows faster than the data: the target is for the full size.
            contenders.push(Contender::new(shell, &command).speed((!bench.quick).then_some(40.0)));
        }
        Err(why) => missing.push(Missing { peer: shell, why }),
    }
    let mut first = None;
    let race = Race {
        about: String::new(),
        contenders,
        before: &|| {
            let read = File::open(&data).and_then(|mut file| io::copy(&mut file, &mut io::sink()));
            read.map(drop).with_context(|| format!("failed to read `{}`", data.display()))
        },
        look: &mut |name, answer| agree(&mut first, name, answer, events),
        rate: None,
    };
    let results = race.run(&bench.cargo.sh, &bench.folder, bench.pairs)?;
    Ok(Measured { format: 1, area: "analyze", size: events, pairs: bench.pairs, results, missing })
}

/// The file of events, made unless the one that is there was made by the same recipe: generator, seed and schema.
fn data(bench: &Bench, events: u64) -> anyhow::Result<PathBuf> {
    let file = bench.folder.join(format!("analyze-{events}.db"));
    let note = file.with_extension("recipe");
    let schema = include_str!("../../../../migrations/sqlite/schema.sql");
    let recipe = format!("seed {SEED}\n{GENERATOR}\n{schema}");
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
fn ours(text: &str) -> anyhow::Result<Vec<Stratum>> {
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
    let strata = if name == "ours" { ours(text) } else { serde_json::from_str(text).map_err(Into::into) };
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
