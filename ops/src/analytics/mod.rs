//! What the collected telemetry says: scorecards of publishers, HTTP errors, methods, bylines, cleaning, and the health of
//! the store itself.
//!
//! Reports read the counts of days that producers keep, so a year of ten million events takes as long as its days. Where
//! those counts do not account for every event of the window, because something else wrote the events, the events are
//! counted instead, and the report says so. A window is whole days in UTC: the last seven days are today and the six
//! before. Rates come from sums, never from other rates.

mod bylines;
mod cleaning;
mod http_errors;
mod methods;
mod publishers;
mod source;
mod store;

pub use self::bylines::{BylineReport, SourceCard, bylines};
pub use self::cleaning::{CleaningReport, DomainCard, PatternCard, cleaning};
pub use self::http_errors::{HttpErrorReport, HttpErrors, http_errors};
pub use self::methods::{MethodCard, MethodReport, methods};
pub use self::publishers::{Grade, PublisherCard, PublisherReport, publishers};
pub use self::source::{Basis, ReportError, Source};
pub use self::store::{StoreReport, TableVersion, Waiting, WriterCard, WriterState, store};

use serde::Serialize;

use crate::clock::Stamp;
use crate::report::chart::{Axis, Series};
use crate::report::{Chart, Document};
use crate::text::{plural, thousands};

const DAY_SECONDS: i64 = 86_400;
/// Tables for people end there, and say how many rows more the JSON has.
const ROWS_MAX: usize = 50;
/// Bars of a chart.
const BARS_MAX: usize = 15;

/// Whole days in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Window {
    /// The first day, `YYYY-MM-DD`.
    pub from: String,
    /// The last day.
    pub to: String,
    /// How many days these are.
    pub days: u64,
    #[serde(skip)]
    first: i64,
}

impl Window {
    /// The last `days` days: today and those before.
    pub fn last(days: u32, now: Stamp) -> Self {
        let back = i64::from(days.max(1) - 1) * DAY_SECONDS;
        Self::since(Stamp::from_unix(now.unix() - back).unwrap_or(now), now)
    }

    /// From the day of `from` to today.
    pub fn since(from: Stamp, now: Stamp) -> Self {
        let number = |stamp: Stamp| stamp.unix().div_euclid(DAY_SECONDS);
        let (first, last) = (number(from).min(number(now)), number(now));
        let days = u64::try_from(last - first + 1).unwrap_or(1);
        Self { from: day(first), to: day(last), days, first }
    }

    /// Every day, the first one first.
    fn each(&self) -> impl Iterator<Item = String> {
        (self.first..).zip(0..self.days).map(|(number, _)| day(number))
    }

    /// Whether a day is in the window, in SQL.
    fn holds_day(&self, column: &str) -> String {
        format!("{column} >= '{}' AND {column} <= '{}'", self.from, self.to)
    }

    /// Whether a time is in the window, in SQL. Times are text that sorts.
    fn holds_time(&self, column: &str) -> String {
        let end = day(self.first + i64::try_from(self.days).unwrap_or(0));
        format!("{column} >= '{}' AND {column} < '{end}'", self.from)
    }
}

/// The day of this number, counted from 1970-01-01.
fn day(number: i64) -> String {
    let stamp = Stamp::from_unix(number.saturating_mul(DAY_SECONDS));
    stamp.map_or_else(String::new, |stamp| stamp.db()[..10].to_owned())
}

/// `2026-01-14 to 2026-01-20 (7 days, UTC)`.
impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to {} ({}, UTC)", self.from, self.to, plural(self.days, "day"))
    }
}

/// How long something took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Duration {
    /// How often that is known.
    pub timed: u64,
    /// The mean, in milliseconds.
    pub average_ms: Option<f64>,
    /// The least.
    pub min_ms: Option<f64>,
    /// The greatest.
    pub max_ms: Option<f64>,
}

impl Duration {
    /// From a sum.
    fn of(timed: u64, total_ms: f64, min_ms: Option<f64>, max_ms: Option<f64>) -> Self {
        Self { timed, average_ms: mean(total_ms, timed), min_ms, max_ms }
    }

    fn shown(&self) -> [String; 3] {
        [self.average_ms, self.min_ms, self.max_ms].map(|ms| crate::report::number(ms, 1))
    }
}

fn mean(total: f64, count: u64) -> Option<f64> {
    (count > 0).then(|| total / count as f64)
}

/// One day of a trend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrendDay {
    /// The day.
    pub day: String,
    /// All of it.
    pub count: u64,
    /// The part that is well.
    pub good: u64,
}

/// The share that is well, over time; days without anything have none.
fn trend_chart(title: &str, label: &str, trend: &[TrendDay]) -> Chart {
    let point = |day: &TrendDay| Some([at(&day.day)?, crate::stats::percent(day.good, day.count)?]);
    let series = Series::new(label, trend.iter().filter_map(point));
    Chart::lines(title, Axis::time("UTC"), Axis::linear(label), [series])
}

/// A day in seconds since 1970.
fn at(day: &str) -> Option<f64> {
    Stamp::parse_db(&format!("{day} 00:00:00")).map(|stamp| stamp.unix() as f64)
}

/// The head that all reports share.
fn head(title: &str, source: &str, window: &Window, basis: Basis) -> Document {
    let mut document = Document::new();
    document.heading(1, title).facts([
        ("source", source.to_owned()),
        ("window", window.to_string()),
        ("counted from", basis.shown().to_owned()),
    ]);
    document
}

/// Says how many rows are not shown.
fn rest(document: &mut Document, all: usize) {
    if all > ROWS_MAX {
        document.text(format!("{} more are in the JSON document.", thousands((all - ROWS_MAX) as u64)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_days_are_today_and_those_before() {
        let now = Stamp::parse("2026-01-20T23:59:59Z").unwrap();
        let window = Window::last(7, now);
        assert_eq!(window.to_string(), "2026-01-14 to 2026-01-20 (7 days, UTC)");
        assert_eq!(window.holds_time("t"), "t >= '2026-01-14' AND t < '2026-01-21'");
        assert_eq!(Window::last(1, now).to_string(), "2026-01-20 to 2026-01-20 (1 day, UTC)");
        assert_eq!(Window::last(0, now).days, 1);
        assert_eq!(Window::last(2, now).each().collect::<Vec<_>>(), ["2026-01-19", "2026-01-20"]);
        let leap = Stamp::parse("2024-03-01T00:00:00Z").unwrap();
        assert_eq!(Window::last(2, leap).from, "2024-02-29");
        assert_eq!(Window::since(now.plus(std::time::Duration::from_secs(9)), now).days, 1);
    }
}
