//! Predicts how many output tokens a task will take, and chooses the ceiling to ask for.
//!
//! `tokens = ⌊(overhead[category, complexity] + Σ marginal[deliverable]) × safety⌋`; tasks that write only
//! documents have models of their own (see [`DocumentCoefficients`]). The model is linear so that a
//! calibration can fit it. Nothing here reads the file system: what is known about existing files is an
//! argument, so that a stored prediction can be made again anywhere.
//!
//! The constants reproduce the predictions of the recorded histories, with four deliberate differences:
//!
//! - Categories are canonical before any look-up. `tests` and `IMPLEMENT_FEATURE` used to miss the overheads
//!   written down as `testing` and `implementation` and fell to the default. The budget buffer for large
//!   `IMPLEMENT_FEATURE` tasks goes the same way: `implementation` never had one.
//! - *New* and *create* are looked for as whole words outside the path, so that a change of `renewal.py` or
//!   `address.py` is no longer taken for a new file.
//! - A synthesis of documents is recognised by the base names of the deliverables alone. The text of the
//!   task is no input: a goal that mentions an example, or a folder `examples/`, moved tasks between strata.
//! - Truncation towards zero happens where it did, on `f64` products, so that predictions agree to the token.

mod budget;
mod coefficients;
mod deliverable;
mod documents;

pub use budget::{BUDGET_CEILING, select_budget};
pub use coefficients::{Coefficients, DocumentCoefficients, Marginal, Marginals};
pub use deliverable::FileFeatures;

use deliverable::Deliverable;

use super::canonical::{Complexity, canonical_category};

/// Version of the formulas; stored with every prediction next to the digest of the coefficients.
pub const ESTIMATOR_VERSION: u32 = 1;

/// A task to predict.
#[derive(Debug, Clone, Copy)]
pub struct EstimateInput<'a> {
    /// What is to be written: paths, or sentences that may contain one. Blank ones are ignored.
    pub deliverables: &'a [String],
    /// What is known about the file behind the deliverable of the same index; a deliverable without an entry
    /// is a new file.
    pub files: &'a [Option<FileFeatures>],
    /// The category in any spelling.
    pub category: &'a str,
    /// The complexity.
    pub complexity: Complexity,
    /// How many paths the task was given as context.
    pub scope_path_count: usize,
}

/// A prediction.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// Output tokens.
    pub output_tokens: u64,
    /// The canonical category that the prediction was made for: tasks that write only documents count as
    /// `docs`, `doc_synthesis` or `doc_sot_update` whatever they were called.
    pub category: String,
    /// How much the deliverables say about the work, from 0.5 to 1.
    pub confidence: f64,
    /// The ceiling in output tokens to ask for.
    pub selected_budget: u64,
}

/// Predicts a task.
pub fn estimate(coefficients: &Coefficients, input: &EstimateInput<'_>) -> Estimate {
    let category = canonical_category(input.category);
    let deliverables: Vec<Deliverable> = input
        .deliverables
        .iter()
        .enumerate()
        .filter(|(_, text)| !text.trim().is_empty())
        .map(|(i, text)| Deliverable::read(text, input.files.get(i).copied().flatten(), &category))
        .collect();
    let (output_tokens, category, confidence) = if deliverables.is_empty() {
        (without_deliverables(input.complexity), category.into_owned(), 0.5)
    } else if let Some(documents) = documents::estimate(coefficients, &deliverables, input.scope_path_count) {
        (documents.output_tokens, documents.category.to_owned(), documents.confidence)
    } else {
        let pure_docs = deliverables.iter().all(Deliverable::is_document);
        let category = if pure_docs { "docs" } else { category.as_ref() };
        let tokens = coefficients.overhead(category, input.complexity)
            + deliverables.iter().map(|d| d.marginal(coefficients)).sum::<u64>();
        (coefficients.with_safety(tokens), category.to_owned(), confidence(&deliverables))
    };
    let selected_budget =
        select_budget(output_tokens, deliverables.len(), &category, input.complexity, confidence);
    Estimate { output_tokens, category, confidence, selected_budget }
}

/// The prediction when nothing is known about what will be written.
fn without_deliverables(complexity: Complexity) -> u64 {
    match complexity {
        Complexity::Low | Complexity::Maintenance => 8192,
        Complexity::Medium => 12288,
        Complexity::High => 16384,
    }
}

/// 0.5, plus up to 0.3 for deliverables that name a file, plus up to 0.2 for those that say what to do.
fn confidence(deliverables: &[Deliverable]) -> f64 {
    let share = |what: fn(&Deliverable) -> bool| {
        deliverables.iter().filter(|d| what(d)).count() as f64 / deliverables.len() as f64
    };
    (0.5 + 0.3 * share(Deliverable::names_a_file) + 0.2 * share(Deliverable::says_what_to_do)).min(1.0)
}

/// `⌊value × factor⌋` of a count, as the recorded predictions were cut.
fn scale(value: u64, factor: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates; cut on purpose")]
    let scaled = (value as f64 * factor) as u64;
    scaled
}

#[cfg(test)]
mod tests;
