//! What a prediction rests on, written down: enough to predict again with other coefficients, without the workspace.
//!
//! Features are taken when a prediction is made and stored with its event. A prediction is a function of features and
//! coefficients alone; nothing here reads a file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::canonical::{Complexity, canonical_category};
use super::budget::{self, Choice};
use super::coefficients::{Coefficients, Marginal};
use super::deliverable::{Deliverable, FileFeatures, Kind};
use super::parameter::Parameter;
use super::{Estimate, EstimateInput, documents, scale};

/// The features of one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Features {
    /// Version of what the fields mean.
    v: u32,
    /// The canonical category that was asked for; documents have one of their own in the prediction.
    pub category: String,
    /// The complexity.
    pub complexity: Complexity,
    /// Which formula applies, and what it is about.
    pub model: Model,
}

/// The formulas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Model {
    /// Nothing is known about what will be written.
    Unknown,
    /// The overhead of the task and the marginals of its deliverables.
    Sum {
        /// Which deliverables, by kind and file.
        items: Vec<Items>,
        /// How much they say about the work.
        confidence: f64,
    },
    /// Several documents, written from what is found out.
    Synthesis {
        /// How many documents.
        documents: u64,
        /// Whether an API reference is among them.
        api_reference: bool,
        /// Whether examples are.
        examples: bool,
        /// How many paths the task was given as context.
        scope_paths: u64,
    },
    /// Documents that record what is true about a project, brought up to date.
    Update {
        /// How many documents.
        documents: u64,
        /// How many paths the task was given as context.
        scope_paths: u64,
    },
}

/// Deliverables of one kind with like files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Items {
    /// What kind of text.
    pub kind: Kind,
    /// The file to be changed; none is a file to be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileFeatures>,
    /// How many.
    pub count: u64,
}

/// One summand of a prediction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Term {
    /// What it is for.
    pub name: String,
    /// The coefficient, by its path in `ops.toml` below `estimator.coefficients`.
    pub coefficient: String,
    /// How many times.
    pub count: u64,
    /// Tokens each.
    pub tokens: u64,
}

impl Features {
    /// The version that is written.
    const VERSION: u32 = 1;

    /// The features of a task.
    pub fn of(input: &EstimateInput<'_>) -> Self {
        let category = canonical_category(input.category);
        let deliverables: Vec<Deliverable> = input
            .deliverables
            .iter()
            .enumerate()
            .filter(|(_, text)| !text.trim().is_empty())
            .map(|(i, text)| Deliverable::read(text, input.files.get(i).copied().flatten(), &category))
            .collect();
        let model = if deliverables.is_empty() {
            Model::Unknown
        } else {
            documents::model(&deliverables, input.scope_path_count).unwrap_or_else(|| Model::Sum {
                items: grouped(&deliverables),
                confidence: confidence(&deliverables),
            })
        };
        Self { v: Self::VERSION, category: category.into_owned(), complexity: input.complexity, model }
    }

    /// Features as they were stored; `None` for a text that does not hold any of this version.
    pub fn parse(json: &str) -> Option<Self> {
        let features: Self = serde_json::from_str(json).ok()?;
        (features.v == Self::VERSION).then_some(features)
    }

    /// Features as they are stored.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("numbers and words are JSON")
    }

    /// How many deliverables.
    pub fn deliverables(&self) -> u64 {
        match &self.model {
            Model::Unknown => 0,
            Model::Sum { items, .. } => items.iter().fold(0, |sum, i| sum.saturating_add(i.count)),
            Model::Synthesis { documents, .. } | Model::Update { documents, .. } => *documents,
        }
    }

    /// The canonical category of the prediction: tasks that write only documents have their own.
    pub fn output_category(&self) -> &str {
        match &self.model {
            Model::Synthesis { .. } => "doc_synthesis",
            Model::Update { .. } => "doc_sot_update",
            Model::Sum { items, .. } if items.iter().all(|i| i.kind == Kind::Document) => "docs",
            Model::Sum { .. } | Model::Unknown => &self.category,
        }
    }

    /// How much the deliverables say about the work, from 0.5 to 1.
    pub fn confidence(&self) -> f64 {
        match &self.model {
            Model::Unknown => 0.5,
            Model::Sum { confidence, .. } => *confidence,
            Model::Synthesis { .. } => 0.75,
            Model::Update { .. } => 0.7,
        }
    }

    /// The summands of the prediction; their sum times the safety factor is the prediction, except that a task without
    /// known deliverables has one summand that already is it.
    pub fn terms(&self, coefficients: &Coefficients) -> Vec<Term> {
        match &self.model {
            Model::Unknown => vec![Term {
                name: "no deliverables are known".to_owned(),
                coefficient: format!("without_deliverables.{}", self.complexity.as_str()),
                count: 1,
                tokens: coefficients.without_deliverables.of(self.complexity),
            }],
            Model::Sum { items, .. } => self.sum_terms(coefficients, items),
            Model::Synthesis { .. } | Model::Update { .. } => documents::terms(coefficients, &self.model),
        }
    }

    fn sum_terms(&self, coefficients: &Coefficients, items: &[Items]) -> Vec<Term> {
        let category = self.output_category();
        let complexity = self.complexity.as_str();
        let known = coefficients.overhead.get(category).is_some_and(|row| row.contains_key(&self.complexity));
        let overhead = Term {
            name: format!("overhead of {category}, {complexity}"),
            coefficient: if known {
                format!("overhead.{category}.{complexity}")
            } else {
                "overhead_default".to_owned()
            },
            count: 1,
            tokens: coefficients.overhead(category, self.complexity),
        };
        let item = |items: &Items| {
            let (kind, Marginal { new, modify }) =
                (items.kind.as_str(), coefficients.marginals.of(items.kind));
            let (name, field, tokens) = match items.file {
                None => (format!("{kind}, new"), "new", new),
                Some(file) => {
                    let factor = coefficients.existing.factor(file);
                    let FileFeatures { lines, imports, max_indent } = file;
                    let about =
                        format!("{lines} lines, {imports} imports, indent {max_indent}: × {factor:.3}");
                    (format!("{kind}, to change ({about})"), "modify", scale(modify, factor))
                }
            };
            Term { name, coefficient: format!("marginals.{kind}.{field}"), count: items.count, tokens }
        };
        [overhead].into_iter().chain(items.iter().map(item)).collect()
    }

    /// The output tokens that these coefficients predict.
    pub fn output_tokens(&self, coefficients: &Coefficients) -> u64 {
        let sum = self
            .terms(coefficients)
            .iter()
            .fold(0_u64, |sum, term| sum.saturating_add(term.tokens.saturating_mul(term.count)));
        if self.model == Model::Unknown { sum } else { scale(sum, coefficients.safety) }
    }

    /// The ceiling to ask for, and why.
    pub fn budget(&self, coefficients: &Coefficients) -> Choice {
        budget::choose(
            coefficients,
            self.output_tokens(coefficients),
            self.deliverables(),
            self.output_category(),
            self.complexity,
            self.confidence(),
        )
    }

    /// The prediction of these coefficients.
    pub fn estimate(&self, coefficients: &Coefficients) -> Estimate {
        Estimate {
            output_tokens: self.output_tokens(coefficients),
            category: self.output_category().to_owned(),
            confidence: self.confidence(),
            selected_budget: self.budget(coefficients).tokens,
        }
    }

    /// The coefficient that counts once in every prediction of such tasks: the overhead, or what it takes to find out what
    /// documents are about.
    pub fn base(&self) -> Option<Parameter> {
        match self.model {
            Model::Unknown => None,
            Model::Sum { .. } => {
                Some(Parameter::Overhead(self.output_category().to_owned(), self.complexity))
            }
            Model::Synthesis { .. } | Model::Update { .. } => documents::context(&self.model),
        }
    }

    /// The coefficients that the prediction is linear in, before the safety factor, with how often each counts; `None`
    /// where another formula applies.
    pub fn parameters(&self, coefficients: &Coefficients) -> Option<BTreeMap<Parameter, f64>> {
        let mut weights = BTreeMap::from([(self.base()?, 1.0)]);
        let Model::Sum { items, .. } = &self.model else {
            weights.extend(documents::shares(coefficients, &self.model));
            return Some(weights);
        };
        for item in items {
            let factor = item.file.map_or(1.0, |file| coefficients.existing.factor(file));
            *weights.entry(Parameter::Marginal(item.kind, item.file.is_none())).or_insert(0.0) +=
                item.count as f64 * factor;
        }
        Some(weights)
    }
}

/// Like deliverables together, in the order of the first of each.
fn grouped(deliverables: &[Deliverable]) -> Vec<Items> {
    let mut items: Vec<Items> = Vec::new();
    for deliverable in deliverables {
        let (kind, file) = (deliverable.kind, deliverable.existing);
        match items.iter_mut().find(|i| i.kind == kind && i.file == file) {
            Some(like) => like.count += 1,
            None => items.push(Items { kind, file, count: 1 }),
        }
    }
    items
}

/// 0.5, plus up to 0.3 for deliverables that name a file, plus up to 0.2 for those that say what to do.
fn confidence(deliverables: &[Deliverable]) -> f64 {
    let share = |what: fn(&Deliverable) -> bool| {
        deliverables.iter().filter(|d| what(d)).count() as f64 / deliverables.len() as f64
    };
    (0.5 + 0.3 * share(Deliverable::names_a_file) + 0.2 * share(Deliverable::says_what_to_do)).min(1.0)
}
