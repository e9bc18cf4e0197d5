//! The ceiling asked for: the prediction with a buffer, not below a floor and not above what models give.
//!
//! The ceiling is an intent; what a caller finally asked a model for is recorded apart from it.

use super::super::canonical::{Complexity, canonical_category};
use super::scale;

/// The largest ceiling in output tokens.
pub const BUDGET_CEILING: u64 = 64_000;

/// The ceiling in output tokens for a prediction.
pub fn select_budget(
    output_tokens: u64,
    deliverables: usize,
    category: &str,
    complexity: Complexity,
    confidence: f64,
) -> u64 {
    let category = canonical_category(category);
    let buffered = scale(output_tokens, buffer(deliverables, &category, complexity, confidence));
    buffered.max(floor(&category, complexity)).min(BUDGET_CEILING)
}

/// The factor on the prediction; the last rule that fits decides.
fn buffer(deliverables: usize, category: &str, complexity: Complexity, confidence: f64) -> f64 {
    if matches!(category, "doc_synthesis" | "doc_sot_update") {
        return 2.2;
    }
    if deliverables >= 8 || (category == "integration" && complexity == Complexity::High) {
        1.6
    } else if confidence < 0.7 {
        1.4
    } else {
        1.2
    }
}

/// The least ceiling. Short documents and tests are known to need less than code; of maintenance nothing is
/// known, so it has the floor of small code whatever its category.
fn floor(category: &str, complexity: Complexity) -> u64 {
    match (complexity, category) {
        (Complexity::Low, "docs") => 4096,
        (Complexity::Low, "tests") => 6144,
        (Complexity::Medium, "docs" | "tests") | (Complexity::Low | Complexity::Maintenance, _) => 8192,
        (Complexity::High, "docs" | "tests") | (Complexity::Medium, _) => 12288,
        (Complexity::High, _) => 16384,
    }
}
