//! Tasks that write only documents: updates of a source of truth, and syntheses of several documents.
//!
//! Both are recognised by base names alone. Other documents are left to the general model.

use super::coefficients::Coefficients;
use super::deliverable::{Deliverable, words_of};
use super::features::{Model, Term};
use super::parameter::{DocumentPart, Parameter};
use super::scale;

/// Documents that record what is true about a project; an update must read them whole.
const SOURCES_OF_TRUTH: [&str; 5] =
    ["build_log.md", "build_history.md", "changelog.md", "history.md", "release_notes.md"];

/// From so many documents on, keeping them consistent takes something.
const COORDINATED: u64 = 5;

/// Whether the words stand in the name one after the other.
fn holds(name: &str, phrase: &[&str]) -> bool {
    let words: Vec<&str> = words_of(name).collect();
    words.windows(phrase.len()).any(|window| window == phrase)
}

/// The model of a task of documents only; `None` for every other task.
pub(super) fn model(deliverables: &[Deliverable], scope_path_count: usize) -> Option<Model> {
    if !deliverables.iter().all(Deliverable::is_document) {
        return None;
    }
    let (documents, scope_paths) = (deliverables.len() as u64, scope_path_count as u64);
    if deliverables.iter().any(|d| SOURCES_OF_TRUTH.contains(&d.base_name())) {
        return Some(Model::Update { documents, scope_paths });
    }
    let any = |phrase: &[&str]| deliverables.iter().any(|d| holds(d.base_name(), phrase));
    let api_reference = any(&["api", "reference"]);
    let examples = any(&["examples"]) || any(&["example"]);
    let synthesis = api_reference || (examples && (any(&["research"]) || any(&["usage", "guide"])));
    synthesis.then_some(Model::Synthesis { documents, api_reference, examples, scope_paths })
}

/// The summands of the two models; none of any other.
pub(super) fn terms(coefficients: &Coefficients, model: &Model) -> Vec<Term> {
    let of = &coefficients.documents;
    let term = |name: &str, coefficient: &str, count, tokens| Term {
        name: name.to_owned(),
        coefficient: format!("documents.{coefficient}"),
        count,
        tokens,
    };
    match *model {
        Model::Update { documents, scope_paths } => {
            let writing = of.update_document.saturating_mul(documents);
            vec![
                term(
                    "finding out what is true now",
                    "update_context",
                    1,
                    of.update_context[band(scope_paths)],
                ),
                term("document", "update_document", documents, of.update_document),
                term("keeping what they said", "update_percent", 1, percent_of(writing, of.update_percent)),
            ]
        }
        Model::Synthesis { documents, api_reference, examples, scope_paths } => {
            let writing = of.synthesis_document.saturating_mul(documents);
            let context = of.synthesis_context[band(scope_paths)];
            let mut terms = vec![term("finding out", "synthesis_context", 1, context)];
            if api_reference {
                terms.push(term("API reference", "api_reference", 1, of.api_reference));
            }
            if examples {
                terms.push(term("examples", "examples", 1, of.examples));
            }
            terms.push(term("document", "synthesis_document", documents, of.synthesis_document));
            if documents >= COORDINATED {
                let tokens = percent_of(writing, of.coordination_percent);
                terms.push(term("keeping them consistent", "coordination_percent", 1, tokens));
            }
            terms
        }
        Model::Unknown | Model::Sum { .. } => Vec::new(),
    }
}

/// Which of the three contexts applies: what is given need not be found out.
fn band(scope_paths: u64) -> usize {
    match scope_paths {
        0 => 0,
        1..=10 => 1,
        11.. => 2,
    }
}

/// The context of a model of documents.
pub(super) fn context(model: &Model) -> Option<Parameter> {
    let part = match *model {
        Model::Update { scope_paths, .. } => DocumentPart::UpdateContext(band(scope_paths)),
        Model::Synthesis { scope_paths, .. } => DocumentPart::SynthesisContext(band(scope_paths)),
        Model::Unknown | Model::Sum { .. } => return None,
    };
    Some(Parameter::Document(part))
}

/// What the prediction is linear in beside the context, and how often each counts: what is a percentage of writing goes with
/// the documents.
pub(super) fn shares(coefficients: &Coefficients, model: &Model) -> Vec<(Parameter, f64)> {
    let of = &coefficients.documents;
    let written = |documents: u64, percent: u64| documents as f64 * (1.0 + percent as f64 / 100.0);
    let shares = match *model {
        Model::Update { documents, .. } => {
            vec![(DocumentPart::UpdateDocument, written(documents, of.update_percent))]
        }
        Model::Synthesis { documents, api_reference, examples, .. } => {
            let percent = if documents >= COORDINATED { of.coordination_percent } else { 0 };
            let mut shares = vec![(DocumentPart::SynthesisDocument, written(documents, percent))];
            shares.extend(api_reference.then_some((DocumentPart::ApiReference, 1.0)));
            shares.extend(examples.then_some((DocumentPart::Examples, 1.0)));
            shares
        }
        Model::Unknown | Model::Sum { .. } => Vec::new(),
    };
    shares.into_iter().map(|(part, share)| (Parameter::Document(part), share)).collect()
}

fn percent_of(tokens: u64, percent: u64) -> u64 {
    scale(tokens, percent as f64 / 100.0)
}
