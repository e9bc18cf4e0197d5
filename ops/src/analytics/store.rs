//! The health of the telemetry store: its writers, what they lost and why, and what waits in spill files.
//!
//! Writers say how they are doing every ten seconds. One that was not seen for longer and never said goodbye is gone, and
//! what it had not written is lost or in its spill file.

use serde::Serialize;

use super::source::{count, maybe, word};
use super::{ROWS_MAX, ReportError, Source, rest};
use crate::clock::Stamp;
use crate::db::Cell;
use crate::export::prometheus::{Family, Kind};
use crate::report::chart::Axis;
use crate::report::{Align, Chart, Check, Document, Table};
use crate::text::{bytes, plural, thousands};

/// A writer that was not seen for so many seconds is gone.
const GONE_AFTER: u64 = 30;

const WRITERS: &str = "SELECT id, process, started_at, seen_at, closed_at, submitted, written, spilled, pending, \
                       queue_bytes, dropped_queue_full, dropped_closed, dropped_sql_error, dropped_ddl_error, \
                       dropped_spill_lost, recovered, retries, groups, last_error FROM ops_telemetry_writers \
                       ORDER BY seen_at DESC, id";

/// Why jobs are given up, in the order of [`WriterCard::dropped`].
const REASONS: [&str; 5] = ["queue full", "store closed", "job refused", "table refused", "spill file lost"];

/// How a writer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WriterState {
    /// It was seen a moment ago.
    Alive,
    /// It was closed.
    Closed,
    /// It was not seen for a while, and it was not closed.
    Gone,
}

impl WriterState {
    fn shown(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Closed => "closed",
            Self::Gone => "gone",
        }
    }
}

/// A writer as it said last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WriterCard {
    /// Which one.
    pub id: String,
    /// Its process.
    pub process: u64,
    /// How it is.
    pub state: WriterState,
    /// When it was opened.
    pub started_at: String,
    /// When it was seen last.
    pub seen_at: String,
    /// Jobs that were handed to it.
    pub submitted: u64,
    /// Those in the database.
    pub written: u64,
    /// Those in its spill file.
    pub spilled: u64,
    /// Those waiting in its queue.
    pub pending: u64,
    /// Bytes of its queue.
    pub queue_bytes: u64,
    /// Given up because the queue was full, the store closed, the database refused the job or its table, the spill file
    /// was lost.
    pub dropped: [u64; 5],
    /// What it brought in from the spill files of others.
    pub recovered: u64,
    /// Groups that were tried again.
    pub retries: u64,
    /// Groups that were committed.
    pub groups: u64,
    /// What went wrong last.
    pub last_error: Option<String>,
}

impl WriterCard {
    fn of(row: &[Cell], now: Stamp) -> Self {
        let seen_at = word(&row[3]);
        let is_recent = Stamp::parse_db(&seen_at).is_some_and(|seen| now.since(seen).as_secs() <= GONE_AFTER);
        let state = match (&row[4], is_recent) {
            (Cell::Null, true) => WriterState::Alive,
            (Cell::Null, false) => WriterState::Gone,
            _ => WriterState::Closed,
        };
        Self {
            id: word(&row[0]),
            process: count(&row[1]),
            state,
            started_at: word(&row[2]),
            seen_at,
            submitted: count(&row[5]),
            written: count(&row[6]),
            spilled: count(&row[7]),
            pending: count(&row[8]),
            queue_bytes: count(&row[9]),
            dropped: [10, 11, 12, 13, 14].map(|i| count(&row[i])),
            recovered: count(&row[15]),
            retries: count(&row[16]),
            groups: count(&row[17]),
            last_error: maybe(&row[18]),
        }
    }

    fn dropped(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Jobs that it had and that are nowhere.
    fn is_short(&self) -> bool {
        self.state == WriterState::Gone && self.pending > 0
    }
}

/// A table that the store keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableVersion {
    /// Its name.
    pub table: String,
    /// The version of its declaration.
    pub version: u64,
}

/// A spill file beside the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// Its name.
    pub file: String,
    /// Its size.
    pub bytes: u64,
}

/// The health of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoreReport {
    /// The writers, those seen last first.
    pub writers: Vec<WriterCard>,
    /// The tables.
    pub tables: Vec<TableVersion>,
    /// Spill files that no writer has brought in yet; those of a server are where its writers run.
    pub spill_files: Vec<Waiting>,
}

/// Reads how the store is doing at `now`. `spill_files` are those beside the database.
pub fn store(
    source: &mut Source<'_>,
    spill_files: Vec<Waiting>,
    now: Stamp,
) -> Result<StoreReport, ReportError> {
    source.require("ops_telemetry_tables", "any kind")?;
    let writers = if source.has("ops_telemetry_writers")? { source.rows(WRITERS)? } else { Vec::new() };
    let tables = source.rows("SELECT name, version FROM ops_telemetry_tables ORDER BY name")?;
    Ok(StoreReport {
        writers: writers.iter().map(|row| WriterCard::of(row, now)).collect(),
        tables: tables
            .iter()
            .map(|row| TableVersion { table: word(&row[0]), version: count(&row[1]) })
            .collect(),
        spill_files,
    })
}

impl StoreReport {
    /// Whether nothing was lost, nothing waits outside of the database, and nobody is missing.
    pub fn is_healthy(&self) -> bool {
        self.checks().iter().all(|check| check.met)
    }

    /// What should be, and whether it is.
    pub fn checks(&self) -> Vec<Check> {
        let sum = |of: fn(&WriterCard) -> u64| self.writers.iter().map(of).sum::<u64>();
        let dropped = sum(WriterCard::dropped);
        let gone: Vec<&WriterCard> = self.writers.iter().filter(|writer| writer.is_short()).collect();
        let waiting: u64 = self.spill_files.iter().map(|file| file.bytes).sum();
        let check = |claim: &str, met, measured| Check { claim: claim.to_owned(), met, measured };
        vec![
            check("no job was dropped", dropped == 0, format!("{} dropped", thousands(dropped))),
            check(
                "no writer ended without its jobs",
                gone.is_empty(),
                match gone.iter().map(|writer| writer.pending).sum::<u64>() {
                    0 => "none did".to_owned(),
                    pending => format!(
                        "{} did, with {} waiting when they were seen last",
                        thousands(gone.len() as u64),
                        plural(pending, "job")
                    ),
                },
            ),
            check(
                "no spill file waits",
                self.spill_files.is_empty(),
                format!("{}, {}", plural(self.spill_files.len() as u64, "file"), bytes(waiting)),
            ),
        ]
    }

    /// The books of all writers as metrics. A writer that is forgotten takes its counts along, as a restart would.
    pub fn metrics(&self) -> Vec<Family> {
        let of = |name: &str, kind, help: &str, count: fn(&WriterCard) -> u64| {
            let mut family = Family::new(format!("ops_telemetry_{name}"), kind, help);
            family.sample([], self.writers.iter().map(count).sum::<u64>() as f64);
            family
        };
        let alive = |writer: &WriterCard| writer.state == WriterState::Alive;
        let mut writers = Family::new("ops_telemetry_writers", Kind::Gauge, "Writers by how they are.");
        for state in [WriterState::Alive, WriterState::Closed, WriterState::Gone] {
            let count = self.writers.iter().filter(|writer| writer.state == state).count();
            writers.sample([("state", state.shown())], count as f64);
        }
        let mut dropped = Family::new("ops_telemetry_jobs_dropped_total", Kind::Counter, "Jobs given up.");
        for (i, reason) in REASONS.iter().enumerate() {
            let count: u64 = self.writers.iter().map(|writer| writer.dropped[i]).sum();
            dropped.sample([("reason", *reason)], count as f64);
        }
        let mut depth =
            Family::new("ops_telemetry_queue_jobs", Kind::Gauge, "Jobs in queues of living writers.");
        depth.sample([], self.writers.iter().filter(|w| alive(w)).map(|w| w.pending).sum::<u64>() as f64);
        let mut spill =
            Family::new("ops_telemetry_spill_file_bytes", Kind::Gauge, "Size of spill files that wait.");
        spill.sample([], self.spill_files.iter().map(|file| file.bytes).sum::<u64>() as f64);
        vec![
            writers,
            of("jobs_submitted_total", Kind::Counter, "Jobs handed over.", |writer| writer.submitted),
            of("jobs_written_total", Kind::Counter, "Jobs committed.", |writer| writer.written),
            dropped,
            of("jobs_recovered_total", Kind::Counter, "Jobs of others brought in.", |writer| {
                writer.recovered
            }),
            of("groups_total", Kind::Counter, "Groups committed.", |writer| writer.groups),
            of("retries_total", Kind::Counter, "Groups tried again.", |writer| writer.retries),
            depth,
            spill,
        ]
    }

    /// The report for people.
    pub fn document(&self, source: &str) -> Document {
        let mut document = Document::new();
        let of = |state| self.writers.iter().filter(|writer| writer.state == state).count() as u64;
        let alive = || self.writers.iter().filter(|writer| writer.state == WriterState::Alive);
        let sum = |of: fn(&WriterCard) -> u64| thousands(self.writers.iter().map(of).sum());
        document.heading(1, "Telemetry store").facts([
            ("source", source.to_owned()),
            (
                "writers",
                format!(
                    "{} alive, {} closed, {} gone",
                    of(WriterState::Alive),
                    of(WriterState::Closed),
                    of(WriterState::Gone)
                ),
            ),
            ("depth", plural(alive().map(|writer| writer.pending).sum(), "job")),
            ("in spill files", plural(alive().map(|writer| writer.spilled).sum(), "job")),
            ("written", sum(|writer| writer.written)),
            ("dropped", sum(WriterCard::dropped)),
            ("tried again", sum(|writer| writer.retries)),
        ]);
        document.checks(self.checks());
        if self.writers.is_empty() {
            document.text("No writer has said anything in this database yet.");
        } else {
            self.losses(&mut document);
            document.heading(2, "Writers").table(self.writer_table());
            rest(&mut document, self.writers.len());
        }
        let errors: Vec<String> = self
            .writers
            .iter()
            .take(ROWS_MAX)
            .filter_map(|writer| {
                Some(format!("{}, {}: {}", writer.id, writer.seen_at, writer.last_error.as_deref()?))
            })
            .collect();
        if !errors.is_empty() {
            document.heading(2, "Last errors").list(errors);
        }
        let mut table = Table::new([("table", Align::Code), ("version", Align::Right)]);
        for known in &self.tables {
            table.row([known.table.clone(), known.version.to_string()]);
        }
        document.heading(2, "Tables").table(table);
        if !self.spill_files.is_empty() {
            document
                .heading(2, "Spill files")
                .list(self.spill_files.iter().map(|file| format!("`{}`: {}", file.file, bytes(file.bytes))));
        }
        document
    }

    fn losses(&self, document: &mut Document) {
        let lost = REASONS.iter().enumerate().map(|(i, reason)| {
            (*reason, self.writers.iter().map(|writer| writer.dropped[i]).sum::<u64>() as f64)
        });
        let lost: Vec<(&str, f64)> = lost.filter(|(_, n)| *n > 0.0).collect();
        if !lost.is_empty() {
            document.chart(Chart::bars("Jobs that were dropped", Axis::linear("jobs"), lost));
        }
    }

    fn writer_table(&self) -> Table {
        let mut table = Table::new([
            ("writer", Align::Code),
            ("process", Align::Right),
            ("state", Align::Left),
            ("started", Align::Left),
            ("seen", Align::Left),
            ("submitted", Align::Right),
            ("written", Align::Right),
            ("spilled", Align::Right),
            ("depth", Align::Right),
            ("dropped", Align::Right),
            ("groups", Align::Right),
        ]);
        let second = |time: &str| time.get(..19).unwrap_or(time).to_owned();
        for writer in self.writers.iter().take(ROWS_MAX) {
            table.row([
                writer.id.clone(),
                writer.process.to_string(),
                writer.state.shown().to_owned(),
                second(&writer.started_at),
                second(&writer.seen_at),
                thousands(writer.submitted),
                thousands(writer.written),
                thousands(writer.spilled),
                thousands(writer.pending),
                thousands(writer.dropped()),
                thousands(writer.groups),
            ]);
        }
        table
    }
}
