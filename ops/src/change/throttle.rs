//! Going slowly on purpose: a limit of rows a second, a file that pauses, a query that pauses.
//!
//! A throttle says whether to hold and why; it does not wait. A query that cannot be answered holds: what was not
//! measured is not fine.

use std::path::PathBuf;
use std::time::Duration;

use crate::target::TargetError;

/// How often the query is asked at most, and how long one hold is before everything is looked at again.
pub const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Lateness that may be caught up: what waiting overshoots by, not a burst.
const CATCH_UP: Duration = Duration::from_millis(50);

/// What slows a run down. Nothing by default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits {
    /// Rows a second at most, above zero.
    pub rows_per_second: Option<f64>,
    /// While this file exists, nothing is sent.
    pub pause_file: Option<PathBuf>,
    /// While this query returns more than its limit, nothing is sent.
    pub query: Option<QueryLimit>,
}

/// A read-only query that returns one number, and the number it may not exceed.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryLimit {
    /// The query.
    pub sql: String,
    /// The largest value at which rows are still sent.
    pub most: f64,
}

/// Why nothing is sent right now, and for how long at most before asking again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// For the status line.
    pub reason: String,
    /// At most [`LOOK_AGAIN`].
    pub span: Duration,
}

/// The limits of a run and where it stands against them. Times are those of [`super::pace::Pace::elapsed`].
#[derive(Debug)]
pub struct Throttle {
    limits: Limits,
    /// From when on the next rows may go.
    next_at: Option<Duration>,
    asked_at: Option<Duration>,
    over: Option<String>,
}

impl Throttle {
    /// A throttle that has sent nothing yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, next_at: None, asked_at: None, over: None }
    }

    /// The most rows that should go at once: those of one second.
    pub fn rows_max(&self) -> Option<usize> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
        self.limits.rows_per_second.map(|rate| rate.ceil().clamp(1.0, 1e9) as usize)
    }

    /// The first reason to hold at `at`, if there is one. `measure` asks the target.
    pub fn hold(
        &mut self,
        at: Duration,
        measure: &mut dyn FnMut(&str) -> Result<f64, TargetError>,
    ) -> Option<Hold> {
        if let Some(file) = self.limits.pause_file.as_deref().filter(|file| file.exists()) {
            return Some(Hold {
                reason: format!("pause file `{}` exists", file.display()),
                span: LOOK_AGAIN,
            });
        }
        if let Some(reason) = self.query(at, measure) {
            return Some(Hold { reason, span: LOOK_AGAIN });
        }
        let wait = self.next_at?.checked_sub(at).filter(|wait| !wait.is_zero())?;
        let rate = self.limits.rows_per_second?;
        Some(Hold { reason: format!("at most {rate} rows a second"), span: wait.min(LOOK_AGAIN) })
    }

    /// Books `rows` as sent at `at`. Idle time earns nothing.
    pub fn sent(&mut self, at: Duration, rows: usize) {
        let Some(rate) = self.limits.rows_per_second else { return };
        let slot = Duration::from_secs_f64(rows as f64 / rate);
        let due = self.next_at.unwrap_or(at);
        let start = due.max(at.saturating_sub(CATCH_UP.min(slot)));
        self.next_at = Some(start + slot);
    }

    fn query(
        &mut self,
        at: Duration,
        measure: &mut dyn FnMut(&str) -> Result<f64, TargetError>,
    ) -> Option<String> {
        let query = self.limits.query.as_ref()?;
        if self.asked_at.is_none_or(|asked| at.saturating_sub(asked) >= LOOK_AGAIN) {
            self.asked_at = Some(at);
            self.over = match measure(&query.sql) {
                Ok(value) if value <= query.most => None,
                Ok(value) => Some(format!("the throttle query says {value}, at most {}", query.most)),
                Err(error) => Some(format!("the throttle query has no answer: {error}")),
            };
        }
        self.over.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet(_: &str) -> Result<f64, TargetError> {
        panic!("no query was given")
    }

    fn rated(rate: f64) -> Throttle {
        Throttle::new(Limits { rows_per_second: Some(rate), ..Limits::default() })
    }

    /// Sends `batches` of `rows`, each taking `work`, and gives back when each began.
    fn starts(throttle: &mut Throttle, batches: usize, rows: usize, work: Duration) -> Vec<Duration> {
        let mut at = Duration::ZERO;
        let mut starts = Vec::new();
        for _ in 0..batches {
            while let Some(hold) = throttle.hold(at, &mut quiet) {
                at += hold.span;
            }
            starts.push(at);
            throttle.sent(at, rows);
            at += work;
        }
        starts
    }

    #[test]
    fn an_hour_at_twenty_a_minute_does_not_drift() {
        // 38 gaps of 3 s between 39 rows, and exactly 20 a minute for an hour, however long a call takes.
        let mut throttle = rated(20.0 / 60.0);
        assert_eq!(starts(&mut throttle, 39, 1, Duration::ZERO).last(), Some(&Duration::from_secs(114)));
        let mut throttle = rated(20.0 / 60.0);
        let hour = starts(&mut throttle, 1201, 1, Duration::from_millis(2990));
        assert_eq!(hour.last(), Some(&Duration::from_hours(1)));
    }

    #[test]
    fn no_burst_at_the_start_and_none_after_a_pause() {
        let mut throttle = rated(100.0);
        assert_eq!(throttle.hold(Duration::ZERO, &mut quiet), None);
        throttle.sent(Duration::ZERO, 50);
        let hold = throttle.hold(Duration::ZERO, &mut quiet).unwrap();
        assert_eq!(hold.span, Duration::from_millis(500));
        assert_eq!(hold.reason, "at most 100 rows a second");
        let late = Duration::from_secs(100);
        throttle.sent(late, 50);
        assert_eq!(throttle.hold(late, &mut quiet).unwrap().span, Duration::from_millis(450));
    }

    #[test]
    fn one_second_of_rows_at_once() {
        assert_eq!(rated(0.2).rows_max(), Some(1));
        assert_eq!(rated(10.5).rows_max(), Some(11));
        assert_eq!(Throttle::new(Limits::default()).rows_max(), None);
    }

    #[test]
    fn holds_while_the_file_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pause");
        let mut throttle = Throttle::new(Limits { pause_file: Some(file.clone()), ..Limits::default() });
        assert_eq!(throttle.hold(Duration::ZERO, &mut quiet), None);
        crate::files::write_atomic(&file, b"").unwrap();
        let hold = throttle.hold(Duration::ZERO, &mut quiet).unwrap();
        assert!(hold.reason.starts_with("pause file `"), "{}", hold.reason);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(throttle.hold(Duration::ZERO, &mut quiet), None);
    }

    #[test]
    fn the_query_is_asked_once_a_second_and_holds_when_it_is_over_or_silent() {
        let query = QueryLimit { sql: "SELECT load".into(), most: 10.0 };
        let mut throttle = Throttle::new(Limits { query: Some(query), ..Limits::default() });
        let mut asked = 0;
        let mut at = |ms, answer: Result<f64, TargetError>| {
            let mut answer = Some(answer);
            let hold = throttle.hold(Duration::from_millis(ms), &mut |sql| {
                assert_eq!(sql, "SELECT load");
                asked += 1;
                answer.take().unwrap()
            });
            (hold.map(|h| h.reason), asked)
        };
        assert_eq!(at(0, Ok(10.0)), (None, 1));
        assert_eq!(at(999, Ok(99.0)), (None, 1));
        let over = Some("the throttle query says 11, at most 10".to_owned());
        assert_eq!(at(1000, Ok(11.0)), (over.clone(), 2));
        assert_eq!(at(1500, Ok(0.0)), (over, 2));
        let (reason, _) = at(2000, Ok(f64::NAN));
        assert!(reason.unwrap().contains("NaN"));
        let gone = TargetError::Transient { reason: "gone".into(), retry_after: None };
        let (reason, _) = at(3000, Err(gone));
        assert!(reason.unwrap().contains("no answer"));
        assert_eq!(at(4000, Ok(1.0)), (None, 5));
    }
}
