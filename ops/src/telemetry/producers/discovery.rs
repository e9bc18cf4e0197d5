//! Discovery: which method found articles on a source, what servers answered, how well each method does there.
//!
//! Counts are kept and the rate follows from them, in one statement: two writers cannot overwrite each other, and ten
//! tries with nine successes are 90 % in whatever order they came.

use super::outcome::outcomes;
use crate::clock::Stamp;
use crate::telemetry::store::{Column, Event, Job, Kind, Refused, RowWriter, Store, Table};

/// One row for each source and operation.
pub static DISCOVERY_OUTCOMES: Table = Table {
    name: "discovery_outcomes",
    version: 1,
    columns: &[
        Column::new("id", Kind::Id),
        Column::required("operation_id", Kind::Text),
        Column::required("source_id", Kind::Text),
        Column::required("outcome", Kind::Text),
        Column::required("articles_found", Kind::Int),
        Column::required("articles_new", Kind::Int),
        Column::required("articles_duplicate", Kind::Int),
        Column::required("articles_expired", Kind::Int),
        Column::required("methods_attempted", Kind::Text),
        Column::new("method_used", Kind::Text),
        Column::new("error_details", Kind::Text),
        Column::new("http_status", Kind::Int),
        Column::new("discovery_time_ms", Kind::Real),
        Column::required("is_success", Kind::Bool),
        Column::required("is_content_success", Kind::Bool),
        Column::required("is_technical_failure", Kind::Bool),
        Column::required("created_at", Kind::Text),
    ],
    constraints: &[],
    indexes: &["created_at"],
    on_conflict: "",
};

/// One row for each request.
pub static HTTP_STATUS: Table = Table {
    name: "http_status_tracking",
    version: 1,
    columns: &[
        Column::new("id", Kind::Id),
        Column::new("operation_id", Kind::Text),
        Column::required("source_id", Kind::Text),
        Column::required("source_url", Kind::Text),
        Column::required("discovery_method", Kind::Text),
        Column::required("attempted_url", Kind::Text),
        Column::new("status_code", Kind::Int),
        Column::required("status_category", Kind::Text),
        Column::new("response_time_ms", Kind::Real),
        Column::new("content_length", Kind::Int),
        Column::new("error_message", Kind::Text),
        Column::required("timestamp", Kind::Text),
    ],
    constraints: &[],
    indexes: &["timestamp"],
    on_conflict: "",
};

/// How well a method does on a source, over all time.
pub static METHOD_EFFECTIVENESS: Table = Table {
    name: "discovery_method_effectiveness",
    version: 1,
    columns: &[
        Column::required("source_id", Kind::Text),
        Column::required("discovery_method", Kind::Text),
        Column::required("status", Kind::Text),
        Column::required("attempt_count", Kind::Int),
        Column::required("success_count", Kind::Int),
        Column::required("success_rate", Kind::Real),
        Column::required("articles_found", Kind::Int),
        Column::required("articles_total", Kind::Int),
        Column::required("timed_count", Kind::Int),
        Column::required("response_time_ms_total", Kind::Real),
        Column::required("last_attempt", Kind::Text),
        Column::new("notes", Kind::Text),
    ],
    constraints: &["PRIMARY KEY (source_id, discovery_method)"],
    indexes: &[],
    on_conflict: "ON CONFLICT (source_id, discovery_method) DO UPDATE SET status = excluded.status, \
        attempt_count = discovery_method_effectiveness.attempt_count + excluded.attempt_count, \
        success_count = discovery_method_effectiveness.success_count + excluded.success_count, \
        success_rate = 100.0 * (discovery_method_effectiveness.success_count + excluded.success_count) \
        / (discovery_method_effectiveness.attempt_count + excluded.attempt_count), \
        articles_found = excluded.articles_found, \
        articles_total = discovery_method_effectiveness.articles_total + excluded.articles_total, \
        timed_count = discovery_method_effectiveness.timed_count + excluded.timed_count, \
        response_time_ms_total = discovery_method_effectiveness.response_time_ms_total + \
        excluded.response_time_ms_total, last_attempt = excluded.last_attempt, notes = excluded.notes",
};

outcomes! {
    /// What came of looking for articles.
    Discovered {
        NewArticlesFound = "new_articles_found",
        DuplicatesOnly = "duplicates_only",
        ExpiredOnly = "expired_only",
        MixedResults = "mixed_results",
        NoArticlesFound = "no_articles_found",
        RssMissing = "rss_missing",
        ContentBlocked = "content_blocked",
        HttpError = "http_error",
        Timeout = "timeout",
        ConnectionError = "connection_error",
        ParsingError = "parsing_error",
        CloudflareBlocked = "cloudflare_blocked",
        DatabaseError = "database_error",
        UnknownError = "unknown_error",
    }
}

impl Discovered {
    /// Whether the source was read.
    pub fn is_success(self) -> bool {
        matches!(self, Self::NewArticlesFound | Self::DuplicatesOnly | Self::ExpiredOnly | Self::MixedResults)
    }

    /// Whether there is something new.
    pub fn is_content_success(self, articles_new: u64) -> bool {
        matches!(self, Self::NewArticlesFound | Self::MixedResults) && articles_new > 0
    }

    /// Whether something did not work.
    pub fn is_technical_failure(self) -> bool {
        matches!(
            self,
            Self::HttpError
                | Self::Timeout
                | Self::ConnectionError
                | Self::ParsingError
                | Self::CloudflareBlocked
                | Self::DatabaseError
                | Self::UnknownError
        )
    }
}

/// What came of a source.
#[derive(Debug, Clone, Copy)]
pub struct DiscoveryOutcome<'a> {
    /// The operation.
    pub operation_id: &'a str,
    /// The source.
    pub source_id: &'a str,
    /// What came of it.
    pub outcome: Discovered,
    /// Articles found, and how many of them are new, known already, too old.
    pub articles: [u64; 4],
    /// What was tried, in order.
    pub methods: &'a [&'a str],
    /// What worked.
    pub method_used: Option<&'a str>,
    /// What went wrong.
    pub error: Option<&'a str>,
    /// The final status of the server.
    pub http_status: Option<u16>,
    /// How long it took, in milliseconds.
    pub elapsed_ms: Option<f64>,
    /// When.
    pub at: Stamp,
}

impl DiscoveryOutcome<'_> {
    /// Hands it to the store.
    pub fn record(&self, store: &Store) -> Result<(), Refused> {
        store.submit(Job::new().add(self))
    }
}

impl Event for DiscoveryOutcome<'_> {
    const TABLE: &'static Table = &DISCOVERY_OUTCOMES;

    fn values(&self, row: &mut RowWriter<'_>) {
        let [_, new, ..] = self.articles;
        row.put(self.operation_id).put(self.source_id).put(self.outcome.word());
        for count in self.articles {
            row.put(count);
        }
        row.put(&self.methods.join(",")).put(self.method_used).put_masked(self.error);
        row.put(self.http_status.map(i64::from)).put(self.elapsed_ms);
        row.put(self.outcome.is_success()).put(self.outcome.is_content_success(new));
        row.put(self.outcome.is_technical_failure()).put(&self.at.db());
    }
}

/// A request and its answer.
#[derive(Debug, Clone, Copy)]
pub struct HttpAnswer<'a> {
    /// The operation.
    pub operation_id: Option<&'a str>,
    /// The source.
    pub source_id: &'a str,
    /// Where the source is.
    pub source_url: &'a str,
    /// What asked.
    pub method: &'a str,
    /// What was asked for.
    pub url: &'a str,
    /// The status; `None` when there was no answer.
    pub status: Option<u16>,
    /// How long it took, in milliseconds.
    pub elapsed_ms: Option<f64>,
    /// Size of the answer.
    pub bytes: Option<u64>,
    /// What went wrong.
    pub error: Option<&'a str>,
    /// When.
    pub at: Stamp,
}

/// `2xx` to `5xx`, `1xx`, or `none` when there was no answer.
pub fn status_category(status: Option<u16>) -> &'static str {
    match status {
        Some(100..=199) => "1xx",
        Some(200..=299) => "2xx",
        Some(300..=399) => "3xx",
        Some(400..=499) => "4xx",
        Some(500..=599) => "5xx",
        _ => "none",
    }
}

impl Event for HttpAnswer<'_> {
    const TABLE: &'static Table = &HTTP_STATUS;

    fn values(&self, row: &mut RowWriter<'_>) {
        let url = super::extraction::without_user;
        row.put(self.operation_id).put(self.source_id).put_masked(url(self.source_url).as_str());
        row.put(self.method).put_masked(url(self.url).as_str()).put(self.status.map(i64::from));
        row.put(status_category(self.status)).put(self.elapsed_ms).put(self.bytes);
        row.put_masked(self.error).put(&self.at.db());
    }
}

/// A try of a method on a source. One that was skipped is no try and is not recorded.
#[derive(Debug, Clone, Copy)]
pub struct MethodTry<'a> {
    /// The source.
    pub source_id: &'a str,
    /// `rss_feed`, `newspaper4k`, `storysniffer`, …
    pub method: &'a str,
    /// `success`, `no_feed`, `timeout`, `connection_error`, `parse_error`, `blocked`, `server_error`.
    pub status: &'a str,
    /// Articles found by it.
    pub articles: u64,
    /// How long the answer took, in milliseconds.
    pub elapsed_ms: Option<f64>,
    /// Anything else.
    pub notes: Option<&'a str>,
    /// When.
    pub at: Stamp,
}

impl Event for MethodTry<'_> {
    const TABLE: &'static Table = &METHOD_EFFECTIVENESS;

    fn values(&self, row: &mut RowWriter<'_>) {
        let is_success = self.status == "success" && self.articles > 0;
        row.put(self.source_id).put(self.method).put(self.status).put(1_i64).put(i64::from(is_success));
        row.put(if is_success { 100.0 } else { 0.0 }).put(self.articles).put(self.articles);
        row.put(i64::from(self.elapsed_ms.is_some())).put(self.elapsed_ms.unwrap_or(0.0));
        row.put(&self.at.db()).put_masked(self.notes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_answer_is_no_client_error() {
        let codes = [None, Some(0), Some(204), Some(404), Some(503), Some(700)].map(status_category);
        assert_eq!(codes, ["none", "none", "2xx", "4xx", "5xx", "none"]);
    }

    #[test]
    fn duplicates_are_a_success_without_content() {
        assert!(Discovered::DuplicatesOnly.is_success());
        assert!(!Discovered::NewArticlesFound.is_content_success(0));
        assert!(Discovered::MixedResults.is_content_success(2));
        assert!(!Discovered::RssMissing.is_technical_failure());
    }
}
