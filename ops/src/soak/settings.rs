//! What a `[soaks.NAME]` section of `ops.toml` says: how long, how often, and what is counted how.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::evidence::{Counting, Metric, Rule, Soak};
use crate::probe::Rows;

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

/// One metric as it is described: by exactly one of `sql`, `units` and `tokens`.
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
    /// How long a unit is left alone before it is counted, as `{until}`; a bad one may still become good later.
    pub settle: Option<Span>,
    /// One row of two whole numbers: units and good ones. `{started}`, `{until}` and `{run}` are put in as quoted text.
    pub sql: Option<String>,
    /// Keys of bad units, one a row; a few are enough.
    pub bad: Option<String>,
    /// Rows that are units, in words that every kind of database understands; `{started}` and `{until}` are put in.
    pub units: Option<Rows>,
    /// Columns of a unit that have these values when it is good. NULL is no value.
    #[serde(default)]
    pub good: BTreeMap<String, String>,
    /// Where a good unit has a row too.
    pub found_in: Option<Found>,
    /// Units that the plan's run touched are left out: they are not of the window.
    #[serde(default)]
    pub without_run: bool,
    /// Tokens that must open what they are for, and nothing else.
    pub tokens: Option<Tokens>,
}

/// Where a good unit has a row too.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// The table, its key, and what must hold for the row.
    pub rows: Rows,
    /// The column that holds the key of the unit.
    pub by: String,
}

/// Tests of tokens against a function that the public may call.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// Sessions that have a token, with a key of one column.
    pub sessions: Rows,
    /// The column that holds the token.
    pub token: String,
    /// Only sessions that have a row there: a token of one without a profile opens nothing, and that is not its fault.
    pub with: Option<Found>,
    /// Sessions whose token has expired.
    pub expired: Option<Rows>,
    /// How many of them a look tries.
    #[serde(default = "sample")]
    pub sample: usize,
    /// The function, which only reads.
    pub function: String,
    /// Its parameter for the key of a session.
    pub session_parameter: String,
    /// Its parameter for the token.
    pub token_parameter: String,
}

fn sample() -> usize {
    5
}

impl MetricSettings {
    fn check(&self) -> Result<(), String> {
        let sources = [self.sql.is_some(), self.units.is_some(), self.tokens.is_some()];
        if sources.iter().filter(|is_there| **is_there).count() != 1 {
            return Err("needs exactly one of `sql`, `units` and `tokens`".to_owned());
        }
        if self.sql.as_ref().is_some_and(|sql| sql.trim().is_empty()) {
            return Err("has no statement".to_owned());
        }
        if self.bad.is_some() && self.sql.is_none() {
            return Err("`bad` goes with `sql`".to_owned());
        }
        let has_test = !self.good.is_empty() || self.found_in.is_some();
        if self.units.is_some() != has_test {
            return Err("`units` needs `good` or `found_in`, and these need `units`".to_owned());
        }
        if self.without_run && self.units.is_none() {
            return Err("`without_run` goes with `units`; a statement can use `{run}`".to_owned());
        }
        let found = self.found_in.iter().map(|found| &found.rows);
        let tokens = self.tokens.iter().flat_map(|tokens| {
            [Some(&tokens.sessions), tokens.with.as_ref().map(|with| &with.rows), tokens.expired.as_ref()]
        });
        for rows in self.units.iter().chain(found).chain(tokens.flatten()) {
            rows.check()?;
        }
        let is_one = |rows: &Rows| rows.key.len() == 1;
        if self.found_in.is_some() && !self.units.iter().all(is_one) {
            return Err("`found_in` needs units with a key of one column".to_owned());
        }
        if let Some(tokens) = &self.tokens
            && (tokens.sample == 0 || !is_one(&tokens.sessions) || !tokens.expired.iter().all(is_one))
        {
            return Err("`tokens` needs a sample and sessions with a key of one column".to_owned());
        }
        Ok(())
    }
}

impl Settings {
    /// What is wrong with the settings, if anything.
    pub fn check(&self) -> Result<(), String> {
        let terms = self.terms("soak", String::new(), None, "2000-01-01T00:00:00Z".to_owned());
        terms.check()?;
        for metric in &self.metrics {
            metric.check().map_err(|what| format!("metric `{}` {what}", metric.name))?;
        }
        Ok(())
    }

    /// Whether a test of tokens is among the metrics, which needs somebody of the public.
    pub fn has_tokens(&self) -> bool {
        self.metrics.iter().any(|metric| metric.tokens.is_some())
    }

    /// The first metric that only a database takes which understands SQL.
    pub fn needs_sql(&self) -> Option<&str> {
        self.metrics.iter().find(|metric| metric.sql.is_some()).map(|metric| metric.name.as_str())
    }

    /// The terms of a soak that begins now; `target` and `run` as in [`Soak`].
    pub fn terms(&self, name: &str, target: String, run: Option<String>, started: String) -> Soak {
        let metrics = self.metrics.iter().map(|metric| Metric {
            // What a look tries with tokens, no other look tries.
            counting: if metric.tokens.is_some() { Counting::ThisLook } else { metric.counting },
            quiet_max_s: metric.quiet_max.map(|span| span.0),
            settle_s: metric.settle.map(|span| span.0),
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
    fn a_metric_has_one_source_and_what_that_needs() {
        let parse = |metric: &str| {
            let head = "name = 'm'\nwhat = 'units'\nrule = { never = { hidden_max = 0.1 } }\n";
            let metric: MetricSettings = toml::from_str(&format!("{head}{metric}")).unwrap();
            metric.check()
        };
        let units = "units = { table = 't', key = ['id'], where = ['at >= {started}'] }\n";
        let found = "found_in = { rows = { table = 'u', key = ['id'] }, by = 't_id' }\n";
        let tokens = "[tokens]\nsessions = { table = 's', key = ['id'] }\ntoken = 't'\nfunction = 'f'\n\
                      session_parameter = 'a'\ntoken_parameter = 'b'\n";
        for sound in
            ["sql = 'SELECT 1, 1'\nbad = 'SELECT 1'", &format!("{units}good = {{ v = '1' }}"), tokens]
        {
            assert_eq!(parse(sound), Ok(()), "{sound}");
        }
        assert_eq!(parse(&format!("{units}{found}without_run = true")), Ok(()));
        for (wrong, expected) in [
            ("", "exactly one of"),
            (&format!("sql = 'SELECT 1, 1'\n{units}good = {{ v = '1' }}"), "exactly one of"),
            ("sql = ' '", "has no statement"),
            (units, "needs `good` or `found_in`"),
            ("sql = 'SELECT 1, 1'\ngood = { v = '1' }", "these need `units`"),
            (&format!("{units}good = {{ v = '1' }}\nbad = 'SELECT 1'"), "`bad` goes with `sql`"),
            ("sql = 'SELECT 1, 1'\nwithout_run = true", "`without_run` goes with `units`"),
            (&format!("{}{found}", units.replace("['id']", "['id', 'n']")), "a key of one column"),
            (&format!("{}good = {{ v = '1' }}", units.replace("'t'", "'a.b.c'")), "no name of a table"),
            (&format!("{tokens}sample = 0"), "needs a sample"),
        ] {
            let found = parse(wrong).unwrap_err();
            assert!(found.contains(expected), "{wrong}: {found}");
        }
    }

    #[test]
    fn spans_have_a_unit() {
        let read = |text: &str| text.parse().ok().map(|Span(seconds)| seconds);
        assert_eq!(["90s", "5m", "6h", "2d"].map(read), [Some(90), Some(300), Some(21_600), Some(172_800)]);
        assert_eq!(["", "5", "0m", "-1h", "6 h", "h", "99999999999999999999d", "5µ"].map(read), [None; 8]);
    }
}
