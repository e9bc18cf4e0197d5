//! The coefficients that a calibration can move: those that predictions are linear in.
//!
//! Factors (safety, files, buffers) and the shares of the models of documents stay as they are: outputs cannot tell them from
//! what they multiply.

use super::super::canonical::Complexity;
use super::coefficients::{Coefficients, Marginal};
use super::deliverable::Kind;

/// A coefficient that a calibration can move.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Parameter {
    /// Tokens per task.
    Overhead(String, Complexity),
    /// Tokens per deliverable: its kind, and whether it is new.
    Marginal(Kind, bool),
    /// Tokens of a task of documents only.
    Document(DocumentPart),
}

/// What the tokens of a task of documents are for. A context counts once in a task; which of the three depends on how many
/// paths the task was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DocumentPart {
    /// Finding out what a synthesis is about.
    SynthesisContext(usize),
    /// An API reference.
    ApiReference,
    /// Worked examples.
    Examples,
    /// A document of a synthesis.
    SynthesisDocument,
    /// Finding out what a source-of-truth document must now say.
    UpdateContext(usize),
    /// A document of an update.
    UpdateDocument,
}

impl Parameter {
    /// Its path in `ops.toml` below `estimator.coefficients`; a place in a list is a number, from 0.
    pub fn path(&self) -> String {
        match self {
            Self::Overhead(category, complexity) => format!("overhead.{category}.{}", complexity.as_str()),
            Self::Marginal(kind, new) => {
                format!("marginals.{}.{}", kind.as_str(), if *new { "new" } else { "modify" })
            }
            Self::Document(part) => match part {
                DocumentPart::SynthesisContext(at) => format!("documents.synthesis_context.{at}"),
                DocumentPart::ApiReference => "documents.api_reference".to_owned(),
                DocumentPart::Examples => "documents.examples".to_owned(),
                DocumentPart::SynthesisDocument => "documents.synthesis_document".to_owned(),
                DocumentPart::UpdateContext(at) => format!("documents.update_context.{at}"),
                DocumentPart::UpdateDocument => "documents.update_document".to_owned(),
            },
        }
    }

    /// Whether it counts once in every prediction of its stratum.
    pub fn is_base(&self) -> bool {
        match self {
            Self::Overhead(..) => true,
            Self::Marginal(..) => false,
            Self::Document(part) => {
                matches!(part, DocumentPart::SynthesisContext(_) | DocumentPart::UpdateContext(_))
            }
        }
    }

    /// Its value.
    pub fn of(&self, coefficients: &Coefficients) -> u64 {
        let documents = &coefficients.documents;
        match self {
            Self::Overhead(category, complexity) => coefficients.overhead(category, *complexity),
            Self::Marginal(kind, new) => {
                let Marginal { new: write, modify } = coefficients.marginals.of(*kind);
                if *new { write } else { modify }
            }
            Self::Document(part) => match part {
                DocumentPart::SynthesisContext(at) => documents.synthesis_context[*at],
                DocumentPart::ApiReference => documents.api_reference,
                DocumentPart::Examples => documents.examples,
                DocumentPart::SynthesisDocument => documents.synthesis_document,
                DocumentPart::UpdateContext(at) => documents.update_context[*at],
                DocumentPart::UpdateDocument => documents.update_document,
            },
        }
    }

    /// Gives it another value.
    pub fn set(&self, coefficients: &mut Coefficients, value: u64) {
        let place = match self {
            Self::Overhead(category, complexity) => {
                coefficients.overhead.entry(category.clone()).or_default().entry(*complexity).or_default()
            }
            Self::Marginal(kind, new) => {
                let marginal = coefficients.marginals.of_mut(*kind);
                if *new { &mut marginal.new } else { &mut marginal.modify }
            }
            Self::Document(part) => {
                let documents = &mut coefficients.documents;
                match part {
                    DocumentPart::SynthesisContext(at) => &mut documents.synthesis_context[*at],
                    DocumentPart::ApiReference => &mut documents.api_reference,
                    DocumentPart::Examples => &mut documents.examples,
                    DocumentPart::SynthesisDocument => &mut documents.synthesis_document,
                    DocumentPart::UpdateContext(at) => &mut documents.update_context[*at],
                    DocumentPart::UpdateDocument => &mut documents.update_document,
                }
            }
        };
        *place = value;
    }
}
