//! HTTP errors: which hosts refuse what, how often within the window, and since when.

use serde::Serialize;

use super::source::{Counted, count, literal, word};
use super::{BARS_MAX, Basis, ROWS_MAX, ReportError, Source, Window, at, head, rest};
use crate::report::chart::{Axis, Series};
use crate::report::{Align, Chart, Document, Table, percentage};
use crate::stats::percent;
use crate::text::thousands;

/// One status of one host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HttpErrors {
    /// The host.
    pub host: String,
    /// The status.
    pub status: u64,
    /// Its class.
    pub class: String,
    /// How often it came within the window.
    pub count: u64,
    /// When it came first within the window.
    pub first_seen: String,
    /// When it came last.
    pub last_seen: String,
}

/// All errors of a window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HttpErrorReport {
    /// The days.
    pub window: Window,
    /// What was counted.
    pub basis: Basis,
    /// The host that was asked for.
    pub host: Option<String>,
    /// The status that was asked for.
    pub status: Option<u16>,
    /// All of them.
    pub count: u64,
    /// By status, the most frequent first.
    pub statuses: Vec<(u64, u64)>,
    /// By class and day.
    pub trends: Vec<(String, Vec<(String, u64)>)>,
    /// By host and status, the most frequent first.
    pub errors: Vec<HttpErrors>,
}

/// Errors are counted for each day in the job of their extraction, so that a window holds what happened in it and
/// nothing else.
const COUNTED: Counted<'_> = Counted {
    events: "extraction_telemetry_v2",
    at: "created_at",
    only: "http_error_type IS NOT NULL",
    days: "http_error_summary",
    count: "count",
    select: "coalesce(host, '') AS host, http_status_code AS status_code, http_error_type AS error_type, count(*) AS \
             count, min(CAST(created_at AS TEXT)) AS first_seen, max(CAST(created_at AS TEXT)) AS last_seen",
    join: "",
    group: "1, 2, 3, 4",
};

/// Reads the errors of the window, of one host, of one status or all.
pub fn http_errors(
    source: &mut Source<'_>,
    host: Option<&str>,
    status: Option<u16>,
) -> Result<HttpErrorReport, ReportError> {
    let (basis, from) = source.counted(&COUNTED, "HTTP errors")?;
    let mut only = "1 = 1".to_owned();
    if let Some(host) = host {
        only.push_str(&format!(" AND host = {}", literal(host)));
    }
    if let Some(status) = status {
        only.push_str(&format!(" AND status_code = {status}"));
    }
    let rows = source.rows(&format!(
        "SELECT host, status_code, max(error_type), sum(count), min(first_seen), max(last_seen) FROM {from} \
         WHERE {only} GROUP BY host, status_code ORDER BY 4 DESC, 6 DESC, 1, 2"
    ))?;
    let error = |row: &Vec<crate::db::Cell>| HttpErrors {
        host: word(&row[0]),
        status: count(&row[1]),
        class: word(&row[2]),
        count: count(&row[3]),
        first_seen: word(&row[4]),
        last_seen: word(&row[5]),
    };
    let errors: Vec<HttpErrors> = rows.iter().map(error).collect();
    let statuses = source.rows(&format!(
        "SELECT status_code, sum(count) FROM {from} WHERE {only} GROUP BY status_code ORDER BY 2 DESC, 1"
    ))?;
    let mut trends: Vec<(String, Vec<(String, u64)>)> = Vec::new();
    for row in source.rows(&format!(
        "SELECT error_type, day, sum(count) FROM {from} WHERE {only} GROUP BY error_type, day ORDER BY 1, 2"
    ))? {
        let class = word(&row[0]);
        if trends.last().is_none_or(|(last, _)| *last != class) {
            trends.push((class, Vec::new()));
        }
        if let Some((_, days)) = trends.last_mut() {
            days.push((word(&row[1]), count(&row[2])));
        }
    }
    Ok(HttpErrorReport {
        window: source.window.clone(),
        basis,
        host: host.map(str::to_owned),
        status,
        count: errors.iter().map(|error| error.count).sum(),
        statuses: statuses.iter().map(|row| (count(&row[0]), count(&row[1]))).collect(),
        trends,
        errors,
    })
}

impl HttpErrorReport {
    /// The report for people.
    pub fn document(&self, source: &str) -> Document {
        let mut document = head("HTTP errors", source, &self.window, self.basis);
        let filters = [
            ("host", self.host.clone()),
            ("status", self.status.map(|status| status.to_string())),
            ("errors", Some(thousands(self.count))),
        ];
        document.facts(filters.into_iter().filter_map(|(name, value)| Some((name, value?))));
        if self.errors.is_empty() {
            document.text("There were no such errors in this window.");
            return document;
        }
        // A day without an error is a day with none.
        let series = self.trends.iter().map(|(class, days)| {
            let of =
                |day: &String| days.iter().find(|(other, _)| other == day).map_or(0, |(_, count)| *count);
            let point = |day: String| Some([at(&day)?, of(&day) as f64]);
            Series::new(class, self.window.each().filter_map(point))
        });
        document.chart(Chart::lines("Errors by day", Axis::time("UTC"), Axis::linear("errors"), series));
        let bars = self.errors.iter().take(BARS_MAX);
        let bars = bars.map(|error| (format!("{} {}", error.host, error.status), error.count as f64));
        document.chart(Chart::bars("The most frequent errors", Axis::linear("errors"), bars));
        let mut table =
            Table::new([("status", Align::Right), ("errors", Align::Right), ("share", Align::Right)]);
        for (status, count) in self.statuses.iter().take(ROWS_MAX) {
            table.row([status.to_string(), thousands(*count), percentage(percent(*count, self.count))]);
        }
        document.heading(2, "By status").table(table);
        let mut table = Table::new([
            ("host", Align::Left),
            ("status", Align::Right),
            ("class", Align::Left),
            ("errors", Align::Right),
            ("first", Align::Left),
            ("last", Align::Left),
        ]);
        let second = |time: &str| time.get(..19).unwrap_or(time).to_owned();
        for error in self.errors.iter().take(ROWS_MAX) {
            let (first, last) = (second(&error.first_seen), second(&error.last_seen));
            let status = error.status.to_string();
            table.row([error.host.clone(), status, error.class.clone(), thousands(error.count), first, last]);
        }
        document.heading(2, "By host and status").table(table);
        rest(&mut document, self.errors.len());
        document
    }
}
