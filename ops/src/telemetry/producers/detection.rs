//! Content types: what kind of text an article was taken for, how sure that is, and what gave it away.
//!
//! Confidence is a word, a number, or both; the number wins, and a word that is not known has none.

use serde_json::Value as Json;

use super::extraction::{host, without_user};
use crate::clock::Stamp;
use crate::telemetry::store::{Column, Event, Kind, RowWriter, Table};

/// One row for each detection.
pub static DETECTIONS: Table = Table {
    name: "content_type_detection_telemetry",
    version: 1,
    columns: &[
        Column::new("id", Kind::Id),
        Column::required("operation_id", Kind::Text),
        Column::required("article_id", Kind::Text),
        Column::required("url", Kind::Text),
        Column::new("publisher", Kind::Text),
        Column::new("host", Kind::Text),
        Column::required("detected_type", Kind::Text),
        Column::required("detection_method", Kind::Text),
        Column::new("confidence", Kind::Text),
        Column::new("confidence_score", Kind::Real),
        Column::new("reason", Kind::Text),
        Column::required("evidence", Kind::Text),
        Column::new("version", Kind::Text),
        Column::required("detected_at", Kind::Text),
    ],
    constraints: &[],
    indexes: &["detected_at"],
    on_conflict: "",
};

/// What an article was taken for.
#[derive(Debug, Clone, Copy)]
pub struct Detection<'a> {
    /// The operation.
    pub operation_id: &'a str,
    /// The article.
    pub article_id: &'a str,
    /// Where it is.
    pub url: &'a str,
    /// Who publishes it.
    pub publisher: Option<&'a str>,
    /// `opinion`, `obituary`, …
    pub detected_type: &'a str,
    /// What detected it.
    pub method: &'a str,
    /// How sure it is, in a word: see [`confidence_score`].
    pub confidence: Option<&'a str>,
    /// How sure it is, from 0 to 1.
    pub score: Option<f64>,
    /// Why, in words.
    pub reason: Option<&'a str>,
    /// What gave it away, as a JSON object.
    pub evidence: &'a Json,
    /// The version of what detected it.
    pub version: Option<&'a str>,
    /// When.
    pub at: Stamp,
}

/// The number of a word, where it is one that is known.
pub fn confidence_score(word: &str) -> Option<f64> {
    match word.to_ascii_lowercase().as_str() {
        "very_high" => Some(0.95),
        "high" => Some(0.85),
        "medium" => Some(0.5),
        "low" => Some(0.25),
        _ => None,
    }
}

impl Event for Detection<'_> {
    const TABLE: &'static Table = &DETECTIONS;

    fn values(&self, row: &mut RowWriter<'_>) {
        let score = self.score.filter(|score| score.is_finite());
        row.put(self.operation_id).put(self.article_id).put_masked(without_user(self.url).as_str());
        row.put(self.publisher).put(host(self.url).as_ref()).put(self.detected_type).put(self.method);
        row.put(self.confidence).put(score.or_else(|| confidence_score(self.confidence?)));
        row.put_masked(self.reason).put_masked(self.evidence.to_string().as_str());
        row.put(self.version).put(&self.at.db());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_are_known_have_a_number() {
        let words = ["very_high", "high", "MEDIUM", "low", "unknown", ""].map(confidence_score);
        assert_eq!(words, [Some(0.95), Some(0.85), Some(0.5), Some(0.25), None, None]);
    }
}
