//! The `[estimator]` part of `ops.toml`: the coefficients, and how a calibration may change them.
//!
//! What a calibration is judged by stands here, in the file, before any data is looked at.

use serde::{Deserialize, Serialize};

use super::{Coefficients, ESTIMATOR_VERSION};

/// The settings of the estimator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Version of the formulas that the coefficients are for.
    pub version: u32,
    /// The numbers.
    pub coefficients: Coefficients,
    /// How they may be changed.
    #[serde(default)]
    pub calibration: Calibration,
}

/// How a calibration may change the coefficients, and what a proposal must hold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Calibration {
    /// The share of outputs that a prediction should be enough for.
    pub quantile: f64,
    /// The share of outputs that an upper budget should be enough for.
    pub coverage: f64,
    /// How strongly the present values are held to: the price of changing a coefficient by all of itself, in the loss of a
    /// task that is off by all of its prediction.
    pub ridge: f64,
    /// Which part of the way to the fitted values is gone, on a scale of ratios.
    pub damping: f64,
    /// The largest change of a coefficient in one step, as a share of it.
    pub step_max: f64,
    /// Fewer phases than this are no sample.
    pub phases_min: u64,
    /// Fewer phases of a stratum than this do not move its coefficients.
    pub stratum_phases_min: u64,
    /// The share of the phases, in whole runs and the latest of them, that a proposal is judged by.
    pub holdout_share: f64,
    /// The seed of everything drawn at random.
    pub seed: u64,
}

impl Default for Calibration {
    fn default() -> Self {
        Self {
            quantile: 0.95,
            coverage: 0.9,
            ridge: 0.01,
            damping: 0.5,
            step_max: 0.5,
            phases_min: 20,
            stratum_phases_min: 9,
            holdout_share: 0.3,
            seed: 1,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: ESTIMATOR_VERSION,
            coefficients: Coefficients::default(),
            calibration: Calibration::default(),
        }
    }
}

impl Settings {
    /// The first setting that cannot be used: its path below `estimator`, and why.
    pub fn check(&self) -> Result<(), (String, String)> {
        if self.version != ESTIMATOR_VERSION {
            let why = format!(
                "the formulas are of version {ESTIMATOR_VERSION}, these coefficients of {}",
                self.version
            );
            return Err(("version".to_owned(), why));
        }
        self.coefficients.check().map_err(|(path, why)| (format!("coefficients.{path}"), why))?;
        let c = &self.calibration;
        let share = |name: &str, value: f64, from: f64, to: f64| {
            let fits = (from..=to).contains(&value);
            if fits {
                Ok(())
            } else {
                Err((format!("calibration.{name}"), format!("{value} is not between {from} and {to}")))
            }
        };
        share("quantile", c.quantile, 0.5, 0.999)?;
        share("coverage", c.coverage, 0.5, 0.999)?;
        share("ridge", c.ridge, 0.0, 100.0)?;
        share("damping", c.damping, 0.01, 1.0)?;
        share("step_max", c.step_max, 0.01, 0.9)?;
        share("holdout_share", c.holdout_share, 0.1, 0.5)?;
        share("phases_min", c.phases_min as f64, 10.0, 1e6)?;
        share("stratum_phases_min", c.stratum_phases_min as f64, 5.0, 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_be_used_are_named() {
        assert_eq!(Settings::default().check(), Ok(()));
        let with = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings.check().unwrap_err().0
        };
        assert_eq!(with(|s| s.version = 9), "version");
        assert_eq!(with(|s| s.coefficients.safety = f64::NAN), "coefficients.safety");
        assert_eq!(
            with(|s| s.coefficients.marginals.sql.modify = u64::MAX),
            "coefficients.marginals.sql.modify"
        );
        assert_eq!(with(|s| s.coefficients.existing.lines.below.reverse()), "coefficients.existing.lines");
        assert_eq!(with(|s| s.coefficients.existing.least = 3.0), "coefficients.existing.least");
        assert_eq!(with(|s| s.coefficients.budget.buffer = 0.0), "coefficients.budget.buffer");
        assert_eq!(with(|s| s.calibration.quantile = 1.0), "calibration.quantile");
        assert_eq!(with(|s| s.calibration.stratum_phases_min = 1), "calibration.stratum_phases_min");
    }
}
