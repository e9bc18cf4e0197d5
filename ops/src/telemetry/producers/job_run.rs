//! Runs of programs: when each began and ended, how, and how many records it dealt with. One row for each.

use serde_json::{Value as Json, json};

use crate::clock::Stamp;
use crate::telemetry::store::{Column, Event, Kind, RowWriter, Table};

/// One row for each run.
pub static JOBS: Table = Table {
    name: "jobs",
    version: 1,
    columns: &[
        Column::required("id", Kind::Text),
        Column::required("job_type", Kind::Text),
        Column::required("started_at", Kind::Text),
        Column::new("finished_at", Kind::Text),
        Column::new("exit_status", Kind::Text),
        Column::new("exit_code", Kind::Int),
        Column::required("params", Kind::Text),
        Column::new("commit_sha", Kind::Text),
        Column::required("environment", Kind::Text),
        Column::required("artifact_paths", Kind::Text),
        Column::new("logs_path", Kind::Text),
        Column::new("records_processed", Kind::Int),
        Column::new("records_created", Kind::Int),
        Column::new("records_updated", Kind::Int),
        Column::required("errors_count", Kind::Int),
    ],
    constraints: &["PRIMARY KEY (id)", "CHECK (exit_status IN ('success', 'failed', 'cancelled'))"],
    indexes: &["started_at"],
    on_conflict: "ON CONFLICT (id) DO UPDATE SET finished_at = excluded.finished_at, exit_status = excluded.exit_status, \
                  exit_code = excluded.exit_code, artifact_paths = excluded.artifact_paths, logs_path = \
                  excluded.logs_path, records_processed = excluded.records_processed, records_created = \
                  excluded.records_created, records_updated = excluded.records_updated, errors_count = \
                  excluded.errors_count",
};

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what it was to do.
    Success,
    /// It did not.
    Failed,
    /// It was stopped on purpose.
    Cancelled,
}

impl Exit {
    fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A run, as it is recorded when it begins and again when it has ended. What is not known is not counted as zero.
#[derive(Debug, Clone, Copy)]
pub struct JobRun<'a> {
    /// Which one; new for each.
    pub id: &'a str,
    /// What runs.
    pub kind: &'a str,
    /// When it began.
    pub started: Stamp,
    /// When and how it ended.
    pub finished: Option<(Stamp, Exit)>,
    /// The code that the process ends with.
    pub exit_code: Option<u8>,
    /// What it was told, as a JSON object; masked.
    pub params: Option<&'a Json>,
    /// The version of its source.
    pub commit: Option<&'a str>,
    /// Where it runs, as a JSON object; masked.
    pub environment: Option<&'a Json>,
    /// What it made.
    pub artifacts: &'a [&'a str],
    /// Where its log is.
    pub log: Option<&'a str>,
    /// Records it looked at, made and changed.
    pub records: [Option<u64>; 3],
    /// Errors on the way.
    pub errors: u64,
}

impl<'a> JobRun<'a> {
    /// A run that begins.
    pub fn begin(id: &'a str, kind: &'a str, started: Stamp) -> Self {
        Self {
            id,
            kind,
            started,
            finished: None,
            exit_code: None,
            params: None,
            commit: None,
            environment: None,
            artifacts: &[],
            log: None,
            records: [None; 3],
            errors: 0,
        }
    }
}

impl Event for JobRun<'_> {
    const TABLE: &'static Table = &JOBS;

    fn values(&self, row: &mut RowWriter<'_>) {
        let object = |json: Option<&Json>| json.map_or_else(|| "{}".to_owned(), Json::to_string);
        row.put(self.id).put(self.kind).put(&self.started.db());
        row.put(self.finished.map(|(at, _)| at.db()).as_ref())
            .put(self.finished.map(|(_, exit)| exit.word()));
        row.put(self.exit_code.map(i64::from)).put_masked(object(self.params).as_str()).put(self.commit);
        row.put_masked(object(self.environment).as_str());
        row.put_masked(json!(self.artifacts).to_string().as_str()).put_masked(self.log);
        for count in self.records {
            row.put(count);
        }
        row.put(self.errors);
    }
}
