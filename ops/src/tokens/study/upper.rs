//! An upper bound for the next output of a stratum, with a stated chance, or what is missing for one.
//!
//! Outputs that were cut are bounds and stay in. Where ranks reach, the bound assumes nothing but that the next task is like
//! these (split conformal prediction); beyond the ceilings it rests on a log-normal fit that the data do not contradict, and
//! says so; else there is none.

use serde::Serialize;

use super::super::sample::{Sample, by_phase};
use crate::stats::lognormal::LogNormal;
use crate::stats::survival::{Observation, Survival};

/// Fewer outputs that were not cut are no ground for a fit.
const EXACT_MIN: f64 = 12.0;

/// A bound as a factor on the prediction.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "basis")]
pub enum Bound {
    /// By rank.
    Ranks {
        /// Actual over predicted tokens.
        factor: f64,
    },
    /// By a log-normal fit, beyond the ceilings.
    LogNormal {
        /// Actual over predicted tokens.
        factor: f64,
    },
    /// None.
    NotIdentifiable {
        /// Why.
        reason: &'static str,
        /// How many more phases would do.
        need: u64,
    },
}

impl Bound {
    /// The factor, where there is one.
    pub fn factor(&self) -> Option<f64> {
        match self {
            Self::Ranks { factor } | Self::LogNormal { factor } => Some(*factor),
            Self::NotIdentifiable { .. } => None,
        }
    }
}

/// The outputs of samples relative to their predictions, each phase with a weight of 1.
pub fn ratios<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Survival {
    let phases = by_phase(samples.into_iter().filter(|s| s.is_measured()));
    let observations = phases.iter().flat_map(|phase| {
        let weight = 1.0 / phase.len() as f64;
        phase.iter().map(move |s| Observation {
            value: s.actual as f64 / s.predicted as f64,
            weight,
            censored: s.is_cut(),
        })
    });
    Survival::of(observations.collect())
}

/// What the next output lies at or below with the chance `coverage`.
pub fn bound(ratios: &Survival, coverage: f64) -> Bound {
    let weight = |all: bool| -> f64 {
        ratios.observations().iter().filter(|o| all || !o.censored).map(|o| o.weight).sum()
    };
    let (n, exact) = (weight(true), weight(false));
    let phases_min = (coverage / (1.0 - coverage) - 1e-9).ceil();
    if n < phases_min - 1e-9 {
        let need = whole(phases_min - n);
        return Bound::NotIdentifiable { reason: "too few phases", need };
    }
    if let Some(factor) = ratios.quantile((coverage * (n + 1.0) / n).min(1.0)) {
        return Bound::Ranks { factor };
    }
    // So many more that are not cut would bring the quantile below the ceilings.
    let uncut = whole((coverage * n - exact) / (1.0 - coverage)).max(1);
    match LogNormal::fit(ratios, EXACT_MIN) {
        Some(fit) if !fit.is_contradicted(ratios) => Bound::LogNormal { factor: fit.next_below(coverage) },
        Some(_) => Bound::NotIdentifiable { reason: "beyond the ceilings, and not log-normal", need: uncut },
        None => {
            let need = whole(EXACT_MIN - exact).max(1).min(uncut);
            Bound::NotIdentifiable { reason: "beyond the ceilings, with few uncut outputs", need }
        }
    }
}

fn whole(number: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let number = (number - 1e-9).ceil() as u64;
    number
}
