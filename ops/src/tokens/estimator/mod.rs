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
mod explain;
mod features;
mod parameter;
mod settings;

pub use budget::{Choice, select_budget};
pub use coefficients::{
    BudgetCoefficients, ByComplexity, Coefficients, DocumentCoefficients, Existing, Floors, Marginal,
    Marginals, Steps,
};
pub use deliverable::{FileFeatures, Kind, path_of};
pub use explain::Explanation;
pub use features::{Features, Items, Model, Term};
pub use parameter::{DocumentPart, Parameter};
pub use settings::{Calibration, Settings};

use super::canonical::Complexity;

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
    Features::of(input).estimate(coefficients)
}

/// `⌊value × factor⌋` of a count, as the recorded predictions were cut.
fn scale(value: u64, factor: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates; cut on purpose")]
    let scaled = (value as f64 * factor) as u64;
    scaled
}

#[cfg(test)]
mod tests;
