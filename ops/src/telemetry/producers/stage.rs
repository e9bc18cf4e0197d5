//! Stages of the pipeline: what its chain of gates was told, as rows that can be asked for.
//!
//! The chain is the record that counts; this is a copy beside the other telemetry. A record is known by its digest, so
//! telling it twice is telling it once.

use crate::telemetry::store::{Column, Event, Kind, RowWriter, Table};

/// One row for each record of the chain.
pub static STAGES: Table = Table {
    name: "pipeline_stages",
    version: 1,
    columns: &[
        Column::required("digest", Kind::Text),
        Column::required("at", Kind::Text),
        Column::required("sequence", Kind::Int),
        Column::required("stage", Kind::Text),
        Column::required("decision", Kind::Text),
        Column::required("plan", Kind::Text),
        Column::required("target", Kind::Text),
        Column::new("lineage", Kind::Text),
        Column::required("detail", Kind::Text),
        Column::required("tool", Kind::Text),
    ],
    constraints: &["PRIMARY KEY (digest)"],
    indexes: &["at", "plan"],
    on_conflict: "ON CONFLICT (digest) DO NOTHING",
};

/// A record of the chain.
#[derive(Debug, Clone, Copy)]
pub struct Stage<'a> {
    /// What identifies it.
    pub digest: &'a str,
    /// When, as timestamp columns spell it.
    pub at: &'a str,
    /// Its number in the chain.
    pub sequence: u64,
    /// The stage.
    pub stage: &'a str,
    /// What it came to.
    pub decision: &'a str,
    /// The plan, by its full id.
    pub plan: &'a str,
    /// Fingerprint of the target.
    pub target: &'a str,
    /// Lineage of the target.
    pub lineage: Option<&'a str>,
    /// What else the record holds, as a JSON object; masked.
    pub detail: &'a str,
    /// The version of what recorded it.
    pub tool: &'a str,
}

impl Event for Stage<'_> {
    const TABLE: &'static Table = &STAGES;

    fn values(&self, row: &mut RowWriter<'_>) {
        row.put(self.digest).put(self.at).put(self.sequence).put(self.stage).put(self.decision);
        row.put(self.plan).put(self.target).put(self.lineage).put_masked(self.detail).put(self.tool);
    }
}
