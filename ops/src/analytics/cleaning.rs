//! Content cleaning: how much of each site is boilerplate, of which kinds, and what the library of patterns knows.

use serde::Serialize;

use super::publishers::trend;
use super::source::{Counted, count, literal, real, word};
use super::{
    BARS_MAX, Basis, ROWS_MAX, ReportError, Source, TrendDay, Window, head, mean, rest, trend_chart,
};
use crate::db::Cell;
use crate::report::chart::Axis;
use crate::report::{Align, Chart, Document, Table, number, percentage};
use crate::stats::percent;
use crate::text::thousands;

const SESSIONS: Counted<'_> = Counted {
    events: "content_cleaning_sessions",
    at: "created_at",
    only: "1 = 1",
    days: "content_cleaning_days",
    count: "sessions",
    select: "domain, count(*) AS sessions, sum(article_count) AS articles, sum(segments_detected) AS segments, \
             sum(segments_removed) AS removed, sum(total_removable_chars) AS removable_chars, \
             sum(removal_percentage) AS removal_percentage, sum(processing_time_ms) AS duration_ms",
    join: "",
    group: "1, 2",
};

/// The sums that a card is made of, in its order.
const SUMS: &str = "sum(sessions), sum(articles), sum(segments), sum(removed), sum(removable_chars), \
                    sum(removal_percentage), sum(duration_ms), max(day)";

/// The sessions of a site, or all of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DomainCard {
    /// The site.
    pub domain: String,
    /// Sessions.
    pub sessions: u64,
    /// Articles that were looked at.
    pub articles: u64,
    /// Segments that repeat.
    pub segments: u64,
    /// Those that were removed.
    pub removed: u64,
    /// Segments for each session.
    pub average_segments: Option<f64>,
    /// Characters that were removed.
    pub removable_chars: u64,
    /// Their share in percent, on average of the sessions.
    pub average_removal_percent: Option<f64>,
    /// How long a session took, in milliseconds.
    pub average_ms: Option<f64>,
    /// The last day with a session.
    pub last_day: String,
}

impl DomainCard {
    fn of(domain: String, sums: &[Cell]) -> Self {
        let sessions = count(&sums[0]);
        let average = |cell: &Cell| mean(real(cell).unwrap_or(0.0), sessions);
        Self {
            domain,
            sessions,
            articles: count(&sums[1]),
            segments: count(&sums[2]),
            removed: count(&sums[3]),
            average_segments: average(&sums[2]),
            removable_chars: count(&sums[4]),
            average_removal_percent: average(&sums[5]),
            average_ms: average(&sums[6]),
            last_day: word(&sums[7]),
        }
    }
}

/// A type of pattern.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PatternCard {
    /// Its name.
    pub pattern: String,
    /// Segments of this type in the window.
    pub segments: u64,
    /// Those that were removed.
    pub removed: u64,
    /// How sure their ends are, on average.
    pub average_boundary_score: Option<f64>,
    /// Patterns of this type in the library, of all time.
    pub known: u64,
    /// Those of them that a model may learn from.
    pub general: u64,
}

/// All cleaning of a window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CleaningReport {
    /// The days.
    pub window: Window,
    /// What was counted.
    pub basis: Basis,
    /// The site that was asked for.
    pub domain: Option<String>,
    /// All sites together.
    pub total: DomainCard,
    /// By day: segments, and those that were removed.
    pub trend: Vec<TrendDay>,
    /// The sites, the most active first.
    pub domains: Vec<DomainCard>,
    /// The types of patterns, the most frequent first.
    pub patterns: Vec<PatternCard>,
}

/// Reads the cleaning of the window, of one site or of all.
pub fn cleaning(source: &mut Source<'_>, domain: Option<&str>) -> Result<CleaningReport, ReportError> {
    let (basis, from) = source.counted(&SESSIONS, "content cleaning")?;
    let only = domain.map_or_else(|| "1 = 1".to_owned(), |name| format!("domain = {}", literal(name)));
    let from = format!("(SELECT * FROM {from} WHERE {only}) f");
    let total = source.rows(&format!("SELECT {SUMS} FROM {from}"))?;
    let domains =
        source.rows(&format!("SELECT domain, {SUMS} FROM {from} GROUP BY domain ORDER BY 2 DESC, 1"))?;
    Ok(CleaningReport {
        window: source.window.clone(),
        basis,
        domain: domain.map(str::to_owned),
        total: DomainCard::of("all".to_owned(), &total[0]),
        trend: trend(source, &from, "segments", "removed")?,
        domains: domains.iter().map(|row| DomainCard::of(word(&row[0]), &row[1..])).collect(),
        patterns: patterns(source, basis, &only)?,
    })
}

fn patterns(source: &mut Source<'_>, basis: Basis, only: &str) -> Result<Vec<PatternCard>, ReportError> {
    let sums = match basis {
        Basis::Days => format!(
            "SELECT pattern_type, sum(segments), sum(removed), sum(boundary_score) FROM content_cleaning_pattern_days \
             WHERE {only} AND {} GROUP BY pattern_type",
            source.window.holds_day("day")
        ),
        Basis::Events => format!(
            "SELECT g.pattern_type, count(*), sum(CASE WHEN g.was_removed THEN 1 ELSE 0 END), sum(g.boundary_score) \
             FROM content_cleaning_segments g JOIN content_cleaning_sessions s ON s.telemetry_id = g.telemetry_id \
             WHERE {only} AND {} GROUP BY g.pattern_type",
            source.window.holds_time("s.created_at")
        ),
    };
    let mut cards: Vec<PatternCard> = Vec::new();
    for row in source.rows(&sums)? {
        let segments = count(&row[1]);
        cards.push(PatternCard {
            pattern: word(&row[0]),
            segments,
            removed: count(&row[2]),
            average_boundary_score: mean(real(&row[3]).unwrap_or(0.0), segments),
            known: 0,
            general: 0,
        });
    }
    if source.has("persistent_boilerplate_patterns")? {
        let sql = format!(
            "SELECT pattern_type, count(*), sum(CASE WHEN is_ml_training_eligible THEN 1 ELSE 0 END) \
             FROM persistent_boilerplate_patterns WHERE {only} AND is_active GROUP BY pattern_type"
        );
        for row in source.rows(&sql)? {
            let pattern = word(&row[0]);
            if !cards.iter().any(|card| card.pattern == pattern) {
                let (segments, removed, average_boundary_score) = (0, 0, None);
                let pattern = pattern.clone();
                cards.push(PatternCard {
                    pattern,
                    segments,
                    removed,
                    average_boundary_score,
                    known: 0,
                    general: 0,
                });
            }
            for card in cards.iter_mut().filter(|card| card.pattern == pattern) {
                (card.known, card.general) = (count(&row[1]), count(&row[2]));
            }
        }
    }
    cards.sort_by(|a, b| b.segments.cmp(&a.segments).then_with(|| a.pattern.cmp(&b.pattern)));
    Ok(cards)
}

impl CleaningReport {
    /// The report for people.
    pub fn document(&self, source: &str) -> Document {
        let mut document = head("Content cleaning", source, &self.window, self.basis);
        let total = &self.total;
        let domain = self.domain.clone().map(|domain| ("domain", domain));
        document.facts(domain.into_iter().chain([
            ("sessions", thousands(total.sessions)),
            ("articles", thousands(total.articles)),
            ("segments", format!("{} ({} removed)", thousands(total.segments), thousands(total.removed))),
            ("characters removed", thousands(total.removable_chars)),
            ("removed on average", percentage(total.average_removal_percent)),
            ("milliseconds on average", number(total.average_ms, 1)),
        ]));
        if self.domains.is_empty() {
            document.text("Nothing was cleaned in this window.");
            return document;
        }
        document.chart(trend_chart("Segments that were removed", "share %", &self.trend));
        let bars = self.domains.iter().take(BARS_MAX);
        let bars = bars.filter_map(|card| Some((card.domain.clone(), card.average_removal_percent?)));
        document.chart(Chart::bars("Boilerplate of the most active sites", Axis::linear("removed %"), bars));
        document.heading(2, "Types of patterns").table(self.pattern_table());
        document.heading(2, "Sites").table(self.domain_table());
        rest(&mut document, self.domains.len());
        document
    }

    fn pattern_table(&self) -> Table {
        let mut table = Table::new([
            ("pattern", Align::Left),
            ("segments", Align::Right),
            ("removed", Align::Right),
            ("rate", Align::Right),
            ("boundary score", Align::Right),
            ("in the library", Align::Right),
            ("of them general", Align::Right),
        ]);
        for card in &self.patterns {
            table.row([
                card.pattern.clone(),
                thousands(card.segments),
                thousands(card.removed),
                percentage(percent(card.removed, card.segments)),
                number(card.average_boundary_score, 2),
                thousands(card.known),
                thousands(card.general),
            ]);
        }
        table
    }

    fn domain_table(&self) -> Table {
        let mut table = Table::new([
            ("site", Align::Left),
            ("sessions", Align::Right),
            ("articles", Align::Right),
            ("segments a session", Align::Right),
            ("removed", Align::Right),
            ("characters", Align::Right),
            ("last day", Align::Left),
        ]);
        for card in self.domains.iter().take(ROWS_MAX) {
            table.row([
                card.domain.clone(),
                thousands(card.sessions),
                thousands(card.articles),
                number(card.average_segments, 1),
                percentage(card.average_removal_percent),
                thousands(card.removable_chars),
                card.last_day.clone(),
            ]);
        }
        table
    }
}
