//! The ceiling asked for: the prediction with a buffer, not below a floor and not above what models give.
//!
//! The ceiling is an intent; what a caller finally asked a model for is recorded apart from it.

use serde::Serialize;

use super::super::canonical::{Complexity, canonical_category};
use super::coefficients::{BudgetCoefficients, Coefficients};
use super::scale;

/// A ceiling and what it is made of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choice {
    /// The ceiling in output tokens.
    pub tokens: u64,
    /// The factor on the prediction.
    pub buffer: f64,
    /// Why this factor.
    pub because: &'static str,
    /// The prediction with it.
    pub buffered: u64,
    /// The least ceiling of such tasks.
    pub floor: u64,
    /// The largest ceiling.
    pub ceiling: u64,
}

/// The ceiling in output tokens for a prediction.
pub fn select_budget(
    coefficients: &Coefficients,
    output_tokens: u64,
    deliverables: u64,
    category: &str,
    complexity: Complexity,
    confidence: f64,
) -> u64 {
    choose(coefficients, output_tokens, deliverables, category, complexity, confidence).tokens
}

pub(super) fn choose(
    coefficients: &Coefficients,
    output_tokens: u64,
    deliverables: u64,
    category: &str,
    complexity: Complexity,
    confidence: f64,
) -> Choice {
    let budget = &coefficients.budget;
    let category = canonical_category(category);
    let (buffer, because) = buffer(budget, deliverables, &category, complexity, confidence);
    let buffered = scale(output_tokens, buffer);
    // Short documents and tests are known to need less than code.
    let floor = match category.as_ref() {
        "docs" => budget.floor.docs,
        "tests" => budget.floor.tests,
        _ => budget.floor.other,
    }
    .of(complexity);
    let tokens = buffered.max(floor).min(budget.ceiling);
    Choice { tokens, buffer, because, buffered, floor, ceiling: budget.ceiling }
}

/// The factor on the prediction; the first rule that fits decides.
fn buffer(
    budget: &BudgetCoefficients,
    deliverables: u64,
    category: &str,
    complexity: Complexity,
    confidence: f64,
) -> (f64, &'static str) {
    if matches!(category, "doc_synthesis" | "doc_sot_update") {
        (budget.documents_buffer, "documents that take finding out")
    } else if deliverables >= budget.many_from {
        (budget.many_buffer, "many deliverables")
    } else if category == "integration" && complexity == Complexity::High {
        (budget.many_buffer, "integration of high complexity")
    } else if confidence < budget.unsure_below {
        (budget.unsure_buffer, "the deliverables say little")
    } else {
        (budget.buffer, "the usual")
    }
}
