//! Extractions and their methods, counted by day.

use super::super::days::grow;
use super::Extraction;
use crate::telemetry::store::{Column, Event, Job, Kind, RowWriter, Table};

/// Extractions of a day, by host, publisher and the method that succeeded; empty where there is none.
pub static EXTRACTION_DAYS: Table = Table {
    name: "extraction_days",
    version: 1,
    columns: &[
        Column::required("day", Kind::Text),
        Column::required("host", Kind::Text),
        Column::required("publisher", Kind::Text),
        Column::required("method", Kind::Text),
        Column::required("attempts", Kind::Int),
        Column::required("successes", Kind::Int),
        Column::required("timed", Kind::Int),
        Column::required("duration_ms", Kind::Real),
        Column::new("duration_ms_min", Kind::Real),
        Column::new("duration_ms_max", Kind::Real),
    ],
    constraints: &["PRIMARY KEY (day, host, publisher, method)"],
    indexes: &[],
    on_conflict: grow!("extraction_days" ("day, host, publisher, method")
        "attempts", "successes", "timed", "duration_ms"; "duration_ms_min" .. "duration_ms_max"),
};

/// Tries of methods of a day. One that never ended is a try without a success and without a duration.
pub static METHOD_DAYS: Table = Table {
    name: "extraction_method_days",
    version: 1,
    columns: &[
        Column::required("day", Kind::Text),
        Column::required("method", Kind::Text),
        Column::required("publisher", Kind::Text),
        Column::required("attempts", Kind::Int),
        Column::required("successes", Kind::Int),
        Column::required("timed", Kind::Int),
        Column::required("duration_ms", Kind::Real),
        Column::new("duration_ms_min", Kind::Real),
        Column::new("duration_ms_max", Kind::Real),
    ],
    constraints: &["PRIMARY KEY (day, method, publisher)"],
    indexes: &[],
    on_conflict: grow!("extraction_method_days" ("day, method, publisher")
        "attempts", "successes", "timed", "duration_ms"; "duration_ms_min" .. "duration_ms_max"),
};

impl Extraction {
    pub(super) fn add_days(&self, job: &mut Job) {
        job.add(&Day(self));
        for (i, method) in self.methods.iter().enumerate() {
            if !self.methods[..i].iter().any(|before| before.name == method.name) {
                job.add(&MethodDay { extraction: self, name: &method.name });
            }
        }
    }

    fn publisher(&self) -> &str {
        self.publisher.as_deref().unwrap_or_default()
    }

    fn day(&self) -> String {
        let mut at = self.ended.unwrap_or(self.began).db();
        at.truncate(10);
        at
    }
}

struct Day<'a>(&'a Extraction);

impl Event for Day<'_> {
    const TABLE: &'static Table = &EXTRACTION_DAYS;

    fn values(&self, row: &mut RowWriter<'_>) {
        let Self(extraction) = self;
        let host = extraction.host.as_deref().unwrap_or_default();
        let method = extraction.successful_method().unwrap_or_default();
        row.put(&extraction.day()).put(host).put(extraction.publisher()).put(method);
        row.put(1_i64).put(i64::from(extraction.is_success()));
        put_duration(row, extraction.ended.map(|ended| super::super::milliseconds(extraction.began, ended)));
    }
}

/// A method counts once for each extraction, with its latest end, as the row of the extraction has it.
struct MethodDay<'a> {
    extraction: &'a Extraction,
    name: &'a str,
}

impl Event for MethodDay<'_> {
    const TABLE: &'static Table = &METHOD_DAYS;

    fn values(&self, row: &mut RowWriter<'_>) {
        let Self { extraction, name } = self;
        let tries = || extraction.methods.iter().rev().filter(|method| method.name == *name);
        let end = tries().find_map(|method| method.end.as_ref());
        row.put(&extraction.day()).put(*name).put(extraction.publisher());
        row.put(1_i64).put(i64::from(end.is_some_and(|(is_success, ..)| *is_success)));
        put_duration(row, tries().find_map(|method| method.elapsed_ms));
    }
}

fn put_duration(row: &mut RowWriter<'_>, milliseconds: Option<f64>) {
    row.put(i64::from(milliseconds.is_some())).put(milliseconds.unwrap_or(0.0));
    row.put(milliseconds).put(milliseconds);
}
