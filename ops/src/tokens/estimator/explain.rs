//! A prediction and its ceiling, term by term, for people and as an artifact.

use serde::Serialize;

use super::budget::Choice;
use super::features::{Features, Term};
use super::{Coefficients, ESTIMATOR_VERSION, Model};
use crate::report::{Align, Document, Table, number};
use crate::text::{one_line, thousands};

/// Why a prediction is what it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    format: u32,
    estimator_version: u32,
    coefficient_digest: String,
    features: Features,
    category: String,
    terms: Vec<Term>,
    sum: u64,
    safety: Option<f64>,
    predicted_output_tokens: u64,
    confidence: f64,
    budget: Choice,
}

impl Explanation {
    /// Of the prediction that the coefficients make of the features.
    pub fn new(coefficients: &Coefficients, features: Features) -> Self {
        let terms = features.terms(coefficients);
        let sum = terms.iter().fold(0_u64, |sum, t| sum.saturating_add(t.tokens.saturating_mul(t.count)));
        Self {
            format: 1,
            estimator_version: ESTIMATOR_VERSION,
            coefficient_digest: coefficients.digest(),
            category: features.output_category().to_owned(),
            terms,
            sum,
            safety: (features.model != Model::Unknown).then_some(coefficients.safety),
            predicted_output_tokens: features.output_tokens(coefficients),
            confidence: features.confidence(),
            budget: features.budget(coefficients),
            features,
        }
    }

    /// The report about `subject`, read with the settings of `origin`.
    pub fn document(&self, subject: &str, origin: &str) -> Document {
        let mut document = Document::new();
        let stratum = format!("{}, {}", self.features.category, self.features.complexity.as_str());
        document.heading(1, "Estimate").facts([
            ("task", one_line(subject)),
            ("category and complexity", one_line(&stratum)),
            ("predicted as", one_line(&self.category)),
            (
                "coefficients",
                format!(
                    "{} of {}, formulas version {}",
                    self.coefficient_digest,
                    one_line(origin),
                    self.estimator_version
                ),
            ),
        ]);
        let mut table = Table::new([
            ("term", Align::Left),
            ("coefficient", Align::Left),
            ("times", Align::Right),
            ("tokens each", Align::Right),
            ("tokens", Align::Right),
        ]);
        for term in &self.terms {
            table.row([
                one_line(&term.name),
                one_line(&term.coefficient),
                thousands(term.count),
                thousands(term.tokens),
                thousands(term.tokens.saturating_mul(term.count)),
            ]);
        }
        document.heading(2, "Output tokens").table(table);
        let predicted = thousands(self.predicted_output_tokens);
        let sum = thousands(self.sum);
        let safety = self.safety.map_or_else(
            || format!("{predicted}, without a safety factor"),
            |safety| format!("⌊{sum} × {safety}⌋ = {predicted}"),
        );
        document.facts([("predicted", safety), ("confidence", number(Some(self.confidence), 4))]);
        let b = &self.budget;
        document.heading(2, "Ceiling to ask for").facts([
            (
                "with its buffer",
                format!("⌊{predicted} × {}⌋ = {} ({})", b.buffer, thousands(b.buffered), b.because),
            ),
            ("at least", thousands(b.floor)),
            ("at most", thousands(b.ceiling)),
            ("selected budget", thousands(b.tokens)),
        ]);
        document
    }
}
