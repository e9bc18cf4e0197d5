//! Tasks that write only documents: updates of a source of truth, and syntheses of several documents.
//!
//! Both are recognised by base names alone. Other documents are left to the general model.

use super::coefficients::Coefficients;
use super::deliverable::{Deliverable, words_of};
use super::scale;

/// Documents that record what is true about a project; an update must read them whole.
const SOURCES_OF_TRUTH: [&str; 5] =
    ["build_log.md", "build_history.md", "changelog.md", "history.md", "release_notes.md"];

/// A prediction by one of the two models.
pub(super) struct DocumentEstimate {
    pub(super) output_tokens: u64,
    pub(super) category: &'static str,
    pub(super) confidence: f64,
}

/// Whether the words stand in the name one after the other.
fn holds(name: &str, phrase: &[&str]) -> bool {
    let words: Vec<&str> = words_of(name).collect();
    words.windows(phrase.len()).any(|window| window == phrase)
}

/// The prediction for a task of documents only; `None` for every other task.
pub(super) fn estimate(
    coefficients: &Coefficients,
    deliverables: &[Deliverable],
    scope_path_count: usize,
) -> Option<DocumentEstimate> {
    if !deliverables.iter().all(Deliverable::is_document) {
        return None;
    }
    let model = &coefficients.documents;
    let documents = deliverables.len() as u64;
    let context = |tokens: [u64; 3]| match scope_path_count {
        0 => tokens[0],
        1..=10 => tokens[1],
        11.. => tokens[2],
    };
    if deliverables.iter().any(|d| SOURCES_OF_TRUTH.contains(&d.base_name())) {
        let writing = model.update_document * documents;
        let tokens = context(model.update_context) + writing + percent_of(writing, model.update_percent);
        return Some(DocumentEstimate {
            output_tokens: coefficients.with_safety(tokens),
            category: "doc_sot_update",
            confidence: 0.7,
        });
    }
    let any = |phrase: &[&str]| deliverables.iter().any(|d| holds(d.base_name(), phrase));
    let api_reference = any(&["api", "reference"]);
    let examples = any(&["examples"]) || any(&["example"]);
    let synthesis = api_reference || (examples && (any(&["research"]) || any(&["usage", "guide"])));
    synthesis.then(|| {
        let writing = model.synthesis_document * documents;
        let coordination = if documents >= 5 { percent_of(writing, model.coordination_percent) } else { 0 };
        let tokens = context(model.synthesis_context)
            + if api_reference { model.api_reference } else { 0 }
            + if examples { model.examples } else { 0 }
            + writing
            + coordination;
        DocumentEstimate {
            output_tokens: coefficients.with_safety(tokens),
            category: "doc_synthesis",
            confidence: 0.75,
        }
    })
}

fn percent_of(tokens: u64, percent: u64) -> u64 {
    scale(tokens, percent as f64 / 100.0)
}
