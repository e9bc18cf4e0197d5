//! One row of `token_estimation_v2_events`: validated, cut to size, with its metrics.
//!
//! The rules are those of the original writer where it was right: the validity limit, the caps on
//! deliverables, the metrics. Where it guessed (a missing run id) or hid (an exception) this one refuses
//! with a reason.

use crate::clock::Stamp;
use crate::text;
use crate::tokens::canonical::{Complexity, canonical_category};
use crate::tokens::metrics::Metrics;
use serde::{Deserialize, Serialize};

/// Fewer output tokens than this are no answer of a model but a stub; such an event is rejected.
pub const VALID_OUTPUT_TOKENS_MIN: u64 = 50;
/// At most this many deliverables are stored; their number is stored apart.
const DELIVERABLES_MAX: usize = 20;
/// At most this many characters of a deliverable are stored.
const DELIVERABLE_CHARS_MAX: usize = 200;

/// What is known of one attempt before it becomes a row. Tokens are output tokens unless named otherwise.
#[derive(Debug, Clone)]
pub struct Draft<'a> {
    /// The run.
    pub run_id: &'a str,
    /// The phase within the run.
    pub phase_id: &'a str,
    /// Category in any spelling.
    pub category: &'a str,
    /// Complexity in any spelling.
    pub complexity: &'a str,
    /// All deliverables, uncut.
    pub deliverables: &'a [String],
    /// The prediction made before the attempt.
    pub predicted: u64,
    /// What the model produced; `None` when that is not known.
    pub actual: Option<u64>,
    /// The budget chosen from the prediction.
    pub selected_budget: u64,
    /// The ceiling that was in force.
    pub actual_max_tokens: Option<u64>,
    /// Whether the attempt succeeded; whether that was verified is a column of the attempt.
    pub success: bool,
    /// Whether the output was cut off.
    pub truncated: bool,
    /// Why the model stopped.
    pub stop_reason: Option<&'a str>,
    /// Which model.
    pub model: &'a str,
    /// Version of the estimator that predicted.
    pub estimator_version: &'a str,
    /// Digest of its coefficients.
    pub coefficient_digest: &'a str,
    /// What the prediction rests on, as JSON.
    pub features: &'a str,
    /// Number of the attempt at this phase, from 1.
    pub attempt: u64,
    /// Input tokens, where known.
    pub input_tokens: Option<u64>,
    /// Which executor the outcome is from.
    pub outcome_source: &'a str,
    /// When the attempt ended.
    pub at: Stamp,
}

/// A valid row, as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventRow {
    /// The run.
    pub run_id: String,
    /// The phase within the run.
    pub phase_id: String,
    /// When the attempt ended, as timestamp columns spell it.
    pub timestamp: String,
    /// Canonical category.
    pub category: String,
    /// Canonical complexity.
    pub complexity: Complexity,
    /// How many deliverables there were, before cutting.
    pub deliverable_count: u64,
    /// JSON array of at most 20 strings of at most 200 characters.
    pub deliverables_json: String,
    /// Predicted output tokens.
    pub predicted: u64,
    /// Actual output tokens.
    pub actual: u64,
    /// The budget chosen from the prediction.
    pub selected_budget: u64,
    /// The ceiling that was in force.
    pub actual_max_tokens: Option<u64>,
    /// Whether the attempt succeeded; whether that was verified is a column of the attempt.
    pub success: bool,
    /// Whether the output was cut off.
    pub truncated: bool,
    /// Why the model stopped.
    pub stop_reason: Option<String>,
    /// Which model.
    pub model: String,
    /// The metrics; `None` when prediction or output is zero.
    pub metrics: Option<Metrics>,
    /// Version of the estimator that predicted.
    pub estimator_version: String,
    /// Digest of its coefficients.
    pub coefficient_digest: String,
    /// What the prediction rests on, as JSON.
    pub features: String,
    /// Number of the attempt at this phase.
    pub attempt: u64,
    /// Input tokens, where known.
    pub input_tokens: Option<u64>,
    /// Which executor the outcome is from.
    pub outcome_source: String,
}

/// Why an event was not written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rejection {
    /// Telemetry is switched off.
    Disabled,
    /// Nobody reported how many tokens were produced; unknown is not zero.
    OutputTokensUnknown,
    /// Fewer than [`VALID_OUTPUT_TOKENS_MIN`] tokens.
    BelowValidityLimit,
    /// A constraint of the database; the text names which.
    Constraint(String),
    /// The table of events is not there.
    TableMissing(String),
    /// Any other database error.
    Database(String),
}

impl Rejection {
    /// A stable word for ledgers; a constraint is part of it.
    pub fn code(&self) -> String {
        match self {
            Self::Disabled => "telemetry_disabled".to_owned(),
            Self::OutputTokensUnknown => "output_tokens_unknown".to_owned(),
            Self::BelowValidityLimit => "below_validity_limit".to_owned(),
            Self::Constraint(which) => format!("rejected:{which}"),
            Self::TableMissing(_) | Self::Database(_) => "database_error".to_owned(),
        }
    }
}

impl EventRow {
    /// Validates a draft.
    pub fn new(draft: &Draft<'_>) -> Result<Self, Rejection> {
        let actual = draft.actual.ok_or(Rejection::OutputTokensUnknown)?;
        if actual < VALID_OUTPUT_TOKENS_MIN {
            return Err(Rejection::BelowValidityLimit);
        }
        let kept: Vec<String> = draft
            .deliverables
            .iter()
            .take(DELIVERABLES_MAX)
            .map(|path| text::ellipsis(path, DELIVERABLE_CHARS_MAX))
            .collect();
        Ok(Self {
            run_id: draft.run_id.to_owned(),
            phase_id: draft.phase_id.to_owned(),
            timestamp: draft.at.db(),
            category: canonical_category(draft.category).into_owned(),
            complexity: Complexity::or_medium(draft.complexity).0,
            deliverable_count: draft.deliverables.len() as u64,
            deliverables_json: serde_json::Value::from(kept).to_string(),
            predicted: draft.predicted,
            actual,
            selected_budget: draft.selected_budget,
            actual_max_tokens: draft.actual_max_tokens,
            success: draft.success,
            truncated: draft.truncated,
            stop_reason: draft.stop_reason.map(str::to_owned),
            model: draft.model.to_owned(),
            metrics: Metrics::of(draft.predicted, actual),
            estimator_version: draft.estimator_version.to_owned(),
            coefficient_digest: draft.coefficient_digest.to_owned(),
            features: draft.features.to_owned(),
            attempt: draft.attempt,
            input_tokens: draft.input_tokens,
            outcome_source: draft.outcome_source.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(deliverables: &[String]) -> Draft<'_> {
        Draft {
            run_id: "r",
            phase_id: "p",
            category: "IMPLEMENT_FEATURE",
            complexity: "Med",
            deliverables,
            predicted: 1200,
            actual: Some(800),
            selected_budget: 8192,
            actual_max_tokens: None,
            success: true,
            truncated: false,
            stop_reason: Some("end_turn"),
            model: "m",
            estimator_version: "v",
            coefficient_digest: "d",
            features: "{}",
            attempt: 1,
            input_tokens: None,
            outcome_source: "recorded",
            at: Stamp::parse("2026-01-02T03:04:05Z").unwrap(),
        }
    }

    #[test]
    fn twenty_six_deliverables_store_twenty_and_remember_all() {
        let mut deliverables: Vec<String> = (0..24).map(|i| format!("src/f{i}.py")).collect();
        deliverables.insert(0, "x".repeat(257));
        deliverables.push("last.py".to_owned());
        let row = EventRow::new(&draft(&deliverables)).unwrap();
        let stored: Vec<String> = serde_json::from_str(&row.deliverables_json).unwrap();
        assert_eq!(row.deliverable_count, 26);
        assert_eq!(stored.len(), 20);
        assert_eq!(stored[0], "x".repeat(197) + "...");
    }

    #[test]
    fn spellings_are_canonical_and_metrics_are_ratios() {
        let row = EventRow::new(&draft(&[])).unwrap();
        assert_eq!((row.category.as_str(), row.complexity), ("implementation", Complexity::Medium));
        let metrics = row.metrics.unwrap();
        assert!((metrics.smape_percent - 40.0).abs() < 1e-9);
        assert!((metrics.waste_ratio - 1.5).abs() < 1e-9);
        assert!(!metrics.underestimated);
    }

    #[test]
    fn the_validity_limit_and_the_unknown_are_reasons() {
        let with = |actual| EventRow::new(&Draft { actual, ..draft(&[]) });
        assert_eq!(with(Some(49)).unwrap_err().code(), "below_validity_limit");
        assert!(with(Some(50)).is_ok());
        assert_eq!(with(None).unwrap_err().code(), "output_tokens_unknown");
    }

    #[test]
    fn a_zero_prediction_stores_no_metrics() {
        assert_eq!(EventRow::new(&Draft { predicted: 0, ..draft(&[]) }).unwrap().metrics, None);
    }
}
