//! The numbers of the prediction, apart from the formulas, so that a calibration can propose others.
//!
//! A set of coefficients is known by its digest; nothing may change one without changing the other.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::super::canonical::{Complexity, canonical_category};
use super::deliverable::{FileFeatures, Kind};
use crate::ids;

/// Tokens per task and per deliverable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coefficients {
    /// Tokens per task by canonical category and complexity. Aliases in a file are made canonical; two
    /// spellings of one category are refused.
    #[serde(deserialize_with = "canonical_keys")]
    pub overhead: BTreeMap<String, BTreeMap<Complexity, u64>>,
    /// Tokens per task where `overhead` has no entry.
    pub overhead_default: u64,
    /// Tokens per deliverable by kind.
    pub marginals: Marginals,
    /// The models of tasks that write only documents.
    pub documents: DocumentCoefficients,
    /// Factor on the sum, above 1 because a truncated answer costs a full retry.
    pub safety: f64,
    /// Tokens of a task whose deliverables are not known.
    pub without_deliverables: ByComplexity,
    /// How much harder than an ordinary file another one is to change.
    pub existing: Existing,
    /// The ceiling asked for.
    pub budget: BudgetCoefficients,
}

/// A number for each complexity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByComplexity {
    /// Low.
    pub low: u64,
    /// Medium.
    pub medium: u64,
    /// High.
    pub high: u64,
    /// Maintenance.
    pub maintenance: u64,
}

impl ByComplexity {
    /// The number of this complexity.
    pub fn of(&self, complexity: Complexity) -> u64 {
        match complexity {
            Complexity::Low => self.low,
            Complexity::Medium => self.medium,
            Complexity::High => self.high,
            Complexity::Maintenance => self.maintenance,
        }
    }
}

/// Factors on the tokens of a change, by what the file is like; their product is kept within bounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Existing {
    /// By lines.
    pub lines: Steps,
    /// By import statements.
    pub imports: Steps,
    /// By the deepest indentation in columns.
    pub max_indent: Steps,
    /// The least product.
    pub least: f64,
    /// The greatest product.
    pub most: f64,
}

/// A factor that rises in steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Steps {
    /// Limits, ascending, and the factor of what is below each.
    pub below: Vec<(u64, f64)>,
    /// The factor of everything else.
    pub otherwise: f64,
}

impl Steps {
    fn of(&self, value: u64) -> f64 {
        self.below.iter().find(|(limit, _)| value < *limit).map_or(self.otherwise, |(_, factor)| *factor)
    }
}

impl Existing {
    /// The factor of a file.
    pub fn factor(&self, file: FileFeatures) -> f64 {
        let product =
            self.lines.of(file.lines) * self.imports.of(file.imports) * self.max_indent.of(file.max_indent);
        product.max(self.least).min(self.most)
    }
}

/// What makes a ceiling of a prediction: `min(ceiling, max(floor, ⌊prediction × buffer⌋))`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetCoefficients {
    /// The usual factor.
    pub buffer: f64,
    /// The factor where the confidence is below `unsure_below`.
    pub unsure_buffer: f64,
    /// See `unsure_buffer`.
    pub unsure_below: f64,
    /// The factor for `many_from` deliverables and more, and for integration of high complexity.
    pub many_buffer: f64,
    /// See `many_buffer`.
    pub many_from: u64,
    /// The factor of the two models of documents.
    pub documents_buffer: f64,
    /// The largest ceiling in output tokens.
    pub ceiling: u64,
    /// The least ceilings in output tokens.
    pub floor: Floors,
}

/// The least ceilings by category. Of maintenance nothing is known, so it has the floor of small code in every category.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floors {
    /// Documents.
    pub docs: ByComplexity,
    /// Tests.
    pub tests: ByComplexity,
    /// Everything else.
    pub other: ByComplexity,
}

/// Tokens per deliverable of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marginals {
    /// A test.
    pub test: Marginal,
    /// A document.
    pub document: Marginal,
    /// A configuration file or a migration.
    pub configuration: Marginal,
    /// A user interface component.
    pub frontend: Marginal,
    /// SQL.
    pub sql: Marginal,
    /// Any other source file.
    pub source: Marginal,
}

/// Tokens for one deliverable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marginal {
    /// To write it anew.
    pub new: u64,
    /// To change an existing file of ordinary size.
    pub modify: u64,
}

/// Tokens of tasks that write only documents. The three values of a context are those without scope paths,
/// with up to ten, and with more: what is given need not be found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentCoefficients {
    /// Finding out what a synthesis is about.
    pub synthesis_context: [u64; 3],
    /// An API reference.
    pub api_reference: u64,
    /// Worked examples.
    pub examples: u64,
    /// Each document of a synthesis.
    pub synthesis_document: u64,
    /// Keeping five or more documents consistent, in percent of writing them.
    pub coordination_percent: u64,
    /// Finding out what a source-of-truth document must now say.
    pub update_context: [u64; 3],
    /// Each document of an update.
    pub update_document: u64,
    /// Not losing what the document said, in percent of writing it.
    pub update_percent: u64,
}

impl Marginals {
    /// Those of a kind.
    pub fn of(&self, kind: Kind) -> Marginal {
        match kind {
            Kind::Test => self.test,
            Kind::Document => self.document,
            Kind::Configuration => self.configuration,
            Kind::Frontend => self.frontend,
            Kind::Sql => self.sql,
            Kind::Source => self.source,
        }
    }

    /// Those of a kind, to be changed.
    pub fn of_mut(&mut self, kind: Kind) -> &mut Marginal {
        match kind {
            Kind::Test => &mut self.test,
            Kind::Document => &mut self.document,
            Kind::Configuration => &mut self.configuration,
            Kind::Frontend => &mut self.frontend,
            Kind::Sql => &mut self.sql,
            Kind::Source => &mut self.source,
        }
    }
}

/// No coefficient is larger: a prediction stays far from the ends of what is counted.
const TOKENS_MAX: u64 = 10_000_000;

impl Coefficients {
    /// The first coefficient that cannot be one: its path and why.
    pub fn check(&self) -> Result<(), (String, String)> {
        let factor = |path: &str, value: f64| {
            let fits = (0.01..=100.0).contains(&value);
            if fits { Ok(()) } else { Err((path.to_owned(), format!("{value} is not between 0.01 and 100"))) }
        };
        factor("safety", self.safety)?;
        for (name, steps) in [
            ("lines", &self.existing.lines),
            ("imports", &self.existing.imports),
            ("max_indent", &self.existing.max_indent),
        ] {
            let path = format!("existing.{name}");
            if !steps.below.is_sorted_by(|a, b| a.0 < b.0) {
                return Err((path, "the limits do not rise".to_owned()));
            }
            for value in steps.below.iter().map(|(_, factor)| *factor).chain([steps.otherwise]) {
                factor(&path, value)?;
            }
        }
        factor("existing.least", self.existing.least)?;
        factor("existing.most", self.existing.most)?;
        if self.existing.least > self.existing.most {
            return Err(("existing.least".to_owned(), "is above `most`".to_owned()));
        }
        let budget = &self.budget;
        for (name, value) in [
            ("buffer", budget.buffer),
            ("unsure_buffer", budget.unsure_buffer),
            ("many_buffer", budget.many_buffer),
            ("documents_buffer", budget.documents_buffer),
        ] {
            factor(&format!("budget.{name}"), value)?;
        }
        let tokens = self.overhead.iter().flat_map(|(category, row)| {
            row.iter().map(move |(complexity, tokens)| {
                (format!("overhead.{category}.{}", complexity.as_str()), *tokens)
            })
        });
        let marginals = Kind::ALL.into_iter().flat_map(|kind| {
            let Marginal { new, modify } = self.marginals.of(kind);
            [
                (format!("marginals.{}.new", kind.as_str()), new),
                (format!("marginals.{}.modify", kind.as_str()), modify),
            ]
        });
        let of = &self.documents;
        let contexts = of.synthesis_context.into_iter().chain(of.update_context);
        let documents = contexts
            .chain([of.api_reference, of.examples, of.synthesis_document, of.update_document])
            .map(|tokens| ("documents".to_owned(), tokens));
        let default = ("overhead_default".to_owned(), self.overhead_default);
        match tokens
            .chain(marginals)
            .chain(documents)
            .chain([default])
            .find(|(_, tokens)| *tokens > TOKENS_MAX)
        {
            Some((path, tokens)) => Err((path, format!("{tokens} is more than {TOKENS_MAX}"))),
            None => Ok(()),
        }
    }

    /// Tokens per task of a canonical category.
    pub fn overhead(&self, category: &str, complexity: Complexity) -> u64 {
        let known = self.overhead.get(category).and_then(|row| row.get(&complexity));
        known.copied().unwrap_or(self.overhead_default)
    }

    /// The first 12 hexadecimal digits of the SHA-256 of the coefficients as JSON without spaces.
    pub fn digest(&self) -> String {
        let json = serde_json::to_vec(self).expect("numbers under string keys are JSON");
        let mut digest = ids::sha256(&json);
        digest.truncate(12);
        digest
    }
}

impl Default for Coefficients {
    /// The coefficients in force: `implementation` low and medium and `tests` low are calibrated on recorded
    /// runs, the rest are the first guesses.
    fn default() -> Self {
        let row = |[low, medium, high]: [u64; 3]| {
            BTreeMap::from([(Complexity::Low, low), (Complexity::Medium, medium), (Complexity::High, high)])
        };
        let overhead = [
            ("backend", [2000, 3000, 5000]),
            ("configuration", [800, 1500, 2500]),
            ("database", [2000, 3000, 5000]),
            ("deployment", [2000, 3000, 5000]),
            ("docs", [1500, 2500, 3500]),
            ("frontend", [2500, 3500, 5500]),
            ("implementation", [634, 1176, 5000]),
            ("integration", [3000, 4000, 6000]),
            ("refactoring", [2500, 3500, 5500]),
            ("tests", [915, 2500, 4000]),
        ];
        let marginal = |new, modify| Marginal { new, modify };
        Self {
            overhead: overhead
                .into_iter()
                .map(|(category, values)| (category.to_owned(), row(values)))
                .collect(),
            overhead_default: 2000,
            marginals: Marginals {
                test: marginal(1400, 600),
                document: marginal(500, 400),
                configuration: marginal(1000, 500),
                frontend: marginal(2800, 1100),
                sql: marginal(1500, 600),
                source: marginal(2000, 700),
            },
            documents: DocumentCoefficients {
                synthesis_context: [2500, 2000, 1500],
                api_reference: 1200,
                examples: 1400,
                synthesis_document: 850,
                coordination_percent: 12,
                update_context: [3000, 2200, 1500],
                update_document: 900,
                update_percent: 15,
            },
            safety: 1.3,
            without_deliverables: all(8192, 12288, 16384, 8192),
            existing: Existing {
                lines: Steps { below: vec![(50, 0.7), (200, 1.0), (500, 1.3)], otherwise: 1.5 },
                imports: Steps { below: vec![(5, 0.9), (15, 1.0)], otherwise: 1.2 },
                max_indent: Steps { below: vec![(8, 0.9), (16, 1.0)], otherwise: 1.2 },
                least: 0.5,
                most: 2.0,
            },
            budget: BudgetCoefficients {
                buffer: 1.2,
                unsure_buffer: 1.4,
                unsure_below: 0.7,
                many_buffer: 1.6,
                many_from: 8,
                documents_buffer: 2.2,
                ceiling: 64_000,
                floor: Floors {
                    docs: all(4096, 8192, 12288, 8192),
                    tests: all(6144, 8192, 12288, 8192),
                    other: all(8192, 12288, 16384, 8192),
                },
            },
        }
    }
}

fn all(low: u64, medium: u64, high: u64, maintenance: u64) -> ByComplexity {
    ByComplexity { low, medium, high, maintenance }
}

/// Reads the overheads under canonical categories: an entry under an alias would never be found.
fn canonical_keys<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, BTreeMap<Complexity, u64>>, D::Error> {
    let mut canonical = BTreeMap::new();
    for (key, row) in BTreeMap::<String, BTreeMap<Complexity, u64>>::deserialize(deserializer)? {
        let category = canonical_category(&key).into_owned();
        if canonical.contains_key(&category) {
            return Err(de::Error::custom(format!("two overheads for the category `{category}`")));
        }
        canonical.insert(category, row);
    }
    Ok(canonical)
}
