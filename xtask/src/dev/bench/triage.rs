//! `bench triage`: what triage saves and what it costs, against draining everything, on simulated backlogs.

use ops::report::{Align, Document, Table, number};
use ops::stats;
use ops::work::drain::TriagePolicy;
use ops::work::drain::simulate::{Outcome, simulate};
use serde::Serialize;

use crate::exit::Code;
use crate::output::Output;

/// Backlogs that are drained; a tenth of them with `--quick`.
const BACKLOGS: u64 = 2000;
/// How often the bound of a report is right at least: what it says of itself.
const RIGHT_MIN: f64 = 95.0;

/// A measure over all backlogs: its mean and where 95 % of them lie.
#[derive(Debug, Serialize)]
struct Spread {
    mean: f64,
    low: f64,
    high: f64,
}

/// The means of another policy.
#[derive(Debug, Serialize)]
struct Tried {
    systemic_runs: u64,
    tokens_saved_percent: f64,
    yield_lost_percent: f64,
}

/// Numbers of runs that are tried beside the one that is the default.
const OTHERS: [u64; 4] = [3, 4, 6, 8];

fn tried(systemic_runs: u64, backlogs: u64) -> Tried {
    let policy = TriagePolicy { systemic_runs, ..TriagePolicy::default() };
    let outcomes: Vec<Outcome> = (0..backlogs).map(|seed| simulate(&policy, seed)).collect();
    let mean = |of: fn(&Outcome) -> f64| {
        stats::mean(&outcomes.iter().map(of).collect::<Vec<_>>()).unwrap_or_default()
    };
    Tried {
        systemic_runs,
        tokens_saved_percent: mean(Outcome::saved_percent),
        yield_lost_percent: mean(Outcome::lost_percent),
    }
}

/// What came out. A versioned artifact.
#[derive(Debug, Serialize)]
struct Measured {
    format: u32,
    area: &'static str,
    backlogs: u64,
    tokens_saved_percent: Spread,
    yield_lost_percent: Spread,
    /// As a report says it, which knows only its hold-out: with 95 % confidence no more than this.
    yield_lost_at_most_percent: Spread,
    /// Means with other numbers of runs in which a failure is systemic.
    by_systemic_runs: Vec<Tried>,
    /// How often at most the share that the report says would have yielded, in percent.
    bound_right_percent: f64,
    /// Such a report, of the first backlog.
    sentence: String,
    met: bool,
}

pub(super) fn run(quick: bool, output: &Output) -> anyhow::Result<Code> {
    let backlogs = if quick { BACKLOGS / 10 } else { BACKLOGS };
    let policy = TriagePolicy::default();
    let outcomes: Vec<Outcome> = (0..backlogs).map(|seed| simulate(&policy, seed)).collect();
    let spread = |of: fn(&Outcome) -> f64| {
        let mut values: Vec<f64> = outcomes.iter().map(of).collect();
        let [low, high] = [0.025, 0.975].map(|p| stats::percentile(&mut values, p).unwrap_or_default());
        Spread { mean: stats::mean(&values).unwrap_or_default(), low, high }
    };
    let bounds: Vec<bool> = outcomes.iter().filter_map(Outcome::is_bound_right).collect();
    let right = bounds.iter().filter(|right| **right).count() as u64;
    let right = stats::percent(right, bounds.len() as u64).unwrap_or_default();
    let (saved, lost) = (spread(Outcome::saved_percent), spread(Outcome::lost_percent));
    let measured = Measured {
        format: 1,
        area: "triage",
        backlogs,
        met: right >= RIGHT_MIN && saved.mean > lost.mean,
        tokens_saved_percent: saved,
        yield_lost_percent: lost,
        yield_lost_at_most_percent: spread(Outcome::lost_at_most_percent),
        by_systemic_runs: OTHERS.map(|runs| tried(runs, backlogs / 5)).into(),
        bound_right_percent: right,
        sentence: outcomes.first().map(|outcome| outcome.hold_out.sentence()).unwrap_or_default(),
    };
    output.document(&document(&measured));
    output.json(&measured)?;
    Ok(if measured.met { Code::Done } else { Code::GateNotMet })
}

fn document(measured: &Measured) -> Document {
    let mut table = Table::new([
        ("against draining everything", Align::Left),
        ("mean", Align::Right),
        ("95 % from", Align::Right),
        ("to", Align::Right),
    ]);
    for (name, spread) in [
        ("tokens saved, %", &measured.tokens_saved_percent),
        ("yield lost, %", &measured.yield_lost_percent),
        ("yield lost at most, by the hold-out, %", &measured.yield_lost_at_most_percent),
    ] {
        let cells = [spread.mean, spread.low, spread.high].map(|value| number(Some(value), 1));
        table.row([name.to_owned()].into_iter().chain(cells));
    }
    let others = measured.by_systemic_runs.iter().map(|tried| {
        let Tried { systemic_runs, tokens_saved_percent, yield_lost_percent } = tried;
        format!("{systemic_runs}: {tokens_saved_percent:.1} and {yield_lost_percent:.1}")
    });
    let mut document = Document::new();
    document.heading(1, format!("triage on {} simulated backlogs", measured.backlogs)).table(table).facts([
        ("a report", measured.sentence.clone()),
        (
            "its bound is right",
            format!("{:.1} % of the time, at least {RIGHT_MIN} % asked", measured.bound_right_percent),
        ),
        ("saved and lost, systemic in other numbers of runs", others.collect::<Vec<_>>().join("; ")),
        ("target", if measured.met { "met" } else { "NOT MET" }.to_owned()),
    ]);
    document
}
