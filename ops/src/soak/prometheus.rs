//! The state of a soak for the textfile collector of Prometheus: gauges, because all of it is as of the last look.

use super::evidence::Log;
use super::judge::{Judgement, Verdict};
use crate::clock::Stamp;
use crate::export::ExportError;
use crate::export::prometheus::{Family, Kind, render};

const VERDICTS: [Verdict; 4] = [Verdict::Go, Verdict::Insufficient, Verdict::Invalid, Verdict::NoGo];

/// The text of the file, without times of its own: the collector must not be given any.
pub fn state(log: &Log, judgement: &Judgement) -> Result<String, ExportError> {
    let (soak, coverage) = (log.soak.name.as_str(), &judgement.coverage);
    let gauge = |name: &str, help: &str| Family::new(format!("ops_soak_{name}"), Kind::Gauge, help);
    let one = |name: &str, help: &str, value: f64| {
        let mut family = gauge(name, help);
        family.sample([("soak", soak)], value);
        family
    };
    let mut verdict =
        gauge("verdict", "1 for the verdict over all that stands as of the last look, 0 for the others.");
    for word in VERDICTS {
        verdict
            .sample([("soak", soak), ("verdict", &word.to_string())], f64::from(word == judgement.verdict));
    }
    let last = log.looks.last().and_then(|look| Stamp::parse(&look.at));
    let mut families = vec![
        verdict,
        one("window_seconds", "How long the soak is to last.", log.soak.window_s as f64),
        one("elapsed_seconds", "From the start to the last look.", coverage.elapsed_s as f64),
        one("looks", "Looks that were made.", coverage.looks_made as f64),
        one("looks_expected", "Looks that there should be by the last one.", coverage.looks_expected as f64),
        one("gap_longest_seconds", "Longest time without a look.", coverage.gap_longest_s as f64),
        one("restarts", "Times that watching began again.", coverage.restarts as f64),
        one("clock_jumps", "Times that the wall clock was set.", coverage.jumps.len() as f64),
        one(
            "last_look_timestamp_seconds",
            "When the last look was made; old means that nobody watches.",
            last.map_or(0.0, |at| at.unix() as f64),
        ),
    ];
    families.extend(of_metrics(soak, judgement, &gauge));
    render(&families)
}

fn of_metrics(soak: &str, judgement: &Judgement, gauge: &dyn Fn(&str, &str) -> Family) -> Vec<Family> {
    let mut verdict =
        gauge("metric_verdict", "1 for the verdict on a metric as of the last look, 0 for the others.");
    let mut units = gauge("metric_units", "Units that were counted.");
    let mut good = gauge("metric_good_units", "Units that were good.");
    let mut failed = gauge("metric_failed_readings", "Readings that failed.");
    let mut lower = gauge("metric_rate_lower_bound", "Least rate of good units that the evidence leaves.");
    let mut upper = gauge("metric_rate_upper_bound", "Greatest rate of good units that the evidence leaves.");
    for metric in &judgement.metrics {
        let labels = [("soak", soak), ("metric", metric.name.as_str())];
        for word in VERDICTS {
            let text = word.to_string();
            let labels = labels.into_iter().chain([("verdict", text.as_str())]);
            verdict.sample(labels, f64::from(word == metric.verdict));
        }
        units.sample(labels, metric.units as f64);
        good.sample(labels, metric.good as f64);
        failed.sample(labels, metric.failed as f64);
        lower.sample(labels, metric.bounds.lower);
        upper.sample(labels, metric.bounds.upper);
    }
    vec![verdict, units, good, failed, lower, upper]
}
