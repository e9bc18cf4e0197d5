//! What a writer says of itself in its database, so that others can see how it is doing, and that it is gone.
//!
//! It is a courtesy, not a part of the books: what cannot be said now is said later, and no job waits for it.

use super::ledger::Stats;
use super::schema;
use super::sink::{Sink, SinkError};
use super::table::{Column, Dialect, Kind, Table};
use super::value::{Row, RowWriter};
use crate::clock::Stamp;

/// One row for each store that wrote.
pub static WRITERS: Table = Table {
    name: "ops_telemetry_writers",
    version: 1,
    columns: &[
        Column::required("id", Kind::Text),
        Column::required("process", Kind::Int),
        Column::required("started_at", Kind::Text),
        Column::required("seen_at", Kind::Text),
        Column::new("closed_at", Kind::Text),
        Column::required("submitted", Kind::Int),
        Column::required("written", Kind::Int),
        Column::required("spilled", Kind::Int),
        Column::required("pending", Kind::Int),
        Column::required("queue_bytes", Kind::Int),
        Column::required("dropped_queue_full", Kind::Int),
        Column::required("dropped_closed", Kind::Int),
        Column::required("dropped_sql_error", Kind::Int),
        Column::required("dropped_ddl_error", Kind::Int),
        Column::required("dropped_spill_lost", Kind::Int),
        Column::required("recovered", Kind::Int),
        Column::required("retries", Kind::Int),
        Column::required("groups", Kind::Int),
        Column::new("last_error", Kind::Text),
    ],
    constraints: &["PRIMARY KEY (id)"],
    indexes: &["seen_at"],
    on_conflict: "ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, closed_at = excluded.closed_at, submitted = \
                  excluded.submitted, written = excluded.written, spilled = excluded.spilled, pending = \
                  excluded.pending, queue_bytes = excluded.queue_bytes, dropped_queue_full = \
                  excluded.dropped_queue_full, dropped_closed = excluded.dropped_closed, dropped_sql_error = \
                  excluded.dropped_sql_error, dropped_ddl_error = excluded.dropped_ddl_error, dropped_spill_lost = \
                  excluded.dropped_spill_lost, recovered = excluded.recovered, retries = excluded.retries, groups = \
                  excluded.groups, last_error = excluded.last_error",
};

/// Writers that were not seen for so many days are forgotten.
const FORGET_DAYS: i64 = 30;
const FORGET: &str = "DELETE FROM ops_telemetry_writers WHERE seen_at < $1";

/// What a writer says.
pub(super) struct Beat<'a> {
    pub(super) id: &'a str,
    pub(super) started: Stamp,
    pub(super) now: Stamp,
    pub(super) is_last: bool,
    pub(super) stats: &'a Stats,
}

impl Beat<'_> {
    /// Says it, in a transaction of its own.
    pub(super) fn tell(
        &self,
        sink: &mut dyn Sink,
        dialect: Dialect,
        is_first: bool,
    ) -> Result<(), SinkError> {
        sink.begin(false)?;
        let told = self.write(sink, dialect, is_first).and_then(|()| sink.commit());
        if told.is_err() {
            sink.rollback();
        }
        told
    }

    fn write(&self, sink: &mut dyn Sink, dialect: Dialect, is_first: bool) -> Result<(), SinkError> {
        let mut bytes = Vec::new();
        if is_first {
            schema::ensure(sink, &WRITERS, dialect)?;
            let old = Stamp::from_unix(self.now.unix() - FORGET_DAYS * 86_400).map(Stamp::db);
            RowWriter::new(&mut bytes).put(&old.unwrap_or_default());
            sink.rows(FORGET, &mut std::iter::once(Row::new(&bytes)))?;
            bytes.clear();
        }
        self.values(&mut RowWriter::new(&mut bytes));
        sink.rows(&WRITERS.insert(), &mut std::iter::once(Row::new(&bytes)))
    }

    fn values(&self, row: &mut RowWriter<'_>) {
        let Stats { ledger, queue_bytes, retries, groups, last_error, .. } = self.stats;
        let now = self.now.db();
        row.put(self.id).put(i64::from(std::process::id())).put(&self.started.db()).put(&now);
        row.put(self.is_last.then_some(&now));
        row.put(ledger.submitted).put(ledger.written).put(ledger.spilled).put(ledger.pending);
        row.put(*queue_bytes as u64);
        let dropped = ledger.dropped;
        row.put(dropped.queue_full).put(dropped.closed).put(dropped.sql_error).put(dropped.ddl_error);
        row.put(dropped.spill_lost).put(ledger.recovered.written).put(*retries).put(*groups);
        row.put_masked(last_error.as_deref());
    }
}
