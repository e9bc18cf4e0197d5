//! A log-normal distribution fitted to values of which some are only known from below, and its bound for the next value.
//!
//! A fit beyond what was seen is an assumption. It is only made where what was seen does not speak against it.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};
use statrs::function::erf::erfc;

use super::survival::Survival;

/// A fitted distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogNormal {
    /// Mean of the logarithms.
    pub mu: f64,
    /// Standard deviation of the logarithms.
    pub sigma: f64,
    /// Weight of the values that are known exactly.
    exact: f64,
    /// All weight.
    all: f64,
}

/// Steps of the fit; it stops earlier when nothing moves.
const STEPS_MAX: u32 = 500;

/// How far the fit may be from what was seen, times the root of the weight. A fit of its own data is that far in one of a
/// hundred samples (Lilliefors 1967).
const DISTANCE_MAX: f64 = 1.031;

impl LogNormal {
    /// By maximum likelihood (expectation and maximisation in turn); `None` for less than a weight of `exact_min` of exact
    /// values, for values that are not above 0, and where all are equal.
    pub fn fit(survival: &Survival, exact_min: f64) -> Option<Self> {
        let observations = survival.observations();
        let sum = |only_exact: bool| -> f64 {
            observations.iter().filter(|o| !(only_exact && o.censored)).map(|o| o.weight).sum()
        };
        let (all, exact) = (sum(false), sum(true));
        if exact < exact_min || observations.first().is_none_or(|o| o.value <= 0.0) {
            return None;
        }
        let logs: Vec<(f64, f64, bool)> =
            observations.iter().map(|o| (o.value.ln(), o.weight, o.censored)).collect();
        let mean = logs.iter().map(|(x, w, _)| x * w).sum::<f64>() / all;
        let variance = logs.iter().map(|(x, w, _)| w * (x - mean).powi(2)).sum::<f64>() / all;
        let (mut mu, mut sigma) = (mean, variance.sqrt());
        for _ in 0..STEPS_MAX {
            if sigma < 1e-9 {
                return None;
            }
            let (mut first, mut second) = (0.0, 0.0);
            for (x, weight, censored) in &logs {
                let (mean, square) = if *censored {
                    let z = (x - mu) / sigma;
                    let hazard = hazard(z);
                    let mean = mu + sigma * hazard;
                    (mean, mu * mu + sigma * sigma + sigma * (x + mu) * hazard)
                } else {
                    (*x, x * x)
                };
                first += weight * mean;
                second += weight * square;
            }
            let next = first / all;
            let spread = (second / all - next * next).max(0.0).sqrt();
            let moved = (next - mu).abs().max((spread - sigma).abs());
            (mu, sigma) = (next, spread);
            if moved < 1e-9 * sigma.max(1e-6) {
                break;
            }
        }
        (sigma > 1e-9).then_some(Self { mu, sigma, exact, all })
    }

    /// The share at or below a value.
    pub fn below(&self, value: f64) -> f64 {
        0.5 * erfc((self.mu - value.ln()) / self.sigma / std::f64::consts::SQRT_2)
    }

    /// What this share lies at or below, the fit taken as it is.
    pub fn quantile(&self, share: f64) -> f64 {
        let normal = Normal::standard().inverse_cdf(share);
        (self.mu + normal * self.sigma).exp()
    }

    /// Whether what was seen speaks against the fit, at a level of about one in a hundred.
    pub fn is_contradicted(&self, survival: &Survival) -> bool {
        let exact = survival.observations().iter().filter(|o| !o.censored);
        let distance = exact
            .map(|o| {
                let fitted = self.below(o.value);
                let before = survival.below(o.value.next_down());
                (survival.below(o.value) - fitted).abs().max((fitted - before).abs())
            })
            .fold(0.0, f64::max);
        distance * self.all.sqrt() > DISTANCE_MAX
    }

    /// What the next value lies at or below with this chance, the uncertainty of the fit included: a prediction limit with
    /// as many degrees of freedom as there are exact values.
    pub fn next_below(&self, share: f64) -> f64 {
        let freedom = (self.exact - 1.0).max(1.0);
        let t = StudentsT::new(0.0, 1.0, freedom).map_or(f64::NAN, |t| t.inverse_cdf(share));
        let widened = t * (1.0 + 1.0 / self.exact).sqrt() * (self.exact / freedom).sqrt();
        (self.mu + widened * self.sigma).exp()
    }
}

/// Density over what lies above, of the standard normal distribution; for large values by its continued fraction.
fn hazard(z: f64) -> f64 {
    if z > 25.0 {
        return z + 1.0 / (z + 2.0 / (z + 3.0 / z));
    }
    let density = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
    density / (0.5 * erfc(z / std::f64::consts::SQRT_2))
}

#[cfg(test)]
mod tests {
    use super::super::survival::Observation;
    use super::*;
    use crate::random::Random;

    fn draw(random: &mut Random) -> f64 {
        let (u, v) = (1.0 - random.unit(), random.unit());
        (-2.0 * u.ln()).sqrt() * (2.0 * std::f64::consts::PI * v).cos()
    }

    fn sample(random: &mut Random, n: usize, cut: f64) -> Survival {
        let values = (0..n).map(|_| (900.0_f64.ln() + 0.6 * draw(random)).exp());
        Survival::of(
            values.map(|v| Observation { value: v.min(cut), weight: 1.0, censored: v > cut }).collect(),
        )
    }

    #[test]
    fn finds_the_distribution_through_the_cut() {
        let mut random = Random::seeded(5);
        let fit = LogNormal::fit(&sample(&mut random, 20_000, 1500.0), 12.0).unwrap();
        assert!((fit.mu.exp() - 900.0).abs() < 12.0 && (fit.sigma - 0.6).abs() < 0.01, "{fit:?}");
        let few = sample(&mut random, 500, 1500.0);
        assert!(!LogNormal::fit(&few, 12.0).unwrap().is_contradicted(&few));
        assert!((hazard(24.9) - hazard(25.1) + 0.2).abs() < 1e-3);
    }

    #[test]
    fn what_is_not_log_normal_is_noticed() {
        let two = (0..200).map(|i| if i % 2 == 0 { 100.0 + f64::from(i) } else { 5000.0 + f64::from(i) });
        let survival =
            Survival::of(two.map(|value| Observation { value, weight: 1.0, censored: false }).collect());
        assert!(LogNormal::fit(&survival, 12.0).unwrap().is_contradicted(&survival));
    }

    #[test]
    fn too_little_is_no_fit() {
        let few = |n: u32, value: fn(u32) -> f64| {
            Survival::of(
                (0..n).map(|i| Observation { value: value(i), weight: 1.0, censored: false }).collect(),
            )
        };
        assert_eq!(LogNormal::fit(&few(5, |i| f64::from(i + 1)), 12.0), None);
        assert_eq!(LogNormal::fit(&few(50, |_| 7.0), 12.0), None);
        assert_eq!(LogNormal::fit(&few(50, f64::from), 12.0), None);
    }
}
