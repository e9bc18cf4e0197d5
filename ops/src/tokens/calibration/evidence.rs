//! Which attempts may move coefficients, and why the others may not.
//!
//! Every attempt is in one account. What a model wrote while nobody checked it, what was replayed, and what was predicted
//! with other coefficients is no evidence: the last has been used for the step from those to these, or never fitted them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::canonical::Complexity;
use super::super::estimator::{Coefficients, Features, Model};
use super::super::sample::{Sample, by_phase};
use crate::ids::sha256;

/// What is accepted for trying out. A proposal that rests on it cannot be applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Accept {
    /// Outcomes that were recorded before and replayed.
    pub recorded: bool,
    /// Outcomes that nobody verified.
    pub unverified: bool,
}

impl Accept {
    /// Whether anything is accepted that is no evidence.
    pub fn is_trial(self) -> bool {
        self.recorded || self.unverified
    }
}

/// An attempt that may move coefficients.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// The attempt.
    pub sample: &'a Sample,
    /// Its features.
    pub features: &'a Features,
}

impl Task<'_> {
    /// The stratum whose overhead it pays.
    pub fn stratum(&self) -> (&str, Complexity) {
        (self.features.output_category(), self.features.complexity)
    }
}

/// Attempts that may move coefficients, and an account of the others.
#[derive(Debug, Clone)]
pub struct Evidence<'a> {
    /// The attempts, in the order of their phases.
    pub tasks: Vec<Task<'a>>,
    /// Why the others may not, with how many of each.
    pub left_out: BTreeMap<&'static str, u64>,
}

impl<'a> Evidence<'a> {
    /// Sorts samples out.
    pub fn of(samples: &'a [Sample], coefficients: &Coefficients, accept: Accept) -> Self {
        let digest = coefficients.digest();
        let mut left_out = BTreeMap::new();
        let mut tasks = Vec::new();
        for sample in by_phase(samples).into_iter().flatten() {
            match judge(sample, coefficients, &digest, accept) {
                Ok(features) => tasks.push(Task { sample, features }),
                Err(why) => *left_out.entry(why).or_insert(0) += 1,
            }
        }
        Self { tasks, left_out }
    }

    /// The digest of what is evidence here: which attempts, with what outcome.
    pub fn digest(&self) -> String {
        let lines: String = self
            .tasks
            .iter()
            .map(|t| format!("{}\n{}\n{}\n{}\n", t.sample.run, t.sample.phase, t.sample.id, t.sample.actual))
            .collect();
        sha256(lines.as_bytes())
    }
}

fn judge<'a>(
    sample: &'a Sample,
    coefficients: &Coefficients,
    digest: &str,
    accept: Accept,
) -> Result<&'a Features, &'static str> {
    let when = |holds: bool, why: &'static str| if holds { Err(why) } else { Ok(()) };
    when(!sample.is_measured(), "without a token count")?;
    when(!accept.recorded && sample.source.as_deref() == Some("recorded"), "recorded outcomes, replayed")?;
    // Leaving out what was cut because it is no verified success would leave out exactly the long outputs.
    when(!accept.unverified && !sample.is_cut() && sample.verified != Some(true), "not verified")?;
    when(!sample.success && !sample.is_cut(), "failed without being cut")?;
    let recorded = if accept.unverified {
        sample.digest.as_deref().unwrap_or(digest)
    } else {
        sample.digest.as_deref().unwrap_or_default()
    };
    when(recorded != digest, "predicted with other coefficients, or not known with which")?;
    let features = sample.features.as_ref().ok_or("features not recorded")?;
    when(matches!(features.model, Model::Unknown), "without deliverables")?;
    when(
        features.output_tokens(coefficients) != sample.predicted,
        "prediction that the features do not give",
    )?;
    Ok(features)
}
