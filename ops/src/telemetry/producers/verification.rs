//! Verification: batches of links that were looked at to tell articles from everything else.

use serde_json::json;

use super::milliseconds;
use crate::clock::Stamp;
use crate::telemetry::store::{Column, Event, Kind, RowWriter, Table};

/// One row for each batch.
pub static VERIFICATIONS: Table = Table {
    name: "verification_telemetry",
    version: 1,
    columns: &[
        Column::new("id", Kind::Id),
        Column::required("job_name", Kind::Text),
        Column::required("batch_size", Kind::Int),
        Column::required("verified_articles", Kind::Int),
        Column::required("verified_non_articles", Kind::Int),
        Column::required("verification_errors", Kind::Int),
        Column::required("total_processed", Kind::Int),
        Column::required("batch_time_seconds", Kind::Real),
        Column::new("avg_verification_time_ms", Kind::Real),
        Column::required("total_time_ms", Kind::Real),
        Column::required("sources_processed", Kind::Text),
        Column::required("created_at", Kind::Text),
    ],
    constraints: &[],
    indexes: &["created_at"],
    on_conflict: "",
};

/// A batch that is done. Totals and averages follow from these, so that they cannot disagree with them.
#[derive(Debug, Clone, Copy)]
pub struct Verification<'a> {
    /// What verified.
    pub job: &'a str,
    /// Links that were asked for.
    pub batch_size: u64,
    /// Links that are articles.
    pub articles: u64,
    /// Links that are not.
    pub others: u64,
    /// Links of which nobody can say.
    pub errors: u64,
    /// The sources that the links are from.
    pub sources: &'a [&'a str],
    /// When the batch began.
    pub began: Stamp,
    /// When it was done.
    pub ended: Stamp,
}

impl Event for Verification<'_> {
    const TABLE: &'static Table = &VERIFICATIONS;

    fn values(&self, row: &mut RowWriter<'_>) {
        let done = self.articles + self.others + self.errors;
        let total = milliseconds(self.began, self.ended);
        row.put(self.job).put(self.batch_size).put(self.articles).put(self.others).put(self.errors).put(done);
        row.put(total / 1000.0).put((done > 0).then(|| total / done as f64)).put(total);
        row.put(&json!(self.sources).to_string()).put(&self.ended.db());
    }
}
