//! Bylines: how many became authors, how many were noise, and on which sources.

use serde::Serialize;

use super::publishers::trend;
use super::source::{Counted, count, real, word};
use super::{
    BARS_MAX, Basis, ROWS_MAX, ReportError, Source, TrendDay, Window, head, mean, rest, trend_chart,
};
use crate::db::Cell;
use crate::report::chart::Axis;
use crate::report::{Align, Chart, Document, Table, number, percentage};
use crate::stats::percent;
use crate::text::thousands;

const COUNTED: Counted<'_> = Counted {
    events: "byline_cleaning_telemetry",
    at: "created_at",
    only: "1 = 1",
    days: "byline_days",
    count: "bylines",
    select: "coalesce(source_name, '') AS source, count(*) AS bylines, \
             sum(CASE WHEN likely_valid_authors THEN 1 ELSE 0 END) AS valid, \
             sum(CASE WHEN likely_noise THEN 1 ELSE 0 END) AS noise, \
             sum(CASE WHEN requires_manual_review THEN 1 ELSE 0 END) AS review, \
             sum(CASE WHEN final_authors_display <> raw_byline THEN 1 ELSE 0 END) AS changed, \
             sum(CASE WHEN has_wire_service THEN 1 ELSE 0 END) AS wire, \
             sum(CASE WHEN has_email THEN 1 ELSE 0 END) AS email, sum(final_authors_count) AS authors, \
             sum(confidence_score) AS confidence, sum(processing_time_ms) AS duration_ms",
    join: "",
    group: "1, 2",
};

/// The sums that a card is made of, in its order.
const SUMS: &str = "sum(bylines), sum(valid), sum(noise), sum(review), sum(changed), sum(wire), sum(email), sum(authors), \
                    sum(confidence), sum(duration_ms)";

/// The bylines of a source, or all of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceCard {
    /// Its name; empty where it is not known.
    pub source: String,
    /// Bylines.
    pub bylines: u64,
    /// Those that look like authors.
    pub valid: u64,
    /// Their share, in percent.
    pub success_rate: Option<f64>,
    /// Those that are no bylines.
    pub noise: u64,
    /// Their share, in percent.
    pub noise_rate: Option<f64>,
    /// Those that a person should look at.
    pub review: u64,
    /// Those that cleaning changed.
    pub changed: u64,
    /// Those of a news agency.
    pub wire: u64,
    /// Those that held an address.
    pub email: u64,
    /// Authors for each byline.
    pub average_authors: Option<f64>,
    /// How far the result is to be trusted.
    pub average_confidence: Option<f64>,
    /// How long it took, in milliseconds.
    pub average_ms: Option<f64>,
}

impl SourceCard {
    fn of(source: String, sums: &[Cell]) -> Self {
        let (bylines, valid, noise) = (count(&sums[0]), count(&sums[1]), count(&sums[2]));
        let average = |cell: &Cell| mean(real(cell).unwrap_or(0.0), bylines);
        Self {
            source,
            bylines,
            valid,
            success_rate: percent(valid, bylines),
            noise,
            noise_rate: percent(noise, bylines),
            review: count(&sums[3]),
            changed: count(&sums[4]),
            wire: count(&sums[5]),
            email: count(&sums[6]),
            average_authors: average(&sums[7]),
            average_confidence: average(&sums[8]),
            average_ms: average(&sums[9]),
        }
    }
}

/// All bylines of a window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BylineReport {
    /// The days.
    pub window: Window,
    /// What was counted.
    pub basis: Basis,
    /// All sources together.
    pub total: SourceCard,
    /// By day; good is what looks like authors.
    pub trend: Vec<TrendDay>,
    /// The sources, the most active first.
    pub sources: Vec<SourceCard>,
}

/// Reads the bylines of the window.
pub fn bylines(source: &mut Source<'_>) -> Result<BylineReport, ReportError> {
    let (basis, from) = source.counted(&COUNTED, "bylines")?;
    let total = source.rows(&format!("SELECT {SUMS} FROM {from}"))?;
    let sources =
        source.rows(&format!("SELECT source, {SUMS} FROM {from} GROUP BY source ORDER BY 2 DESC, 1"))?;
    Ok(BylineReport {
        window: source.window.clone(),
        basis,
        total: SourceCard::of("all".to_owned(), &total[0]),
        trend: trend(source, &from, "bylines", "valid")?,
        sources: sources.iter().map(|row| SourceCard::of(word(&row[0]), &row[1..])).collect(),
    })
}

impl BylineReport {
    /// The report for people.
    pub fn document(&self, source: &str) -> Document {
        let mut document = head("Bylines", source, &self.window, self.basis);
        let total = &self.total;
        let part = |n: u64| format!("{} ({})", thousands(n), percentage(percent(n, total.bylines)));
        document.facts([
            ("bylines", thousands(total.bylines)),
            ("look like authors", part(total.valid)),
            ("noise", part(total.noise)),
            ("to be reviewed", part(total.review)),
            ("changed by cleaning", part(total.changed)),
            ("of a news agency", part(total.wire)),
            ("with an address", part(total.email)),
            ("authors on average", number(total.average_authors, 2)),
            ("confidence on average", number(total.average_confidence, 2)),
            ("milliseconds on average", number(total.average_ms, 1)),
        ]);
        if self.sources.is_empty() {
            document.text("No byline was cleaned in this window.");
            return document;
        }
        document.chart(trend_chart("Bylines that look like authors", "share %", &self.trend));
        let rows = self.sources.iter().take(BARS_MAX).map(|card| {
            let other = card.bylines.saturating_sub(card.valid + card.noise);
            (named(&card.source), [card.valid, card.noise, other].map(|n| n as f64).to_vec())
        });
        let parts = ["authors", "noise", "neither"];
        document.chart(Chart::stacked("The largest sources", Axis::linear("bylines"), parts, rows));
        let mut table = Table::new([
            ("source", Align::Left),
            ("bylines", Align::Right),
            ("authors", Align::Right),
            ("rate", Align::Right),
            ("noise", Align::Right),
            ("rate", Align::Right),
            ("review", Align::Right),
            ("changed", Align::Right),
            ("confidence", Align::Right),
        ]);
        for card in self.sources.iter().take(ROWS_MAX) {
            table.row([
                named(&card.source),
                thousands(card.bylines),
                thousands(card.valid),
                percentage(card.success_rate),
                thousands(card.noise),
                percentage(card.noise_rate),
                thousands(card.review),
                thousands(card.changed),
                number(card.average_confidence, 2),
            ]);
        }
        document.heading(2, "By source").table(table);
        rest(&mut document, self.sources.len());
        document
    }
}

fn named(source: &str) -> String {
    if source.is_empty() { "(not known)".to_owned() } else { source.to_owned() }
}
