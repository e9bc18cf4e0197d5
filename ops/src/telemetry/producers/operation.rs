//! Operations: what runs, how far it is, how it ended. One row for each, changed as it goes on.
//!
//! An operation that is dropped before it ended has failed, so that nothing stays "in progress" for ever because an
//! error took another way out.

use std::time::Duration;

use crate::clock::{Clock, Stamp};
use crate::telemetry::store::{Column, Event, Kind, RowWriter, Store, Table};

/// One row for each operation.
pub static OPERATIONS: Table = Table {
    name: "operations",
    version: 1,
    columns: &[
        Column::required("id", Kind::Text),
        Column::required("operation_type", Kind::Text),
        Column::required("status", Kind::Text),
        Column::required("created_at", Kind::Text),
        Column::required("updated_at", Kind::Text),
        Column::new("completed_at", Kind::Text),
        Column::new("total", Kind::Int),
        Column::required("processed", Kind::Int),
        Column::required("failed", Kind::Int),
        Column::new("success_rate", Kind::Real),
        Column::new("items_per_second", Kind::Real),
        Column::new("eta_seconds", Kind::Real),
        Column::new("error_details", Kind::Text),
    ],
    constraints: &[
        "PRIMARY KEY (id)",
        "CHECK (status IN ('started', 'in_progress', 'completed', 'failed', 'cancelled'))",
    ],
    indexes: &["created_at"],
    on_conflict: "ON CONFLICT (id) DO UPDATE SET status = excluded.status, updated_at = excluded.updated_at, \
                  completed_at = excluded.completed_at, total = excluded.total, processed = excluded.processed, \
                  failed = excluded.failed, success_rate = excluded.success_rate, items_per_second = \
                  excluded.items_per_second, eta_seconds = excluded.eta_seconds, error_details = excluded.error_details",
};

/// How far an operation is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Progress {
    /// How many items there are, where that is known.
    pub total: Option<u64>,
    /// How many are done, failed ones included.
    pub processed: u64,
    /// How many of these failed.
    pub failed: u64,
}

impl Progress {
    /// The share of what is done that did not fail, in percent; `None` while nothing is done.
    pub fn success_rate(self) -> Option<f64> {
        let good = self.processed.saturating_sub(self.failed);
        (self.processed > 0).then(|| good as f64 * 100.0 / self.processed as f64)
    }

    /// Items a second so far.
    pub fn rate(self, elapsed: Duration) -> Option<f64> {
        (self.processed > 0 && !elapsed.is_zero()).then(|| self.processed as f64 / elapsed.as_secs_f64())
    }

    /// Seconds until all is done, if it goes on like this.
    pub fn eta_seconds(self, elapsed: Duration) -> Option<f64> {
        let left = self.total?.saturating_sub(self.processed);
        Some(left as f64 / self.rate(elapsed)?)
    }
}

/// An operation that goes on.
#[derive(Debug)]
pub struct Operation {
    store: Store,
    clock: Clock,
    id: String,
    kind: String,
    began: Stamp,
    progress: Progress,
    is_over: bool,
}

impl Operation {
    /// Begins an operation; `id` is new.
    pub fn begin(store: &Store, clock: Clock, id: &str, kind: &str) -> Self {
        let operation = Self {
            store: store.clone(),
            clock,
            id: id.to_owned(),
            kind: kind.to_owned(),
            began: clock.now(),
            progress: Progress::default(),
            is_over: false,
        };
        operation.tell("started", None);
        operation
    }

    /// Runs `body` as an operation: completed when it is well, failed with its error when not.
    pub fn track<T, E: std::fmt::Display>(
        store: &Store,
        clock: Clock,
        id: &str,
        kind: &str,
        body: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut operation = Self::begin(store, clock, id, kind);
        let result = body(&mut operation);
        match &result {
            Ok(_) => operation.end("completed", None),
            Err(error) => operation.end("failed", Some(&error.to_string())),
        }
        result
    }

    /// Says how far it is.
    pub fn advance(&mut self, progress: Progress) {
        self.progress = progress;
        self.tell("in_progress", None);
    }

    /// It was given up on purpose.
    pub fn cancel(mut self) {
        self.end("cancelled", None);
    }

    fn end(&mut self, status: &str, error: Option<&str>) {
        self.is_over = true;
        self.tell(status, error);
    }

    /// Telemetry never stops the caller: a refusal is in the books of the store.
    fn tell(&self, status: &str, error: Option<&str>) {
        let _ = self.store.record(&State { operation: self, status, error, now: self.clock.now() });
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if !self.is_over {
            self.end("failed", Some("it was left before it ended"));
        }
    }
}

/// An operation at a moment.
struct State<'a> {
    operation: &'a Operation,
    status: &'a str,
    error: Option<&'a str>,
    now: Stamp,
}

impl Event for State<'_> {
    const TABLE: &'static Table = &OPERATIONS;

    fn values(&self, row: &mut RowWriter<'_>) {
        let Operation { id, kind, began, progress, is_over, .. } = self.operation;
        let elapsed = self.now.since(*began);
        let (began, now) = (began.db(), self.now.db());
        row.put(id)
            .put(kind)
            .put(self.status)
            .put(&began)
            .put(&now)
            .put((self.status == "completed").then_some(now.as_str()));
        row.put(progress.total).put(progress.processed).put(progress.failed);
        let eta = progress.eta_seconds(elapsed).filter(|_| !is_over);
        row.put(progress.success_rate()).put(progress.rate(elapsed)).put(eta).put_masked(self.error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_known_only_when_something_is_done() {
        let none = Progress { total: Some(5), ..Progress::default() };
        let second = Duration::from_secs(1);
        assert_eq!((none.success_rate(), none.rate(second), none.eta_seconds(second)), (None, None, None));
        let some = Progress { total: Some(5), processed: 2, failed: 1 };
        assert_eq!(
            (some.success_rate(), some.rate(second), some.eta_seconds(second)),
            (Some(50.0), Some(2.0), Some(1.5))
        );
        assert_eq!(some.rate(Duration::ZERO), None);
    }
}
