//! Looking at the appointed times, and nothing else; `ask` says what a look asks for.
//!
//! Whatever goes wrong with a look is written down as a failed reading; a look is never skipped in silence and never
//! made up for. The wall clock says when a look is due, because people read it; a clock that nobody sets goes
//! into every look beside it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::ask::Asking;
use super::evidence::{Log, Look};
use crate::clock::Stamp;
use crate::pace::Pace;
use crate::probe::{Answers, Probe};

/// Longest sleep before the stop flag and the clock are looked at again.
const SLICE: Duration = Duration::from_millis(250);

/// Opens the target for one look.
pub trait Source {
    /// Something that answers from one snapshot, where there are any. The error says what could not be done, without
    /// secrets.
    fn open(&mut self) -> Result<Box<dyn Answers + '_>, String>;
}

impl Source for Probe {
    fn open(&mut self) -> Result<Box<dyn Answers + '_>, String> {
        self.look()
    }
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
    asking: &Asking<'_>,
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
        let readings = asking.readings(source, &log.soak, now);
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

#[cfg(test)]
mod tests;
