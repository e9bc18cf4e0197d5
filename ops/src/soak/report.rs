//! A judgement and an operating characteristic as documents for people.

use super::evidence::{Log, Rule, Soak};
use super::history::{Point, history};
use super::judge::{Judgement, MetricJudgement, Verdict};
use super::power::Outcome;
use crate::clock::Stamp;
use crate::report::chart::{Axis, Series};
use crate::report::{Align, Chart, Document, Table};
use crate::text::{plural, thousands};

/// A share in percent with one digit.
fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A span of whole seconds in the largest units that it has: `6 h`, `5 min 30 s`.
fn span(seconds: u64) -> String {
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let shown: Vec<String> =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n} {unit}")).collect();
    if shown.is_empty() { "0 s".to_owned() } else { shown.join(" ") }
}

impl Judgement {
    /// The report of a soak.
    pub fn document(&self, log: &Log) -> Document {
        let (soak, coverage) = (&log.soak, &self.coverage);
        let mut document = Document::new();
        document.heading(1, format!("Soak {}: {}", soak.name, self.verdict));
        document.facts([
            ("target", soak.target.clone()),
            (
                "rows left out",
                soak.run.as_ref().map_or("none".to_owned(), |run| format!("those of run {run}")),
            ),
            (
                "plan",
                soak.plan.as_ref().map_or("none".to_owned(), |plan| {
                    let short = plan.id.get(..12).unwrap_or(&plan.id);
                    format!("{short}, {}", plural(plan.candidates, "candidate"))
                }),
            ),
            ("started", soak.started.clone()),
            ("watched", format!("{} of {}", span(coverage.elapsed_s), span(soak.window_s))),
            (
                "looks",
                format!(
                    "{} of {}, every {}",
                    thousands(coverage.looks_made),
                    thousands(coverage.looks_expected),
                    span(soak.every_s)
                ),
            ),
            ("longest time without one", span(coverage.gap_longest_s)),
            ("restarts", thousands(coverage.restarts)),
            ("chance of a false NO-GO", format!("at most {}, all looks together", percent(soak.error_rate))),
        ]);
        if log.torn_bytes > 0 {
            document.text(format!(
                "{} of a cut-off last line were not read.",
                plural(log.torn_bytes as u64, "byte")
            ));
        }
        if !self.because.is_empty() {
            document.list(self.because.clone());
        }
        document.heading(2, "Metrics");
        document.table(self.table());
        for (index, (metric, terms)) in self.metrics.iter().zip(&soak.metrics).enumerate() {
            document.heading(2, format!("{}: {}", metric.name, metric.verdict));
            document.text(format!("Counted: {}. {}.", terms.what, rule_text(&terms.rule)));
            document.list(metric.lines());
            if let Some(chart) = chart(&history(log, index), &terms.rule) {
                document.chart(chart);
            }
        }
        document
    }

    fn table(&self) -> Table {
        let mut table = Table::new([
            ("metric", Align::Left),
            ("verdict", Align::Left),
            ("good", Align::Right),
            ("of", Align::Right),
            ("rate", Align::Right),
            ("at least", Align::Right),
            ("at most", Align::Right),
        ]);
        for metric in &self.metrics {
            table.row([
                metric.name.clone(),
                metric.verdict.to_string(),
                thousands(metric.good),
                thousands(metric.units),
                metric.rate.map_or("n/a".to_owned(), percent),
                percent(metric.bounds.lower),
                percent(metric.bounds.upper),
            ]);
        }
        table
    }
}

/// The rate of good units from look to look, the rates that the evidence left, and the bound that these must pass.
fn chart(points: &[Point], rule: &Rule) -> Option<Chart> {
    let time = |point: &Point| Stamp::parse(&point.at).map(|at| at.unix() as f64);
    let place = |point: &Point| match (time(point), point.good, point.units) {
        (Some(at), Some(good), Some(units)) if units > 0 => Some([at, good as f64 / units as f64 * 100.0]),
        // A gap in the line, not a line over it.
        (at, ..) => at.map(|at| [at, f64::NAN]),
    };
    let band = |point: &Point| {
        let bounds = point.bounds?;
        Some([time(point)?, bounds.lower * 100.0, bounds.upper * 100.0])
    };
    let places: Vec<[f64; 2]> = points.iter().filter_map(place).collect();
    if !places.iter().any(|[_, rate]| rate.is_finite()) {
        return None;
    }
    let series = Series::new("good", places).band(points.iter().filter_map(band));
    let axes = (Axis::time("look"), Axis::linear("good units, %"));
    let chart = Chart::lines("Rate over time, with what the evidence leaves", axes.0, axes.1, [series]);
    Some(match rule {
        Rule::Never { hidden_max } => chart.mark((1.0 - hidden_max) * 100.0, "GO needs the band above"),
        Rule::AtLeast { rate, margin } => chart
            .mark(rate * 100.0, "NO-GO with the band below")
            .mark((rate - margin) * 100.0, "GO with it above"),
    })
}

fn rule_text(rule: &Rule) -> String {
    match rule {
        Rule::Never { hidden_max } => format!(
            "One bad unit is NO-GO; GO needs so many good ones that {} of bad ones would have shown",
            percent(*hidden_max)
        ),
        Rule::AtLeast { rate, margin } => format!(
            "NO-GO when the evidence excludes {}; GO when it excludes less than {}",
            percent(*rate),
            percent(rate - margin)
        ),
    }
}

impl MetricJudgement {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.because.clone()];
        if !self.bad.is_empty() {
            let bad = self.units.saturating_sub(self.good);
            lines.push(format!("bad: {} ({} in all)", self.bad.join(", "), thousands(bad)));
        }
        if self.failed > 0 {
            let error = self.error.as_deref().unwrap_or("unknown");
            lines.push(format!("{} failed, the last: {error}", plural(self.failed, "reading")));
        }
        if let Some(rate) = self.detectable {
            lines.push(format!("a rate of {} or less would have been found with 80 %", percent(rate)));
        }
        match self.needed {
            Some(needed) => {
                lines.push(format!("about {} more decide, if the rate stays", plural(needed, "unit")));
            }
            None if self.verdict == Verdict::Insufficient && self.units > 0 => {
                lines.push("more units of this rate would not decide".to_owned());
            }
            None => {}
        }
        lines
    }
}

/// The operating characteristic of a soak: what comes out how often for every truth that was tried.
pub fn power_document(soak: &Soak, outcomes: &[Outcome]) -> Document {
    let mut document = Document::new();
    document.heading(1, "What this soak can find out");
    let rule = soak.metrics.first().map_or_else(String::new, |metric| rule_text(&metric.rule));
    document.facts([
        ("window", span(soak.window_s)),
        ("looks", format!("{}, every {}", soak.window_s / soak.every_s, span(soak.every_s))),
        ("stated chance of a false NO-GO", percent(soak.error_rate)),
        ("rule", rule),
    ]);
    let mut table = Table::new([
        ("true rate", Align::Right),
        ("units", Align::Right),
        ("GO", Align::Right),
        ("NO-GO", Align::Right),
        ("undecided", Align::Right),
        ("half of NO-GO by look", Align::Right),
        ("bare threshold: NO-GO", Align::Right),
    ]);
    for outcome in outcomes {
        let share = |part: u64| percent(part as f64 / outcome.soaks.max(1) as f64);
        table.row([
            percent(outcome.scenario.rate),
            thousands(outcome.scenario.units),
            share(outcome.go),
            share(outcome.no_go),
            share(outcome.undecided),
            outcome.no_go_median_look.map_or("n/a".to_owned(), |look| look.to_string()),
            share(outcome.threshold_no_go),
        ]);
    }
    document.table(table);
    let soaks = outcomes.first().map_or(0, |outcome| outcome.soaks);
    document.text(format!("Each line is {} through the code that judges.", plural(soaks, "simulated soak")));
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_shown_in_their_units() {
        let shown: Vec<String> = [0, 30, 330, 21_600, 3_661].into_iter().map(span).collect();
        assert_eq!(shown, ["0 s", "30 s", "5 min 30 s", "6 h", "1 h 1 min 1 s"]);
    }
}
