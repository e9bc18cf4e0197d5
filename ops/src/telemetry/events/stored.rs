//! Events into the telemetry store, as rows of one table.
//!
//! The queue of the store is the bound, and its books count: what it does not take is dropped for the handle too. A store
//! that is opened without a queue gives the error of the database at once.

use std::io;

use super::sink::{Record, Sink};
use crate::telemetry::store::{Column, Event, Kind, RowWriter, Store, Table};

/// One row for each event.
pub static EVENTS: Table = Table {
    name: "telemetry_events",
    version: 1,
    columns: &[
        Column::new("id", Kind::Id),
        Column::required("at", Kind::Text),
        Column::required("run_id", Kind::Text),
        Column::required("sequence", Kind::Int),
        Column::required("schema", Kind::Int),
        Column::required("event", Kind::Text),
        Column::required("body", Kind::Text),
    ],
    constraints: &[],
    indexes: &["at", "run_id, sequence"],
    on_conflict: "",
};

/// A sink that writes to a store.
#[derive(Debug)]
pub struct Stored {
    store: Store,
}

impl Stored {
    /// Events into `store`; closing it, and waiting until they are written, is the business of whoever opened it.
    pub fn new(store: Store) -> Self {
        Self { store }
    }
}

impl Sink for Stored {
    fn write(&mut self, record: &Record<'_>) -> io::Result<()> {
        self.store.record(&Row(record)).map_err(io::Error::other)
    }
}

struct Row<'a>(&'a Record<'a>);

impl Event for Row<'_> {
    const TABLE: &'static Table = &EVENTS;

    fn values(&self, row: &mut RowWriter<'_>) {
        let Self(record) = self;
        row.put(&record.at.db()).put(record.run_id).put(record.sequence).put(i64::from(super::SCHEMA));
        row.put(record.event).put(record.line);
    }
}
