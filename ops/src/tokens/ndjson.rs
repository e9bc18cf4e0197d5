//! Token events from NDJSON, one JSON object a line, as the exports write them.
//!
//! One bad line never stops the rest, and none is dropped without a count and, for the first hundred, a
//! reason.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufRead};

use serde::de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::analysis::Analysis;
use super::event::TokenEvent;
use super::input::Input;
use super::sample::{Extra, Sample, Samples};

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Reads events until the source ends; `input` counts over all sources. Events are known by their `event_id`, or by the
/// line where there is none. Unknown fields are ignored. Fails only when the source itself cannot be read.
pub fn read_ndjson(
    mut source: impl BufRead,
    input: &mut Input,
    analysis: &mut Analysis,
    samples: &mut Samples,
) -> Result<(), io::Error> {
    let mut buffer = Vec::new();
    let mut number = 0_u64;
    while source.read_until(b'\n', &mut buffer)? > 0 {
        number += 1;
        let line = if number == 1 { buffer.strip_prefix(BOM).unwrap_or(&buffer) } else { &buffer };
        let line = line.trim_ascii();
        match parse(line) {
            _ if line.is_empty() => {}
            Err(reason) => input.reject(number, reason),
            Ok(row) => match row.event(number) {
                Err(reason) => input.reject(number, reason),
                Ok(_) if row.key().is_some_and(|key| input.is_repeated(key)) => {}
                Ok(event) => {
                    input.accepted += 1;
                    analysis.push(&event);
                    samples.push(|| row.sample(&event));
                }
            },
        }
        buffer.clear();
    }
    Ok(())
}

fn parse(line: &[u8]) -> Result<Row<'_>, String> {
    if !line.starts_with(b"{") {
        return Err("not a JSON object".to_owned());
    }
    serde_json::from_slice(line).map_err(|e| format!("not a JSON object: {e}"))
}

/// The fields of a line, whatever they hold: a wrong type must name its field, not end the parse.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Row<'a> {
    #[serde(borrow)]
    pub(super) event_id: Value<'a>,
    pub(super) run_id: Value<'a>,
    pub(super) phase_id: Value<'a>,
    pub(super) timestamp: Value<'a>,
    pub(super) category: Value<'a>,
    pub(super) complexity: Value<'a>,
    pub(super) deliverable_count: Value<'a>,
    pub(super) predicted_output_tokens: Value<'a>,
    pub(super) actual_output_tokens: Value<'a>,
    pub(super) selected_budget: Value<'a>,
    pub(super) success: Value<'a>,
    pub(super) truncated: Value<'a>,
    pub(super) smape_percent: Value<'a>,
    pub(super) waste_ratio: Value<'a>,
    pub(super) underestimated: Value<'a>,
    pub(super) is_truncated_output: Value<'a>,
    pub(super) outcome_source: Value<'a>,
    pub(super) verified: Value<'a>,
    pub(super) estimator_version: Value<'a>,
    pub(super) coefficient_digest: Value<'a>,
    pub(super) features_json: Value<'a>,
    pub(super) deliverables_json: Value<'a>,
    #[serde(borrow)]
    pub(super) deliverables: Option<&'a RawValue>,
}

impl Row<'_> {
    fn event(&self, line: u64) -> Result<TokenEvent<'_>, String> {
        let id = match &self.event_id {
            Value::Count(id) => i64::try_from(*id).ok(),
            _ => None,
        };
        Ok(TokenEvent {
            id: id.or_else(|| i64::try_from(line).ok()).unwrap_or(i64::MAX),
            category: self.category.text("category")?,
            complexity: self.complexity.text("complexity")?,
            deliverable_count: self.deliverable_count.count("deliverable_count")?,
            predicted: self.predicted_output_tokens.count("predicted_output_tokens")?,
            actual: self.actual_output_tokens.count("actual_output_tokens")?,
            selected_budget: self.selected_budget.optional(Value::count, "selected_budget")?,
            success: self.success.flag("success")?,
            truncated: Some(self.truncated.flag("truncated")?),
            smape_percent: self.smape_percent.optional(Value::real, "smape_percent")?,
            waste_ratio: self.waste_ratio.optional(Value::real, "waste_ratio")?,
            underestimated: self.underestimated.optional(Value::flag, "underestimated")?,
        })
    }

    /// The event with everything else that the line says of it. What is of the wrong type there counts as not said.
    pub(super) fn sample(&self, event: &TokenEvent<'_>) -> Sample {
        let said = |value: &'_ Value<'_>| value.text("").ok().map(str::to_owned);
        let (run, phase) = (said(&self.run_id).unwrap_or_default(), said(&self.phase_id).unwrap_or_default());
        Sample::new(
            event,
            &Extra {
                run: &run,
                phase: &phase,
                at: self.timestamp.text("").ok(),
                deliverables: self.deliverables.map(RawValue::get).or(self.deliverables_json.text("").ok()),
                features: self.features_json.text("").ok(),
                is_truncated_output: self.is_truncated_output.flag("").ok(),
                source: self.outcome_source.text("").ok(),
                verified: self.verified.flag("").ok(),
                version: self.estimator_version.text("").ok(),
                digest: self.coefficient_digest.text("").ok(),
            },
        )
    }

    /// What makes two lines the same event; `None` when a part is missing and they cannot be told apart.
    pub(super) fn key(&self) -> Option<u128> {
        let mut texts: [Cow<'_, str>; 3] = Default::default();
        for (text, part) in texts.iter_mut().zip([&self.run_id, &self.phase_id, &self.timestamp]) {
            *text = match part {
                Value::Text(text) => Cow::Borrowed(text),
                Value::Count(n) => Cow::Owned(format!("\u{0}{n}")), // no text begins so
                _ => return None,
            };
        }
        let count = |value: &Value<'_>| value.count("").ok();
        let counts = [count(&self.predicted_output_tokens)?, count(&self.actual_output_tokens)?];
        Some(Input::key(&texts.each_ref().map(AsRef::as_ref), counts))
    }
}

/// A scalar of JSON, or that there was something else.
#[derive(Debug, Default)]
pub(super) enum Value<'a> {
    #[default]
    Missing,
    Flag(bool),
    Count(u64),
    Negative,
    Real(f64),
    Text(Cow<'a, str>),
    Other,
}

impl Value<'_> {
    pub(super) fn count(&self, field: &str) -> Result<u64, String> {
        match self {
            Self::Count(n) => Ok(*n),
            Self::Negative => Err(format!("`{field}` is negative")),
            _ => Err(self.wrong(field, "a whole number")),
        }
    }

    pub(super) fn real(&self, field: &str) -> Result<f64, String> {
        match self {
            Self::Real(x) => Ok(*x),
            Self::Count(n) => Ok(*n as f64),
            _ => Err(self.wrong(field, "a number of 0 or more")),
        }
    }

    pub(super) fn flag(&self, field: &str) -> Result<bool, String> {
        match self {
            Self::Flag(flag) => Ok(*flag),
            Self::Count(n @ 0..=1) => Ok(*n == 1),
            _ => Err(self.wrong(field, "true, false, 0 or 1")),
        }
    }

    pub(super) fn text(&self, field: &str) -> Result<&str, String> {
        match self {
            Self::Text(text) => Ok(text),
            _ => Err(self.wrong(field, "text")),
        }
    }

    pub(super) fn optional<T>(
        &self,
        read: fn(&Self, &str) -> Result<T, String>,
        field: &str,
    ) -> Result<Option<T>, String> {
        if matches!(self, Self::Missing) { Ok(None) } else { read(self, field).map(Some) }
    }

    fn wrong(&self, field: &str, expected: &str) -> String {
        match self {
            Self::Missing => format!("`{field}` is missing"),
            _ => format!("`{field}` is not {expected}"),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(Value::Missing)
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Value::Flag(flag))
    }

    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Self::Value, E> {
        Ok(Value::Count(n))
    }

    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Self::Value, E> {
        Ok(u64::try_from(n).map_or(Value::Negative, Value::Count))
    }

    fn visit_f64<E: de::Error>(self, x: f64) -> Result<Self::Value, E> {
        Ok(if x < 0.0 { Value::Negative } else { Value::Real(x) })
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::super::analysis::Options;
    use super::super::input::Reject;
    use super::*;

    fn line(changes: &[(&str, serde_json::Value)]) -> String {
        let mut event = serde_json::json!({
            "run_id": "r", "phase_id": "p", "timestamp": "2030-01-02 03:04:05", "category": "docs",
            "complexity": "low", "deliverable_count": 1, "predicted_output_tokens": 100,
            "actual_output_tokens": 120, "success": true, "truncated": 0, "deliverables": ["a", {"b": [1]}],
        });
        for (field, value) in changes {
            event[*field] = value.clone();
        }
        event.to_string()
    }

    fn read(text: impl AsRef<[u8]>) -> (Input, super::super::summary::Summary) {
        let (mut input, mut analysis) = (Input::default(), Analysis::new(Options::default()));
        read_ndjson(text.as_ref(), &mut input, &mut analysis, &mut Samples::default()).unwrap();
        (input, analysis.finish())
    }

    #[track_caller]
    fn assert_rejected(changes: &[(&str, serde_json::Value)], reason: &str) {
        let (report, summary) = read(line(changes));
        assert_eq!(report.rejects, [Reject { file: None, line: 1, reason: reason.to_owned() }]);
        assert_eq!((report.reject_count, summary.attempts.attempts), (1, 0));
    }

    #[test]
    fn reads_past_what_is_no_event() {
        let good = line(&[]);
        let other = line(&[("phase_id", "q".into()), ("event_id", 7.into()), ("smape_percent", 99.0.into())]);
        let text = format!("\u{feff}Exported 2 events\n\n{good}\r\n[1]\n{{\"run_id\":\n  {other}");
        let (report, summary) = read(text);
        assert_eq!((report.accepted, report.duplicates, report.reject_count), (2, 0, 3));
        assert_eq!(report.rejects.iter().map(|r| r.line).collect::<Vec<_>>(), [1, 4, 5]);
        assert_eq!(report.rejects[0].reason, "not a JSON object");
        assert!(report.rejects[2].reason.starts_with("not a JSON object: EOF while parsing"));
        assert_eq!(summary.attempts.underestimated, 2);
        assert_eq!(summary.mismatches.first[0].id, 7);
    }

    #[test]
    fn a_byte_order_mark_belongs_to_no_line() {
        let (report, _) = read(format!("\u{feff}{}", line(&[])));
        assert_eq!((report.accepted, report.reject_count), (1, 0));
    }

    #[test]
    fn a_reject_names_its_field() {
        use serde_json::{Value, json};
        assert_rejected(&[("actual_output_tokens", Value::Null)], "`actual_output_tokens` is missing");
        assert_rejected(&[("actual_output_tokens", json!(-1))], "`actual_output_tokens` is negative");
        let reason = "`predicted_output_tokens` is not a whole number";
        for wrong in [json!(1.5), json!("100"), json!([1]), json!({"a": 1}), json!(true)] {
            assert_rejected(&[("predicted_output_tokens", wrong)], reason);
        }
        assert_rejected(&[("deliverable_count", json!("x"))], "`deliverable_count` is not a whole number");
        assert_rejected(&[("truncated", json!(2))], "`truncated` is not true, false, 0 or 1");
        assert_rejected(&[("success", Value::Null)], "`success` is missing");
        assert_rejected(&[("category", Value::Null)], "`category` is missing");
        assert_rejected(&[("smape_percent", json!("99"))], "`smape_percent` is not a number of 0 or more");
        assert_rejected(&[("selected_budget", json!(-5))], "`selected_budget` is negative");
    }

    #[test]
    fn the_same_event_counts_once() {
        let escaped = line(&[]).replace("\"r\"", "\"\\u0072\"");
        let later = line(&[("timestamp", "2030-01-02 03:04:06".into())]);
        let (report, summary) = read([line(&[]), escaped, line(&[]), later].join("\n"));
        assert_eq!((report.accepted, report.duplicates), (2, 2));
        assert_eq!(summary.attempts.attempts, 2);
    }

    proptest::proptest! {
        #[test]
        fn repeating_and_shuffling_lines_changes_nothing(
            outcomes in proptest::collection::vec((0_u64..4000, 0_u64..4000, proptest::bool::ANY), 0..20),
            again in proptest::collection::vec(0_usize..20, 0..40),
        ) {
            let lines: Vec<String> = outcomes
                .iter()
                .enumerate()
                .map(|(i, (p, a, cut))| {
                    line(&[
                        ("event_id", i.into()),
                        ("phase_id", format!("p{i}").into()),
                        ("predicted_output_tokens", (*p).into()),
                        ("actual_output_tokens", (*a).into()),
                        ("truncated", (*cut).into()),
                    ])
                })
                .collect();
            let repeated = again.iter().filter_map(|i| lines.get(*i));
            let longer: Vec<&str> = lines.iter().rev().chain(repeated.clone()).map(String::as_str).collect();
            let ((once, a), (twice, b)) = (read(lines.join("\n")), read(longer.join("\n")));
            proptest::prop_assert_eq!(once.accepted, twice.accepted);
            proptest::prop_assert_eq!(twice.duplicates, repeated.count() as u64);
            proptest::prop_assert_eq!((a.attempts, a.lower_bounds), (b.attempts, b.lower_bounds));
            proptest::prop_assert_eq!(a.cost.smape_percent_median, b.cost.smape_percent_median);
        }
    }

    #[test]
    fn lines_without_a_time_cannot_be_duplicates() {
        let undated = line(&[("timestamp", serde_json::Value::Null)]);
        let (report, _) = read([undated.as_str(), undated.as_str()].join("\n"));
        assert_eq!((report.accepted, report.duplicates), (2, 0));
    }

    #[test]
    fn huge_lines_and_many_rejects() {
        let huge = line(&[("note", "x".repeat(3 << 20).into())]);
        let text = format!("{huge}\n{}", "junk\n".repeat(250));
        let (report, _) = read(text);
        assert_eq!((report.accepted, report.reject_count, report.rejects.len()), (1, 250, 100));
        let (report, _) = read(b"{\"category\": \"\xff\"}\n");
        assert_eq!(report.reject_count, 1);
    }

    #[test]
    fn a_source_that_cannot_be_read_is_an_error() {
        struct Broken;
        impl io::Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        let mut analysis = Analysis::default();
        let (mut input, mut samples) = (Input::default(), Samples::default());
        let source = io::BufReader::new(Broken);
        let error = read_ndjson(source, &mut input, &mut analysis, &mut samples).unwrap_err();
        assert_eq!(error.to_string(), "broken");
    }
}
