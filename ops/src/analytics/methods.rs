//! Methods of extraction: how often each is tried, how often it succeeds, and how long it takes.

use serde::Serialize;

use super::publishers::duration;
use super::source::{Counted, count, literal, word};
use super::{Basis, Duration, ROWS_MAX, ReportError, Source, Window, at, head, rest};
use crate::report::chart::{Axis, Series};
use crate::report::{Align, Chart, Document, Table, number, percentage};
use crate::stats::percent;
use crate::telemetry::store::Dialect;
use crate::text::thousands;

/// Methods with a line of their own in the chart.
const LINES_MAX: usize = 5;

/// A method.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MethodCard {
    /// Its name.
    pub method: String,
    /// Extractions that tried it.
    pub attempts: u64,
    /// Those where it says that it succeeded.
    pub successes: u64,
    /// Their share, in percent.
    pub success_rate: Option<f64>,
    /// Different publishers.
    pub publishers: u64,
    /// How long it takes; one that never ended has no duration.
    pub duration: Duration,
}

/// All methods of a window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MethodReport {
    /// The days.
    pub window: Window,
    /// What was counted.
    pub basis: Basis,
    /// The publisher that was asked for.
    pub publisher: Option<String>,
    /// The methods, the most used first.
    pub methods: Vec<MethodCard>,
    /// Success by day, in percent, of the methods that are used most.
    pub trends: Vec<(String, Vec<(String, f64)>)>,
}

/// The tries of each extraction, a method once: what is joined, and what is selected. How an array becomes rows is not the
/// same in both databases.
fn counted(dialect: Dialect) -> (&'static str, String) {
    let (join, name, json) = match dialect {
        Dialect::Sqlite => (
            "e CROSS JOIN json_each(e.methods_attempted) m ON m.key = (SELECT min(k.key) \
             FROM json_each(e.methods_attempted) k WHERE k.value = m.value)",
            "m.value",
            "",
        ),
        Dialect::Postgres => (
            "e CROSS JOIN LATERAL (SELECT DISTINCT name FROM json_array_elements_text(e.methods_attempted::json) \
             AS a (name)) m",
            "m.name",
            "::json",
        ),
    };
    let took = format!("CAST(e.method_timings{json} ->> {name} AS DOUBLE PRECISION)");
    let select = format!(
        "{name} AS method, coalesce(e.publisher, '') AS publisher, count(*) AS attempts, \
         sum(CASE WHEN CAST(e.method_success{json} ->> {name} AS TEXT) IN ('1', 'true') THEN 1 ELSE 0 END) AS successes, \
         count({took}) AS timed, coalesce(sum({took}), 0) AS duration_ms, min({took}) AS duration_ms_min, \
         max({took}) AS duration_ms_max"
    );
    (join, select)
}

/// Reads the methods of the window, of one publisher or of all.
pub fn methods(source: &mut Source<'_>, publisher: Option<&str>) -> Result<MethodReport, ReportError> {
    let (join, select) = counted(source.dialect());
    let counted = Counted {
        events: "extraction_telemetry_v2",
        at: "created_at",
        only: "1 = 1",
        days: "extraction_days",
        count: "attempts",
        select: &select,
        join,
        group: "1, 2, 3",
    };
    let (basis, from) = source.counted(&counted, "extractions")?;
    let from = match basis {
        // Tries are not extractions: whether the days are whole is asked of these, their tries are kept apart.
        Basis::Days => from.replacen("extraction_days", "extraction_method_days", 1),
        Basis::Events => from,
    };
    let only = publisher.map_or_else(|| "1 = 1".to_owned(), |name| format!("publisher = {}", literal(name)));
    let rows = source.rows(&format!(
        "SELECT method, sum(attempts), sum(successes), count(DISTINCT publisher), sum(timed), sum(duration_ms), \
         min(duration_ms_min), max(duration_ms_max) FROM {from} WHERE {only} GROUP BY method ORDER BY 2 DESC, 1"
    ))?;
    let methods: Vec<MethodCard> = rows
        .iter()
        .map(|row| {
            let (attempts, successes) = (count(&row[1]), count(&row[2]));
            MethodCard {
                method: word(&row[0]),
                attempts,
                successes,
                success_rate: percent(successes, attempts),
                publishers: count(&row[3]),
                duration: duration(&row[4..]),
            }
        })
        .collect();
    let mut trends: Vec<(String, Vec<(String, f64)>)> =
        methods.iter().take(LINES_MAX).map(|card| (card.method.clone(), Vec::new())).collect();
    let days = source.rows(&format!(
        "SELECT method, day, sum(attempts), sum(successes) FROM {from} WHERE {only} GROUP BY method, day ORDER BY 2"
    ))?;
    for row in &days {
        let method = word(&row[0]);
        if let Some((_, days)) = trends.iter_mut().find(|(name, _)| *name == method)
            && let Some(rate) = percent(count(&row[3]), count(&row[2]))
        {
            days.push((word(&row[1]), rate));
        }
    }
    let publisher = publisher.map(str::to_owned);
    Ok(MethodReport { window: source.window.clone(), basis, publisher, methods, trends })
}

impl MethodReport {
    /// The report for people.
    pub fn document(&self, source: &str) -> Document {
        let mut document = head("Methods of extraction", source, &self.window, self.basis);
        if let Some(publisher) = &self.publisher {
            document.facts([("publisher", publisher.clone())]);
        }
        if self.methods.is_empty() {
            document.text("No method was tried in this window.");
            return document;
        }
        let mut table = Table::new([
            ("method", Align::Left),
            ("tries", Align::Right),
            ("successful", Align::Right),
            ("rate", Align::Right),
            ("publishers", Align::Right),
            ("average ms", Align::Right),
            ("least", Align::Right),
            ("greatest", Align::Right),
            ("not timed", Align::Right),
        ]);
        for card in self.methods.iter().take(ROWS_MAX) {
            let [average, least, greatest] = card.duration.shown();
            table.row([
                card.method.clone(),
                thousands(card.attempts),
                thousands(card.successes),
                percentage(card.success_rate),
                thousands(card.publishers),
                average,
                least,
                greatest,
                thousands(card.attempts.saturating_sub(card.duration.timed)),
            ]);
        }
        document.table(table);
        rest(&mut document, self.methods.len());
        let series = self.trends.iter().map(|(method, days)| {
            Series::new(method, days.iter().filter_map(|(day, rate)| Some([at(day)?, *rate])))
        });
        document.chart(Chart::lines("Success by day", Axis::time("UTC"), Axis::linear("success %"), series));
        let bars = self.methods.iter().take(super::BARS_MAX);
        let bars = bars.filter_map(|card| Some((card.method.clone(), card.duration.average_ms?)));
        document.chart(Chart::bars("Duration of a try", Axis::linear("milliseconds on average"), bars));
        let slowest = self.methods.iter().max_by(|a, b| {
            a.duration.average_ms.unwrap_or(0.0).total_cmp(&b.duration.average_ms.unwrap_or(0.0))
        });
        if let Some(card) = slowest.filter(|card| card.duration.average_ms.is_some()) {
            let average = number(card.duration.average_ms, 1);
            document.text(format!("The slowest is {} with {average} ms on average.", card.method));
        }
        document
    }
}
