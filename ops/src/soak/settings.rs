//! What a `[soaks.NAME]` section of `ops.toml` says: how long, how often, and what is counted how.

use serde::Deserialize;

use super::evidence::{Counting, Metric, Rule, Soak};

/// A soak as it is described.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How long: `6h`.
    pub window: Span,
    /// From look to look: `5m`.
    pub every: Span,
    /// Longest time without a look; three times `every` without it.
    pub gap_max: Option<Span>,
    /// Largest share of failed readings of a metric.
    #[serde(default = "blind_max")]
    pub blind_max: f64,
    /// Chance of a false NO-GO over all metrics and looks.
    #[serde(default = "error_rate")]
    pub error_rate: f64,
    /// What is counted.
    pub metrics: Vec<MetricSettings>,
}

fn blind_max() -> f64 {
    0.1
}

fn error_rate() -> f64 {
    0.05
}

/// One metric as it is described.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricSettings {
    /// Its name.
    pub name: String,
    /// What is counted, in a few words.
    pub what: String,
    /// When it is good.
    pub rule: Rule,
    /// What a reading counts.
    #[serde(default)]
    pub counting: Counting,
    /// Longest time without a new unit.
    pub quiet_max: Option<Span>,
    /// One row of two whole numbers: units and good ones. `{started}` and `{run}` are put in as quoted text.
    pub sql: String,
    /// Keys of bad units, one a row; a few are enough.
    pub bad: Option<String>,
}

impl Settings {
    /// What is wrong with the settings, if anything.
    pub fn check(&self) -> Result<(), String> {
        let terms = self.terms("soak", String::new(), None, "2000-01-01T00:00:00Z".to_owned());
        terms.check()?;
        match self.metrics.iter().find(|metric| metric.sql.trim().is_empty()) {
            Some(metric) => Err(format!("metric `{}` has no statement", metric.name)),
            None => Ok(()),
        }
    }

    /// The terms of a soak that begins now; `target` and `run` as in [`Soak`].
    pub fn terms(&self, name: &str, target: String, run: Option<String>, started: String) -> Soak {
        let metrics = self.metrics.iter().map(|metric| Metric {
            counting: metric.counting,
            quiet_max_s: metric.quiet_max.map(|span| span.0),
            ..Metric::new(&metric.name, &metric.what, metric.rule)
        });
        Soak {
            target,
            run,
            started,
            window_s: self.window.0,
            every_s: self.every.0,
            gap_max_s: self.gap_max.map_or(self.every.0.saturating_mul(3), |span| span.0),
            blind_max: self.blind_max,
            error_rate: self.error_rate,
            ..Soak::new(name, metrics.collect())
        }
    }
}

/// A span of whole seconds, above zero, written as `90s`, `5m`, `6h` or `2d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Span(pub u64);

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is no span: expected a whole number and a unit, as 90s, 5m, 6h or 2d");
        let unit = text.chars().next_back().ok_or_else(wrong)?;
        let factor = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return Err(wrong()),
        };
        let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
        number.checked_mul(factor).filter(|seconds| *seconds > 0).map(Self).ok_or_else(wrong)
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_unit() {
        let read = |text: &str| text.parse().ok().map(|Span(seconds)| seconds);
        assert_eq!(["90s", "5m", "6h", "2d"].map(read), [Some(90), Some(300), Some(21_600), Some(172_800)]);
        assert_eq!(["", "5", "0m", "-1h", "6 h", "h", "99999999999999999999d", "5µ"].map(read), [None; 8]);
    }
}
