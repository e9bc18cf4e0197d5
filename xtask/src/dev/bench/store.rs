//! Area `store`: events through the telemetry store, against SQLite without anything in between, one transaction for
//! each event, Python's queue with one writing thread, and JSON Lines through tracing-appender.
//!
//! The program that writes is `tests/store/race.rs`: only there may SQLite be used without the store. tracing-appender has
//! a program and a lock file of its own beside it, so that it is in nobody's build; it comes from crates.io.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;
use xshell::cmd;

use super::peers::PYTHON;
use super::{Bench, Comparison, Measured, Missing};
use crate::output;

/// Events of a run that is not paced.
const EVENTS: u64 = 400_000;
/// Megabytes that the queue of a store may take, as `StoreOptions` has it.
const QUEUE_MB: f64 = 33.6;
/// What the program and the page cache of SQLite take beside it.
const PROGRAM_MB: f64 = 24.0;
/// Microseconds that a call may take, in 99 of 100 cases, while there is room.
const P99_MAX: f64 = 10.0;

/// A wait of callers, in microseconds, out of a run.
type Wait = fn(&Sample) -> f64;

/// What is run, in turn, in every round.
struct Way {
    name: &'static str,
    /// What the program calls it; one in Python begins with `python-`, and `appender` is a program of its own.
    kind: &'static str,
    producers: u64,
    /// Events a second; 0: as fast as they can.
    pace: u64,
    events: u64,
}

const fn flat(name: &'static str, kind: &'static str, producers: u64, events: u64) -> Way {
    Way { name, kind, producers, pace: 0, events }
}

const WAYS: [Way; 11] = [
    flat("raw", "raw", 1, EVENTS),
    flat("store 1", "store", 1, EVENTS),
    flat("store 4", "store", 4, EVENTS),
    flat("store 16", "store", 16, EVENTS),
    flat("one transaction an event", "single", 1, EVENTS / 8),
    flat("Python, grouped", "python-grouped", 4, EVENTS / 4),
    flat("Python, a connection a job", "python-per_job", 1, 400),
    flat("tracing-appender", "appender", 4, EVENTS),
    Way { name: "store, 10,000 a second", kind: "store", producers: 4, pace: 10_000, events: 20_000 },
    Way { name: "store, 100,000 a second", kind: "store", producers: 4, pace: 100_000, events: 200_000 },
    Way {
        name: "Python, 10,000 a second",
        kind: "python-grouped",
        producers: 4,
        pace: 10_000,
        events: 20_000,
    },
];

/// One run, as the program itself measured it.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Sample {
    events: f64,
    seconds: f64,
    p50: f64,
    p99: f64,
    p999: f64,
    peak_mb: f64,
}

pub(super) fn run(bench: &Bench, target: &Path) -> anyhow::Result<Measured> {
    output::stderr("building the contenders\n");
    let build = ["build", "--profile", "xtask", "--locked", "--package", "ops", "--example", "store_race"];
    bench.cargo.command(&build).run()?;
    let exe = |folder: PathBuf, name: &str| folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let appender = exe(bench.folder.join("appender/release"), "store-appender");
    let programs = Programs { race: exe(target.join("xtask/examples"), "store_race"), appender };
    let mut runs: Vec<Vec<Sample>> = WAYS.iter().map(|_| Vec::new()).collect();
    let mut missing: Vec<Missing> = Vec::new();
    if let Err(why) = build_appender(bench) {
        missing.push(Missing { peer: "tracing-appender", why: format!("it could not be built: {why:#}") });
    }
    for round in 1..=bench.pairs {
        for (way, runs) in WAYS.iter().zip(&mut runs) {
            if missing.iter().any(|missing| missing.peer == way.name) {
                continue;
            }
            match measure(bench, &programs, way) {
                Ok(sample) => {
                    let speed = sample.events / sample.seconds;
                    let Sample { p50, p99, p999, peak_mb, .. } = sample;
                    output::stderr(&format!(
                        "round {round}/{}  {}: {speed:.0} a second, p50 {p50:.2} p99 {p99:.2} p99.9 {p999:.2} µs, \
                         {peak_mb:.0} MB\n",
                        bench.pairs, way.name
                    ));
                    runs.push(sample);
                }
                Err(why) if way.kind.starts_with("python-") => {
                    missing.push(Missing { peer: way.name, why: format!("{why:#}") });
                }
                Err(error) => return Err(error),
            }
        }
    }
    let results = compare(&runs);
    Ok(Measured { format: 1, area: "store", size: size(bench, EVENTS), pairs: bench.pairs, results, missing })
}

/// The programs that write, besides Python.
struct Programs {
    race: PathBuf,
    appender: PathBuf,
}

fn build_appender(bench: &Bench) -> anyhow::Result<()> {
    let folder = bench.folder.join("appender");
    let folder = folder.to_str().context("the target folder is not named in UTF-8")?;
    let manifest = "tests/store/appender/Cargo.toml";
    let build = ["build", "--release", "--locked", "--manifest-path", manifest, "--target-dir", folder];
    Ok(bench.cargo.command(&build).run()?)
}

fn size(bench: &Bench, events: u64) -> u64 {
    if bench.quick { events / 10 } else { events }
}

fn measure(bench: &Bench, programs: &Programs, way: &Way) -> anyhow::Result<Sample> {
    let (sh, folder, kind) = (&bench.cargo.sh, &bench.folder, way.kind);
    let [producers, pace, events] = [way.producers, way.pace, size(bench, way.events)].map(|n| n.to_string());
    let text = if let Some(kind) = kind.strip_prefix("python-") {
        let script = include_str!("store_python.py");
        cmd!(sh, "{PYTHON} -I -c {script} {kind} {producers} {pace} {events} {folder}").quiet().read()?
    } else {
        let program = if kind == "appender" { &programs.appender } else { &programs.race };
        cmd!(sh, "{program} {kind} {producers} {pace} {events} {folder}").quiet().read()?
    };
    serde_json::from_str(&text).with_context(|| format!("`{}` did not print a sample", way.name))
}

/// The median of one way, in the order of [`WAYS`]; `None` where it could not be had.
fn median(runs: &[Vec<Sample>], name: &str, of: impl Fn(&Sample) -> f64) -> Option<f64> {
    let index = WAYS.iter().position(|way| way.name == name)?;
    let mut values: Vec<f64> = runs[index].iter().map(of).collect();
    ops::stats::median(&mut values)
}

fn compare(runs: &[Vec<Sample>]) -> Vec<Comparison> {
    let speed = |name: &str| median(runs, name, |sample| sample.events / sample.seconds);
    let mut results = Vec::new();
    for (ours, peer, target) in [
        ("store 1", "raw", Some(0.7)),
        ("store 4", "raw", Some(0.7)),
        ("store 16", "raw", Some(0.55)),
        ("store 1", "one transaction an event", None),
        ("store 4", "Python, grouped", Some(5.0)),
        ("store 1", "Python, a connection a job", Some(1000.0)),
        ("store 4", "tracing-appender", None),
    ] {
        if let (Some(a), Some(b)) = (speed(ours), speed(peer)) {
            results.push(Comparison::more(format!("{ours} against {peer}"), a, b, "events/s", target));
        }
    }
    for name in ["store 1", "store 4", "store, 10,000 a second", "store, 100,000 a second"] {
        if let Some(p99) = median(runs, name, |sample| sample.p99) {
            let name = format!("p99 of a call, {name}, against the limit");
            results.push(Comparison::less(name, p99, P99_MAX, "µs", Some(1.0)));
        }
    }
    let paced = |of: Wait| {
        median(runs, "store, 10,000 a second", of).zip(median(runs, "Python, 10,000 a second", of))
    };
    let waits: [(&str, Wait); 3] =
        [("p50", |sample| sample.p50), ("p99", |sample| sample.p99), ("p99.9", |sample| sample.p999)];
    for (share, of) in waits {
        if let Some((ours, theirs)) = paced(of) {
            let name = format!("{share} of a call at 10,000 a second, against Python");
            results.push(Comparison::less(name, ours, theirs, "µs", None));
        }
    }
    if let Some(peak) = median(runs, "store 16", |sample| sample.peak_mb) {
        let name = "peak memory, store 16, against queue and program".to_owned();
        results.push(Comparison::less(name, peak, QUEUE_MB + PROGRAM_MB, "MB", Some(1.0)));
    }
    results
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_and_waits_are_held_against_their_targets() {
        let sample = |speed: f64, p99| Sample {
            events: speed,
            seconds: 1.0,
            p50: 1.0,
            p99,
            p999: 100.0,
            peak_mb: 40.0,
        };
        let runs: Vec<Vec<Sample>> = WAYS
            .iter()
            .map(|way| match way.name {
                "raw" => vec![sample(100.0, 0.0)],
                "store 1" => vec![sample(71.0, 9.0)],
                "store 4" => vec![sample(69.0, 11.0)],
                "store 16" => vec![sample(55.0, 11.0)],
                _ => Vec::new(),
            })
            .collect();
        let seen: Vec<_> = compare(&runs).into_iter().map(|result| (result.name, result.met)).collect();
        assert_eq!(
            seen,
            [
                ("store 1 against raw".to_owned(), Some(true)),
                ("store 4 against raw".to_owned(), Some(false)),
                ("store 16 against raw".to_owned(), Some(true)),
                ("p99 of a call, store 1, against the limit".to_owned(), Some(true)),
                ("p99 of a call, store 4, against the limit".to_owned(), Some(false)),
                ("peak memory, store 16, against queue and program".to_owned(), Some(true)),
            ]
        );
    }
}
