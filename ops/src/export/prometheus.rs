//! Metrics in the text format of Prometheus, for the textfile collector: no timestamps, help and labels escaped.

use std::fmt::Write;

use super::ExportError;

/// What kind of number a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows; its name ends in `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// A metric with its samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    name: String,
    help: String,
    kind: Kind,
    samples: Vec<(Vec<(String, String)>, f64)>,
}

impl Family {
    /// A metric without samples.
    pub fn new(name: impl Into<String>, kind: Kind, help: impl Into<String>) -> Self {
        Self { name: name.into(), help: help.into(), kind, samples: Vec::new() }
    }

    /// Adds a number with its labels.
    pub fn sample<'a>(
        &mut self,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        value: f64,
    ) -> &mut Self {
        let labels = labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        self.samples.push((labels, value));
        self
    }
}

/// The metrics as text; refuses names that a scrape would refuse, and the same labels twice.
pub fn render(families: &[Family]) -> Result<String, ExportError> {
    let mut text = String::new();
    let mut names = std::collections::BTreeSet::new();
    for family in families {
        let Family { name, help, kind, samples } = family;
        let is_right = is_name(name, true) && (*kind == Kind::Counter) == name.ends_with("_total");
        if !is_right || !names.insert(name) {
            return Err(ExportError::Metric(name.clone(), "name of such a metric"));
        }
        let word = if *kind == Kind::Counter { "counter" } else { "gauge" };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {word}\n");
        let mut seen = std::collections::BTreeSet::new();
        for (labels, value) in samples {
            let labels = labels_text(labels)?;
            if *kind == Kind::Counter && (value.is_nan() || *value < 0.0) {
                return Err(ExportError::Metric(number(*value), "value of a counter"));
            }
            if !seen.insert(labels.clone()) {
                return Err(ExportError::Metric(format!("{name}{labels}"), "sample: there are two"));
            }
            let _ = writeln!(text, "{name}{labels} {}", number(*value));
        }
    }
    Ok(text)
}

fn labels_text(labels: &[(String, String)]) -> Result<String, ExportError> {
    let mut parts = Vec::new();
    for (name, value) in labels {
        if !is_name(name, false) || name.starts_with("__") {
            return Err(ExportError::Metric(name.clone(), "name of a label"));
        }
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        parts.push(format!("{name}=\"{value}\""));
    }
    Ok(if parts.is_empty() { String::new() } else { format!("{{{}}}", parts.join(",")) })
}

fn is_name(name: &str, with_colon: bool) -> bool {
    let is_sign = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || (with_colon && b == b':');
    !name.is_empty() && name.bytes().all(is_sign) && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_and_labels_are_escaped() {
        let mut attempts = Family::new("ops_attempts_total", Kind::Counter, "Back\\slash\nand line.");
        attempts.sample([("category", "a\"b\\c\nd"), ("x", "")], 3.0).sample([("category", "é")], 0.0);
        let mut up = Family::new("ops_up", Kind::Gauge, "");
        up.sample([], f64::NEG_INFINITY);
        assert_eq!(
            render(&[attempts, up]).unwrap(),
            "# HELP ops_attempts_total Back\\\\slash\\nand line.\n# TYPE ops_attempts_total counter\n\
             ops_attempts_total{category=\"a\\\"b\\\\c\\nd\",x=\"\"} 3\nops_attempts_total{category=\"é\"} 0\n\
             # HELP ops_up \n# TYPE ops_up gauge\nops_up -Inf\n"
        );
    }

    #[test]
    fn what_a_scrape_would_refuse_is_refused() {
        let one = |name: &str, kind, label: &str, value| {
            let mut family = Family::new(name, kind, "h");
            family.sample([(label, "v")], value);
            render(&[family])
        };
        assert!(one("ops_x", Kind::Gauge, "a", f64::NAN).is_ok());
        assert!(one("ops_x", Kind::Counter, "a", 1.0).is_err(), "a counter ends in _total");
        assert!(one("ops_x_total", Kind::Gauge, "a", 1.0).is_err(), "and nothing else does");
        assert!(one("ops_x_total", Kind::Counter, "a", -1.0).is_err());
        assert!(one("ops-x", Kind::Gauge, "a", 1.0).is_err());
        assert!(one("ops_x", Kind::Gauge, "1a", 1.0).is_err());
        assert!(one("ops_x", Kind::Gauge, "__a", 1.0).is_err());
        let mut twice = Family::new("ops_x", Kind::Gauge, "h");
        twice.sample([], 1.0).sample([], 2.0);
        assert!(render(&[twice.clone()]).is_err());
        let again = Family::new("ops_y", Kind::Gauge, "h");
        assert!(render(&[again.clone(), again]).is_err());
    }
}
