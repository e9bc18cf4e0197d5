//! Outcomes as the books in a target hold them: one line of JSON a batch, exact, and short when nothing happened
//! that is worth a word.
//!
//! `[200]` are 200 changes applied as sent; the others are objects with one member. Values spell out their type,
//! so that they are read back without the table.

use serde_json::value::RawValue;

use super::Outcome;
use crate::value::{Kind, Row, ValueRef, parse_json, write_json};

/// Why books cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the books hold outcomes that are not in this format")]
pub struct OutcomesError;

/// The outcomes of a batch as one line.
pub fn encode(outcomes: &[Outcome]) -> String {
    let mut out = vec![b'['];
    let mut rest = outcomes;
    while let Some((first, tail)) = rest.split_first() {
        let same = tail.iter().take_while(|o| is_plain(first) && *o == first).count();
        if out.len() > 1 {
            out.push(b',');
        }
        write(first, same + 1, &mut out);
        rest = &tail[same..];
    }
    out.push(b']');
    String::from_utf8(out).expect("JSON is UTF-8")
}

/// Whether an outcome says all there is to say by its name, so that a run of them is a number.
fn is_plain(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Applied { stored: None } | Outcome::Already)
}

fn write(outcome: &Outcome, count: usize, out: &mut Vec<u8>) {
    match outcome {
        Outcome::Applied { stored: None } => out.extend_from_slice(count.to_string().as_bytes()),
        Outcome::Already => out.extend_from_slice(format!("{{\"already\":{count}}}").as_bytes()),
        Outcome::Applied { stored: Some(row) } => member("stored", out, |out| write_row(row, out)),
        Outcome::Drifted { found: Some(row) } => member("drifted", out, |out| write_row(row, out)),
        Outcome::Drifted { found: None } => member("drifted", out, |out| out.extend_from_slice(b"null")),
        Outcome::Failed { reason } => {
            member("failed", out, |out| write_json(ValueRef::Text(reason), out));
        }
    }
}

fn member(name: &str, out: &mut Vec<u8>, value: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(format!("{{\"{name}\":").as_bytes());
    value(out);
    out.push(b'}');
}

fn write_row(row: &Row, out: &mut Vec<u8>) {
    out.push(b'[');
    for (i, value) in row.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        match value.as_ref() {
            // Without their tag these would be read back as a float, or as a text.
            ValueRef::Number(text) => member("$number", out, |out| write_json(ValueRef::Text(text), out)),
            ValueRef::Json(text) => member("$json", out, |out| write_json(ValueRef::Text(text), out)),
            value => write_json(value, out),
        }
    }
    out.push(b']');
}

/// Reads back what [`encode`] wrote.
pub fn decode(line: &str) -> Result<Vec<Outcome>, OutcomesError> {
    let items: Vec<&RawValue> = serde_json::from_str(line).map_err(|_| OutcomesError)?;
    let mut outcomes = Vec::new();
    for item in items {
        if let Ok(count) = item.get().parse::<usize>() {
            outcomes.extend(std::iter::repeat_n(Outcome::Applied { stored: None }, count));
            continue;
        }
        let object: std::collections::BTreeMap<&str, &RawValue> =
            serde_json::from_str(item.get()).map_err(|_| OutcomesError)?;
        let (Some((name, value)), 1) = (object.first_key_value(), object.len()) else {
            return Err(OutcomesError);
        };
        match *name {
            "already" => {
                let count = value.get().parse().map_err(|_| OutcomesError)?;
                outcomes.extend(std::iter::repeat_n(Outcome::Already, count));
            }
            "stored" => outcomes.push(Outcome::Applied { stored: Some(read_row(value)?) }),
            "drifted" if value.get() == "null" => outcomes.push(Outcome::Drifted { found: None }),
            "drifted" => outcomes.push(Outcome::Drifted { found: Some(read_row(value)?) }),
            "failed" => {
                let reason = serde_json::from_str(value.get()).map_err(|_| OutcomesError)?;
                outcomes.push(Outcome::Failed { reason });
            }
            _ => return Err(OutcomesError),
        }
    }
    Ok(outcomes)
}

fn read_row(raw: &RawValue) -> Result<Row, OutcomesError> {
    let cells: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| OutcomesError)?;
    cells.iter().map(|cell| parse_json(cell.get(), Kind::Any).map_err(|_| OutcomesError)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;
    use proptest::prelude::*;

    #[test]
    fn runs_are_numbers_and_rows_spell_out_their_types() {
        let row = vec![
            Value::Int(1),
            Value::Real(1.0),
            Value::Number("1.50".into()),
            Value::Json("[1]".into()),
            Value::Text("1".into()),
            Value::Null,
        ];
        let outcomes = [
            Outcome::Applied { stored: None },
            Outcome::Applied { stored: None },
            Outcome::Already,
            Outcome::Drifted { found: None },
            Outcome::Drifted { found: Some(row) },
            Outcome::Failed { reason: "SQLITE_FULL".into() },
            Outcome::Failed { reason: "SQLITE_FULL".into() },
        ];
        let line = encode(&outcomes);
        let expected = r#"[2,{"already":1},{"drifted":null},{"drifted":[1,1.0,{"$number":"1.50"},{"$json":"[1]"},"1",null]},{"failed":"SQLITE_FULL"},{"failed":"SQLITE_FULL"}]"#;
        assert_eq!(line, expected);
        assert_eq!(decode(&line).unwrap(), outcomes);
        assert_eq!(encode(&[]), "[]");
    }

    #[test]
    fn other_lines_are_refused() {
        for bad in ["", "{}", "[-1]", "[1", r#"[{"lost":1}]"#, r#"[{"already":1,"stored":[]}]"#, r#"["x"]"#] {
            assert!(decode(bad).is_err(), "{bad}");
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_filter("NaN equals nothing", |x| !x.is_nan()).prop_map(Value::Real),
            any::<String>().prop_map(Value::Number),
            any::<String>().prop_map(Value::Text),
            any::<String>().prop_map(Value::Json),
            any::<Vec<u8>>().prop_map(Value::Bytes),
        ]
    }

    fn outcome() -> impl Strategy<Value = Outcome> {
        let row = || proptest::collection::vec(value(), 0..4);
        prop_oneof![
            4 => Just(Outcome::Applied { stored: None }),
            2 => Just(Outcome::Already),
            1 => row().prop_map(|row| Outcome::Applied { stored: Some(row) }),
            1 => proptest::option::of(row()).prop_map(|found| Outcome::Drifted { found }),
            1 => any::<String>().prop_map(|reason| Outcome::Failed { reason }),
        ]
    }

    proptest! {
        #[test]
        fn every_outcome_comes_back(outcomes in proptest::collection::vec(outcome(), 0..20)) {
            let line = encode(&outcomes);
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(decode(&line).unwrap(), outcomes);
        }
    }
}
