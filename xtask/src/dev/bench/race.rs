//! Runs contenders in turn, round by round, each as a whole process from start to exit.
//!
//! Time and peak memory are taken from outside (`measure.py`), so no contender measures itself, except where only a
//! part of its work counts: then it says how many rows a second it wrote. Whoever holds the race makes everything
//! ready before every run: what one contender pushes out of the page cache, or changes, must not touch the next.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;
use xshell::{Shell, cmd};

use super::Comparison;
use super::peers::PYTHON;
use crate::output;

/// A program that does the job.
#[derive(Debug)]
pub(super) struct Contender {
    pub(super) name: String,
    /// Program and arguments; the answer comes out on stdout.
    pub(super) command: Vec<String>,
    pub(super) env: Vec<(&'static str, String)>,
    /// What we want against it; not used for ourselves.
    pub(super) goal: Goal,
    /// The rounds that it takes part in, from the first.
    pub(super) rounds: u64,
    /// How it ends when all is well.
    pub(super) status: i32,
}

/// How many times better than a contender we want to be.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Goal {
    /// How many times as fast.
    pub(super) speed: Option<f64>,
    /// How many times less memory.
    pub(super) memory: Option<f64>,
}

impl Contender {
    /// One without a goal that takes part in every round.
    pub(super) fn new(name: impl Into<String>, command: &[&str]) -> Self {
        let command = command.iter().map(|&word| word.to_owned()).collect();
        let goal = Goal::default();
        Self { name: name.into(), command, env: Vec::new(), goal, rounds: u64::MAX, status: 0 }
    }

    /// We want to be so many times as fast.
    pub(super) fn speed(mut self, times: impl Into<Option<f64>>) -> Self {
        self.goal.speed = times.into();
        self
    }

    /// It takes part in so many rounds only.
    pub(super) fn rounds(mut self, rounds: u64) -> Self {
        self.rounds = rounds;
        self
    }

    /// We want to need so many times less memory.
    pub(super) fn memory(mut self, times: impl Into<Option<f64>>) -> Self {
        self.goal.memory = times.into();
        self
    }
}

/// What surrounds the contenders of a race.
pub(super) struct Race<'a> {
    /// What it is about, before each measure; empty where a race is all there is.
    pub(super) about: String,
    /// Ours first.
    pub(super) contenders: Vec<Contender>,
    /// Makes everything ready for the next run.
    pub(super) before: &'a dyn Fn() -> anyhow::Result<()>,
    /// Judges the answers of the first round, by contender, before the race goes on. They come one by one, while what
    /// the contender left behind can still be looked at.
    pub(super) look: &'a mut dyn FnMut(&str, &str) -> anyhow::Result<()>,
    /// Rows a second, as an answer says it; where this is set, they count instead of the time of the process.
    pub(super) rate: Option<fn(&str) -> anyhow::Result<f64>>,
}

/// One run, as the operating system accounts it.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Sample {
    pub(super) seconds: f64,
    pub(super) peak_bytes: f64,
    status: i32,
    #[serde(skip)]
    rate: Option<f64>,
}

/// A contender's runs.
#[derive(Debug)]
pub(super) struct Runs {
    name: String,
    goal: Goal,
    samples: Vec<Sample>,
}

impl Race<'_> {
    /// Runs each contender once a round.
    pub(super) fn run(self, sh: &Shell, folder: &Path, rounds: u64) -> anyhow::Result<Vec<Comparison>> {
        let start = |c: &Contender| Runs { name: c.name.clone(), goal: c.goal, samples: Vec::new() };
        let mut runs: Vec<Runs> = self.contenders.iter().map(start).collect();
        for round in 1..=rounds {
            let taking_part = self.contenders.iter().zip(&mut runs).filter(|(c, _)| round <= c.rounds);
            for (contender, runs) in taking_part {
                (self.before)()?;
                let (mut sample, answer) = measure(sh, folder, contender)?;
                if round == 1 {
                    (self.look)(&contender.name, &answer).with_context(|| {
                        format!(
                            "the answer of {} is not that of the others, so no time means anything",
                            contender.name
                        )
                    })?;
                }
                sample.rate = self.rate.map(|rate| rate(&answer)).transpose()?;
                runs.samples.push(sample);
                let (name, megabytes) = (&contender.name, sample.peak_bytes / 1e6);
                let about = if self.about.is_empty() { String::new() } else { format!("{}: ", self.about) };
                let rate = sample.rate.map(|rate| format!(", {rate:.0} rows/s")).unwrap_or_default();
                output::stderr(&format!(
                    "round {round}/{rounds}  {about}{name}: {:.2} s, {megabytes:.0} MB{rate}\n",
                    sample.seconds
                ));
            }
        }
        Ok(compare(&self.about, &runs))
    }
}

/// Runs a program once, for its peak memory in bytes and its answer.
pub(super) fn once(sh: &Shell, folder: &Path, contender: &Contender) -> anyhow::Result<(f64, String)> {
    let (sample, answer) = measure(sh, folder, contender)?;
    let (name, megabytes) = (&contender.name, sample.peak_bytes / 1e6);
    output::stderr(&format!("{name}: {:.2} s, {megabytes:.0} MB\n", sample.seconds));
    Ok((sample.peak_bytes, answer))
}

/// Runs a contender once, for time and memory.
pub(super) fn sample(sh: &Shell, folder: &Path, contender: &Contender) -> anyhow::Result<Sample> {
    Ok(measure(sh, folder, contender)?.0)
}

/// Runs a contender once: what it took, and what it printed.
fn measure(sh: &Shell, folder: &Path, contender: &Contender) -> anyhow::Result<(Sample, String)> {
    let answer: PathBuf = folder.join("answer");
    let (script, command) = (include_str!("measure.py"), &contender.command);
    let mut measured = cmd!(sh, "{PYTHON} -I -S -c {script} {answer} {command...}").quiet();
    for (name, value) in &contender.env {
        measured = measured.env(name, value);
    }
    let text = measured.read()?;
    let sample: Sample = serde_json::from_str(&text).context("`measure.py` did not print a sample")?;
    anyhow::ensure!(
        sample.status == contender.status,
        "`{}` ended with status {}",
        contender.name,
        sample.status
    );
    Ok((sample, ops::files::read_text(&answer)?))
}

/// The first contender against each of the others: rate, or time and peak memory.
fn compare(about: &str, runs: &[Runs]) -> Vec<Comparison> {
    let Some((ours, peers)) = runs.split_first() else { return Vec::new() };
    let mut results = Vec::new();
    for peer in peers {
        let name = |what: &str| {
            let about = if about.is_empty() { String::new() } else { format!("{about}, ") };
            format!("{about}{what} against {}", peer.name)
        };
        let Goal { speed, memory } = peer.goal;
        if let (Some(ours), Some(rate)) = (ours.rate(), peer.rate()) {
            results.push(Comparison::more(name("rate"), ours, rate, "rows/s", speed));
            continue;
        }
        let seconds = |runs: &Runs| runs.median(|sample| sample.seconds);
        let megabytes = |runs: &Runs| runs.median(|sample| sample.peak_bytes / 1e6);
        results.push(Comparison::less(name("time"), seconds(ours), seconds(peer), "s", speed));
        results.push(Comparison::less(name("peak memory"), megabytes(ours), megabytes(peer), "MB", memory));
    }
    results
}

impl Runs {
    fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        let mut values: Vec<f64> = self.samples.iter().map(of).collect();
        ops::stats::median(&mut values).expect("every contender ran in the first round")
    }

    /// `None` where rates do not count.
    fn rate(&self) -> Option<f64> {
        self.samples.iter().all(|s| s.rate.is_some()).then(|| self.median(|s| s.rate.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(name: &str, seconds: [f64; 3], speed: Option<f64>, has_rate: bool) -> Runs {
        let sample = |seconds: f64| {
            let rate = has_rate.then_some(100.0 / seconds);
            Sample { seconds, peak_bytes: 2e6 * seconds, status: 0, rate }
        };
        Runs {
            name: name.to_owned(),
            goal: Goal { speed, memory: None },
            samples: seconds.map(sample).into(),
        }
    }

    #[test]
    fn medians_are_compared_with_ours_below() {
        let ours = runs("ours", [9.0, 1.0, 2.0], None, false);
        let results = compare("", &[ours, runs("peer", [8.0, 1.0, 9.0], Some(4.0), false)]);
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

    #[test]
    fn of_rates_the_higher_one_is_better() {
        let ours = runs("ours", [2.0, 2.0, 2.0], None, true);
        let results = compare("sqlite", &[ours, runs("peer", [1.0, 1.0, 1.0], Some(0.6), true)]);
        let seen: Vec<_> = results.iter().map(|r| (r.name.as_str(), r.ratio, r.met)).collect();
        assert_eq!(seen, [("sqlite, rate against peer", 0.5, Some(false))]);
    }
}
