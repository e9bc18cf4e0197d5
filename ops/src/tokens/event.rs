//! One token event as the analysis sees it: a borrowed view, so that reading a row allocates nothing.
//!
//! Run and phase are not part of it: the analysis never asks for them, and a scan of millions of rows
//! should not decode them.

/// What was predicted for one call and what came out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenEvent<'a> {
    /// The event id, or the line number where the source has no ids.
    pub id: i64,
    /// The category as written.
    pub category: &'a str,
    /// The complexity as written.
    pub complexity: &'a str,
    /// How many deliverables were asked for.
    pub deliverable_count: u64,
    /// Output tokens predicted.
    pub predicted: u64,
    /// Output tokens written.
    pub actual: u64,
    /// The ceiling in output tokens that was chosen from the prediction.
    pub selected_budget: Option<u64>,
    /// Whether the output could be used.
    pub success: bool,
    /// Whether the output was cut at the ceiling; `None` where the source does not record it, which is not
    /// the same as `false`.
    pub truncated: Option<bool>,
    /// SMAPE in percent as stored.
    pub smape_percent: Option<f64>,
    /// Predicted over actual as stored.
    pub waste_ratio: Option<f64>,
    /// The underestimation flag as stored.
    pub underestimated: Option<bool>,
}
