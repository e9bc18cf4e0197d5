//! Looking at the appointed times, and nothing else: one statement after the other, in a session that can only read.
//!
//! Whatever goes wrong with a look is written down as a failed reading; a look is never skipped in silence and never
//! made up for. The wall clock says when a look is due, because people read it; a clock that nobody sets goes
//! into every look beside it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::evidence::{Log, Look, Reading};
use super::settings::MetricSettings;
use crate::clock::Stamp;
use crate::db::{Cell, Reader};
use crate::pace::Pace;

/// Longest sleep before the stop flag and the clock are looked at again.
const SLICE: Duration = Duration::from_millis(250);
/// Keys of bad units that one reading keeps.
const BAD_KEPT: usize = 20;

/// Opens the target for one look.
pub trait Source {
    /// A reader of one snapshot. The error says what could not be done, without secrets.
    fn open(&mut self) -> Result<Box<dyn Reader + '_>, String>;
}

/// How watching ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The window is over.
    WindowOver,
    /// It was asked to stop; another process can go on.
    Stopped,
    /// `keep` said that it has seen enough.
    Enough,
}

/// Looks at every due time until the window is over. Each look goes to `keep` with its line before the next one is
/// waited for; `keep` makes it durable and says whether to go on.
pub fn watch<E>(
    log: &mut Log,
    metrics: &[MetricSettings],
    source: &mut dyn Source,
    pace: &mut dyn Pace,
    process: &str,
    stop: &AtomicBool,
    mut keep: impl FnMut(&Log, &str) -> Result<bool, E>,
) -> Result<Ended, E> {
    let started = Stamp::parse(&log.soak.started).expect("checked when the log was read");
    let seconds_in = |now: Stamp| u64::try_from(now.unix() - started.unix()).unwrap_or(0);
    let last = log.looks.last().map(|last| Stamp::parse(&last.at).expect("checked when the log was read"));
    if last.is_some_and(|last| seconds_in(last) >= log.soak.window_s) {
        return Ok(Ended::WindowOver);
    }
    // What was due while nobody watched is a gap; only one look makes up for all of it.
    let mut due = last.map_or(0, |last| (seconds_in(last) / log.soak.every_s + 1) * log.soak.every_s);
    loop {
        while seconds_in(pace.now()) < due.min(log.soak.window_s) {
            if stop.load(Ordering::Relaxed) {
                return Ok(Ended::Stopped);
            }
            pace.sleep(SLICE);
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(Ended::Stopped);
        }
        let (now, up) = (pace.now(), pace.elapsed());
        let readings = readings(metrics, source, &log.soak.started, log.soak.run.as_deref());
        let line = log.add(Look {
            at: now.iso(),
            process: process.to_owned(),
            up_ms: u64::try_from(up.as_millis()).unwrap_or(u64::MAX),
            readings,
        });
        let go_on = keep(log, &line)?;
        if seconds_in(now) >= log.soak.window_s {
            return Ok(Ended::WindowOver);
        }
        if !go_on {
            return Ok(Ended::Enough);
        }
        due = (seconds_in(now) / log.soak.every_s + 1) * log.soak.every_s;
    }
}

/// One reading of every metric.
fn readings(
    metrics: &[MetricSettings],
    source: &mut dyn Source,
    started: &str,
    run: Option<&str>,
) -> Vec<Reading> {
    match source.open() {
        Err(error) => metrics.iter().map(|_| Reading::Failed(error.clone())).collect(),
        Ok(mut reader) => metrics
            .iter()
            .map(|metric| read(metric, reader.as_mut(), started, run).unwrap_or_else(Reading::Failed))
            .collect(),
    }
}

/// Asks for one metric.
fn read(
    metric: &MetricSettings,
    reader: &mut dyn Reader,
    started: &str,
    run: Option<&str>,
) -> Result<Reading, String> {
    let rows = ask(reader, &fill(&metric.sql, started, run))?;
    let [row] = rows.as_slice() else {
        return Err(format!("expected one row of units and good ones, found {} rows", rows.len()));
    };
    let (units, good) = match row.as_slice() {
        [units, good] => (units.count(), good.count()),
        cells => {
            return Err(format!("expected two numbers, units and good ones, found {} columns", cells.len()));
        }
    };
    let (Some(units), Some(good)) = (units, good) else {
        let shown: Vec<String> = row.iter().map(Cell::show).collect();
        return Err(format!("expected two whole numbers, found {}", shown.join(" and ")));
    };
    let bad = match &metric.bad {
        Some(sql) if good < units => ask(reader, &fill(sql, started, run))?
            .iter()
            .take(BAD_KEPT)
            .map(|row| row.iter().map(Cell::show).collect::<Vec<_>>().join(" "))
            .collect(),
        _ => Vec::new(),
    };
    Ok(Reading::Counted { units, good, bad })
}

fn ask(reader: &mut dyn Reader, sql: &str) -> Result<Vec<Vec<Cell>>, String> {
    reader.rows(sql).map_err(|error| {
        // The action of the error is the statement itself, which the settings have.
        std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string)
    })
}

/// Puts the start of the soak and the run into a statement, as quoted text.
fn fill(sql: &str, started: &str, run: Option<&str>) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let run = run.map_or("NULL".to_owned(), quoted);
    sql.replace("{started}", &quoted(started)).replace("{run}", &run)
}

#[cfg(test)]
mod tests;
