//! The numbers of the prediction, apart from the formulas, so that a calibration can propose others.
//!
//! A set of coefficients is known by its digest; nothing may change one without changing the other.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::super::canonical::{Complexity, canonical_category};
use super::scale;
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

impl Coefficients {
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

    /// The sum with its safety factor, cut to whole tokens.
    pub(super) fn with_safety(&self, tokens: u64) -> u64 {
        scale(tokens, self.safety)
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
        }
    }
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
