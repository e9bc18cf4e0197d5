//! Scorecards: how well extraction works for each publisher, and what should be done about it.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::source::{Counted, count, real, word};
use super::{
    BARS_MAX, Basis, Duration, ROWS_MAX, ReportError, Source, TrendDay, Window, head, rest, trend_chart,
};
use crate::db::Cell;
use crate::report::chart::Axis;
use crate::report::{Align, Chart, Document, Table, percentage};
use crate::stats::percent;
use crate::text::{plural, thousands};

/// Below this rate a publisher does poorly, in percent; above [`GOOD`] well.
const POOR: f64 = 50.0;
const GOOD: f64 = 80.0;
/// Below this rate it should not be asked again for a while.
const PAUSE: f64 = 25.0;

const COUNTED: Counted<'_> = Counted {
    events: "extraction_telemetry_v2",
    at: "created_at",
    only: "1 = 1",
    days: "extraction_days",
    count: "attempts",
    select: "coalesce(host, '') AS host, coalesce(publisher, '') AS publisher, coalesce(successful_method, '') AS method, \
             count(*) AS attempts, sum(CASE WHEN is_success THEN 1 ELSE 0 END) AS successes, \
             count(total_duration_ms) AS timed, coalesce(sum(total_duration_ms), 0) AS duration_ms, \
             min(total_duration_ms) AS duration_ms_min, max(total_duration_ms) AS duration_ms_max",
    join: "",
    group: "1, 2, 3, 4",
};

/// How a publisher does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// More than 80 % succeed.
    Good,
    /// In between.
    Fair,
    /// Fewer than 50 % succeed.
    Poor,
    /// Fewer than 25 % succeed: pause it.
    Pause,
    /// Too few tries to tell.
    TooFew,
}

impl Grade {
    fn of(rate: Option<f64>, attempts: u64, min_attempts: u64) -> Self {
        match rate {
            Some(_) if attempts < min_attempts => Self::TooFew,
            None => Self::TooFew,
            Some(rate) if rate < PAUSE => Self::Pause,
            Some(rate) if rate < POOR => Self::Poor,
            Some(rate) if rate > GOOD => Self::Good,
            Some(_) => Self::Fair,
        }
    }

    fn shown(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Fair => "fair",
            Self::Poor => "poor: monitor",
            Self::Pause => "poor: pause",
            Self::TooFew => "too few",
        }
    }
}

/// A publisher; where its name is not known, its host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PublisherCard {
    /// Its name.
    pub publisher: String,
    /// How many hosts it has.
    pub hosts: u64,
    /// Extractions.
    pub attempts: u64,
    /// Those that found an article.
    pub successes: u64,
    /// Their share, in percent.
    pub success_rate: Option<f64>,
    /// How it does.
    pub grade: Grade,
    /// How long an extraction takes.
    pub duration: Duration,
    /// The methods that succeeded, the most frequent first.
    pub methods: Vec<(String, u64)>,
    /// The last day with an extraction.
    pub last_day: String,
}

/// All publishers of a window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PublisherReport {
    /// The days.
    pub window: Window,
    /// What was counted.
    pub basis: Basis,
    /// Fewer extractions than this are not graded.
    pub min_attempts: u64,
    /// Extractions.
    pub attempts: u64,
    /// Those that found an article.
    pub successes: u64,
    /// Their share, in percent.
    pub success_rate: Option<f64>,
    /// Different hosts.
    pub hosts: u64,
    /// How long an extraction takes.
    pub duration: Duration,
    /// Which method succeeded how often; `failed` where none did.
    pub methods: Vec<(String, u64)>,
    /// By day.
    pub trend: Vec<TrendDay>,
    /// The publishers, the most active first.
    pub publishers: Vec<PublisherCard>,
}

/// Reads the scorecards of the window.
pub fn publishers(source: &mut Source<'_>, min_attempts: u64) -> Result<PublisherReport, ReportError> {
    let (basis, from) = source.counted(&COUNTED, "extractions")?;
    // One pass over the days; what is left is a row for each host and method of a publisher.
    let rows = source.rows(&format!(
        "SELECT CASE WHEN publisher <> '' THEN publisher ELSE host END AS name, host, method, sum(attempts), \
         sum(successes), sum(timed), sum(duration_ms), min(duration_ms_min), max(duration_ms_max), max(day) \
         FROM {from} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    ))?;
    let (mut total, mut by_name) = (Sums::default(), HashMap::<String, Sums>::new());
    for row in &rows {
        total.add(row);
        by_name.entry(word(&row[0])).or_default().add(row);
    }
    let mut publishers: Vec<PublisherCard> =
        by_name.into_iter().map(|(name, sums)| sums.card(name, min_attempts)).collect();
    publishers.sort_by(|a, b| b.attempts.cmp(&a.attempts).then_with(|| a.publisher.cmp(&b.publisher)));
    let (attempts, successes) = (total.attempts, total.successes);
    let failed = total.methods.remove("").map(|n| ("failed".to_owned(), n));
    let mut methods: Vec<(String, u64)> = total.methods.into_iter().chain(failed).collect();
    most_first(&mut methods);
    let trend = trend(source, &from, "attempts", "successes")?;
    Ok(PublisherReport {
        window: source.window.clone(),
        basis,
        min_attempts,
        attempts,
        successes,
        success_rate: percent(successes, attempts),
        hosts: total.hosts.len() as u64,
        duration: Duration::of(total.timed, total.duration_ms, total.min_ms, total.max_ms),
        methods,
        trend,
        publishers,
    })
}

/// What rows add up to.
#[derive(Debug, Default)]
struct Sums {
    hosts: HashSet<String>,
    methods: HashMap<String, u64>,
    attempts: u64,
    successes: u64,
    timed: u64,
    duration_ms: f64,
    min_ms: Option<f64>,
    max_ms: Option<f64>,
    last_day: String,
}

impl Sums {
    /// Adds a row of name, host, method, counts, durations and the last day.
    fn add(&mut self, row: &[Cell]) {
        let attempts = count(&row[3]);
        self.hosts.insert(word(&row[1]));
        *self.methods.entry(word(&row[2])).or_default() += attempts;
        self.attempts += attempts;
        self.successes += count(&row[4]);
        self.timed += count(&row[5]);
        self.duration_ms += real(&row[6]).unwrap_or(0.0);
        let least = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).reduce(f64::min);
        let most = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).reduce(f64::max);
        (self.min_ms, self.max_ms) = (least(self.min_ms, real(&row[7])), most(self.max_ms, real(&row[8])));
        self.last_day = std::mem::take(&mut self.last_day).max(word(&row[9]));
    }

    fn card(self, publisher: String, min_attempts: u64) -> PublisherCard {
        let success_rate = percent(self.successes, self.attempts);
        let mut methods: Vec<(String, u64)> =
            self.methods.into_iter().filter(|(method, _)| !method.is_empty()).collect();
        most_first(&mut methods);
        PublisherCard {
            publisher,
            hosts: self.hosts.len() as u64,
            attempts: self.attempts,
            successes: self.successes,
            success_rate,
            grade: Grade::of(success_rate, self.attempts, min_attempts),
            duration: Duration::of(self.timed, self.duration_ms, self.min_ms, self.max_ms),
            methods,
            last_day: self.last_day,
        }
    }
}

/// The most frequent first.
fn most_first(methods: &mut [(String, u64)]) {
    methods.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
}

/// From how often a duration is known, the sum, the least and the greatest.
pub(super) fn duration(cells: &[Cell]) -> Duration {
    Duration::of(count(&cells[0]), real(&cells[1]).unwrap_or(0.0), real(&cells[2]), real(&cells[3]))
}

/// Counts by day.
pub(super) fn trend(
    source: &mut Source<'_>,
    from: &str,
    all: &str,
    good: &str,
) -> Result<Vec<TrendDay>, ReportError> {
    let rows =
        source.rows(&format!("SELECT day, sum({all}), sum({good}) FROM {from} GROUP BY day ORDER BY day"))?;
    let day = |row: &Vec<Cell>| TrendDay { day: word(&row[0]), count: count(&row[1]), good: count(&row[2]) };
    Ok(rows.iter().map(day).collect())
}

impl PublisherReport {
    /// The report for people.
    pub fn document(&self, source: &str) -> Document {
        let mut document = head("Publishers", source, &self.window, self.basis);
        let [average, least, greatest] = self.duration.shown();
        document.facts([
            ("extractions", thousands(self.attempts)),
            ("successful", format!("{} ({})", thousands(self.successes), percentage(self.success_rate))),
            ("hosts", thousands(self.hosts)),
            ("duration, ms", format!("{average} on average, {least} to {greatest}")),
        ]);
        if self.publishers.is_empty() {
            document.text("Nothing was extracted in this window.");
            return document;
        }
        document.chart(trend_chart("Success by day", "success %", &self.trend));
        let graded = || self.publishers.iter().filter(|card| card.grade != Grade::TooFew);
        let most =
            graded().take(BARS_MAX).map(|card| (card.publisher.clone(), card.success_rate.unwrap_or(0.0)));
        let bars: Vec<(String, f64)> = most.collect();
        if !bars.is_empty() {
            document.chart(
                Chart::bars("Success of the most active publishers", Axis::linear("success %"), bars)
                    .mark(POOR, "poor below")
                    .mark(GOOD, "good above"),
            );
        }
        document.heading(2, "Scorecards").table(self.cards());
        rest(&mut document, self.publishers.len());
        self.poor(&mut document);
        let mut table =
            Table::new([("method", Align::Left), ("extractions", Align::Right), ("share", Align::Right)]);
        for (method, n) in &self.methods {
            table.row([method.clone(), thousands(*n), percentage(percent(*n, self.attempts))]);
        }
        document.heading(2, "Successful methods, and failures").table(table);
        document
    }

    fn cards(&self) -> Table {
        let mut table = Table::new([
            ("publisher", Align::Left),
            ("hosts", Align::Right),
            ("extractions", Align::Right),
            ("successful", Align::Right),
            ("rate", Align::Right),
            ("grade", Align::Left),
            ("average ms", Align::Right),
            ("most common method", Align::Left),
            ("last day", Align::Left),
        ]);
        for card in self.publishers.iter().take(ROWS_MAX) {
            table.row([
                card.publisher.clone(),
                thousands(card.hosts),
                thousands(card.attempts),
                thousands(card.successes),
                percentage(card.success_rate),
                card.grade.shown().to_owned(),
                crate::report::number(card.duration.average_ms, 1),
                card.methods.first().map_or("–", |(method, _)| method).to_owned(),
                card.last_day.clone(),
            ]);
        }
        table
    }

    /// Those that do poorly, the worst first.
    fn poor(&self, document: &mut Document) {
        let is_poor = |card: &&PublisherCard| matches!(card.grade, Grade::Poor | Grade::Pause);
        let mut poor: Vec<&PublisherCard> = self.publishers.iter().filter(is_poor).collect();
        poor.sort_by(|a, b| {
            let rates = a.success_rate.unwrap_or(0.0).total_cmp(&b.success_rate.unwrap_or(0.0));
            rates.then(b.attempts.cmp(&a.attempts)).then_with(|| a.publisher.cmp(&b.publisher))
        });
        if poor.is_empty() {
            return;
        }
        document.heading(2, "Poor performers").list(poor.iter().take(ROWS_MAX).map(|card| {
            let advice = if card.grade == Grade::Pause { "pause" } else { "monitor" };
            format!(
                "{}: {} of {}, {advice}",
                card.publisher,
                percentage(card.success_rate),
                plural(card.attempts, "extraction")
            )
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grades_have_limits() {
        let grade = |rate, attempts| Grade::of(Some(rate), attempts, 5);
        assert_eq!(
            [grade(24.9, 5), grade(25.0, 5), grade(49.9, 5), grade(50.0, 5), grade(80.0, 5), grade(80.1, 5)],
            [Grade::Pause, Grade::Poor, Grade::Poor, Grade::Fair, Grade::Fair, Grade::Good]
        );
        assert_eq!(grade(100.0, 4), Grade::TooFew);
        assert_eq!(Grade::of(None, 0, 0), Grade::TooFew);
    }
}
