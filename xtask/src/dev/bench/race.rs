//! Runs contenders in turn, round by round, each as a whole process from start to exit.
//!
//! Time and peak memory are taken from outside (`measure.py`), so no contender measures itself. The data is read once
//! before every run: what one contender pushes out of the page cache must not slow the next.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;
use xshell::{Shell, cmd};

use super::Comparison;
use crate::output;

/// A program that does the job.
#[derive(Debug)]
pub(super) struct Contender {
    pub(super) name: &'static str,
    /// Program and arguments; the answer comes out on stdout.
    pub(super) command: Vec<String>,
    /// How many times less time than it we want to need; not used for ourselves.
    pub(super) time_target: Option<f64>,
}

/// One run, as the operating system accounts it.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Sample {
    seconds: f64,
    peak_bytes: f64,
    status: i32,
}

/// A contender's runs.
#[derive(Debug)]
pub(super) struct Runs {
    name: &'static str,
    time_target: Option<f64>,
    samples: Vec<Sample>,
}

/// Runs each contender once a round; `data` is the file that they all read. The answers of the first round are given to `agree` by contender and must
/// pass before the race goes on.
pub(super) fn race(
    sh: &Shell,
    python: &str,
    folder: &Path,
    data: &Path,
    rounds: u64,
    contenders: &[Contender],
    agree: impl Fn(&[(&'static str, String)]) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Runs>> {
    let start = |contender: &Contender| Runs {
        name: contender.name,
        time_target: contender.time_target,
        samples: Vec::new(),
    };
    let mut runs: Vec<Runs> = contenders.iter().map(start).collect();
    for round in 1..=rounds {
        let mut answers = Vec::new();
        for (contender, runs) in contenders.iter().zip(&mut runs) {
            File::open(data)
                .and_then(|mut file| io::copy(&mut file, &mut io::sink()))
                .with_context(|| format!("failed to read `{}`", data.display()))?;
            let (sample, answer) = measure(sh, python, folder, contender)?;
            runs.samples.push(sample);
            answers.push((contender.name, answer));
            let (name, megabytes) = (contender.name, sample.peak_bytes / 1e6);
            output::stderr(&format!(
                "round {round}/{rounds}  {name}: {:.2} s, {megabytes:.0} MB\n",
                sample.seconds
            ));
        }
        if round == 1 {
            agree(&answers)
                .context("the contenders do not give the same answer, so no time means anything")?;
        }
    }
    Ok(runs)
}

/// Runs a contender once: what it took, and what it printed.
fn measure(
    sh: &Shell,
    python: &str,
    folder: &Path,
    contender: &Contender,
) -> anyhow::Result<(Sample, String)> {
    let answer: PathBuf = folder.join("answer");
    let (script, command) = (include_str!("measure.py"), &contender.command);
    let text = cmd!(sh, "{python} -I -S -c {script} {answer} {command...}").quiet().read()?;
    let sample: Sample = serde_json::from_str(&text).context("`measure.py` did not print a sample")?;
    anyhow::ensure!(sample.status == 0, "`{}` ended with status {}", contender.name, sample.status);
    Ok((sample, ops::files::read_text(&answer)?))
}

/// The first contender against each of the others: time, then peak memory.
pub(super) fn compare(runs: &[Runs]) -> Vec<Comparison> {
    let Some((ours, peers)) = runs.split_first() else { return Vec::new() };
    let mut results = Vec::new();
    for peer in peers {
        let seconds = |runs: &Runs| runs.median(|sample| sample.seconds);
        let megabytes = |runs: &Runs| runs.median(|sample| sample.peak_bytes / 1e6);
        let name = |what| format!("{what} against {}", peer.name);
        results.push(Comparison::new(name("time"), seconds(ours), seconds(peer), "s", peer.time_target));
        results.push(Comparison::new(name("peak memory"), megabytes(ours), megabytes(peer), "MB", None));
    }
    results
}

impl Runs {
    fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        let mut values: Vec<f64> = self.samples.iter().map(of).collect();
        ops::stats::median(&mut values).expect("every contender ran in every round")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_compared_with_ours_below() {
        let runs = |name, seconds: [f64; 3], time_target| Runs {
            name,
            time_target,
            samples: seconds.map(|seconds| Sample { seconds, peak_bytes: 2e6 * seconds, status: 0 }).into(),
        };
        let ours = runs("ours", [9.0, 1.0, 2.0], None);
        let results = compare(&[ours, runs("peer", [8.0, 1.0, 9.0], Some(4.0))]);
        let seen: Vec<_> =
            results.iter().map(|r| (r.name.as_str(), r.ours, r.peer, r.ratio, r.met)).collect();
        assert_eq!(
            seen,
            [
                ("time against peer", 2.0, 8.0, 4.0, Some(true)),
                ("peak memory against peer", 4.0, 16.0, 4.0, None)
            ]
        );
    }
}
