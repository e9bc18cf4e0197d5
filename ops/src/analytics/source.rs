//! A database that reports read: which counts there are, and whether they account for everything.

use serde::Serialize;

use super::Window;
use crate::db::{Cell, DbError, Reader};
use crate::guard::Refusal;
use crate::telemetry::store::Dialect;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The database could not be read.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The database has nothing to report about.
    #[error("{0}")]
    Missing(#[source] Refusal),
}

/// What a report was counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The counts of days.
    Days,
    /// The events themselves, because the counts of days do not account for all of them.
    Events,
}

impl Basis {
    pub(super) fn shown(self) -> &'static str {
        match self {
            Self::Days => "the counts of days",
            Self::Events => "the events, because the counts of days do not account for all of them",
        }
    }
}

/// A database and the window that is asked for.
pub struct Source<'a> {
    reader: &'a mut dyn Reader,
    dialect: Dialect,
    pub(super) window: Window,
}

impl std::fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("window", &self.window).finish_non_exhaustive()
    }
}

/// A table of events and the table that counts them by day.
pub(super) struct Counted<'a> {
    pub(super) events: &'a str,
    /// When an event was.
    pub(super) at: &'a str,
    /// Which events count.
    pub(super) only: &'a str,
    pub(super) days: &'a str,
    /// How many events a row of `days` counts.
    pub(super) count: &'a str,
    /// The same rows counted from the events: what is selected besides `day`, which comes first.
    pub(super) select: &'a str,
    /// What is joined to the events.
    pub(super) join: &'a str,
    /// Columns of the result that make a group, by number.
    pub(super) group: &'a str,
}

impl<'a> Source<'a> {
    /// Reads through `reader`, which is of a database that speaks `dialect`.
    pub fn new(reader: &'a mut dyn Reader, dialect: Dialect, window: Window) -> Self {
        Self { reader, dialect, window }
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(super) fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Cell>>, DbError> {
        self.reader.rows(sql)
    }

    pub(super) fn has(&mut self, table: &str) -> Result<bool, DbError> {
        Ok(!self.reader.columns(table)?.is_empty())
    }

    pub(super) fn require(&mut self, table: &str, what: &str) -> Result<(), ReportError> {
        if self.has(table)? {
            return Ok(());
        }
        let refusal = Refusal::new(
            format!("this database has no telemetry of {what}"),
            format!("a table `{table}`"),
            "no such table",
        );
        let next =
            "name the database that the telemetry store writes to; cargo xtask db-identity lists its tables";
        Err(ReportError::Missing(refusal.next(next)))
    }

    fn number(&mut self, sql: &str) -> Result<u64, DbError> {
        Ok(self.rows(sql)?.first().and_then(|row| row.first()).map_or(0, count))
    }

    /// What to select from: the counts of days in the window, or the events counted in the same way.
    pub(super) fn counted(
        &mut self,
        counted: &Counted<'_>,
        what: &str,
    ) -> Result<(Basis, String), ReportError> {
        let Counted { events, at, only, days, count, select, join, group } = counted;
        // A table of that name without days is another program's.
        let has_days = self.reader.columns(days)?.iter().any(|column| column == "day");
        if !has_days || self.has(events)? {
            self.require(events, what)?;
            let in_window = format!("{} AND {only}", self.window.holds_time(at));
            let there = self.number(&format!("SELECT count(*) FROM {events} WHERE {in_window}"))?;
            let sum = format!("SELECT sum({count}) FROM {days} WHERE {}", self.window.holds_day("day"));
            let in_days = if has_days { self.number(&sum)? } else { 0 };
            // More days than events is what is left when old events were deleted.
            if there > in_days {
                let day = format!("substr(CAST({at} AS TEXT), 1, 10)");
                let from = format!(
                    "(SELECT {day} AS day, {select} FROM {events} {join} WHERE {in_window} GROUP BY {group}) d"
                );
                return Ok((Basis::Events, from));
            }
        }
        let in_window = self.window.holds_day("day");
        Ok((Basis::Days, format!("(SELECT * FROM {days} WHERE {in_window}) d")))
    }
}

/// A count, however the database spells sums.
pub(super) fn count(cell: &Cell) -> u64 {
    match cell {
        Cell::Null => 0,
        Cell::Int(n) => u64::try_from(*n).unwrap_or(0),
        Cell::Real(x) => format!("{x:.0}").parse().unwrap_or(0),
        Cell::Text(text) => text.parse().unwrap_or(0),
    }
}

pub(super) fn real(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Null => None,
        Cell::Int(n) => Some(*n as f64),
        Cell::Real(x) => Some(*x),
        Cell::Text(text) => text.parse().ok(),
    }
}

pub(super) fn word(cell: &Cell) -> String {
    match cell {
        Cell::Null => String::new(),
        other => other.show(),
    }
}

pub(super) fn maybe(cell: &Cell) -> Option<String> {
    (*cell != Cell::Null).then(|| cell.show())
}

/// Text in SQL.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\0', "").replace('\'', "''"))
}
