//! Values on their way to and from the API, without losing one bit.
//!
//! A column whose JSON would not be exact is asked for as text, in the form that PostgreSQL prints under time zone UTC;
//! intervals are brought into ISO 8601, so that the same value has one spelling in every driver. A text in a form
//! that is not expected (another date style, escaped bytes) is an error, never a guess.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::fault::Fault;
use crate::target::schema::Column;
use crate::value::{Kind, Value, ValueRef, write_json};

/// Whether the JSON of a column loses nothing: the built-in types whose JSON is a plain scalar. Anything else is read
/// as text; among it `json`, whose `null` could not be told from NULL, and domains, which may have a cast to JSON.
pub(super) fn is_exact(column: &Column) -> bool {
    let name = match column.type_name.split_once('(') {
        // What follows the length says that it is an array.
        Some((name, rest)) if rest.ends_with(')') => name,
        _ => &column.type_name,
    };
    matches!(
        name,
        "boolean"
            | "smallint"
            | "integer"
            | "bigint"
            | "numeric"
            | "real"
            | "double precision"
            | "uuid"
            | "text"
            | "character varying"
    )
}

/// Where a cell keeps what it cannot borrow; reused from row to row.
#[derive(Default)]
pub(super) struct Scratch {
    text: String,
    bytes: Vec<u8>,
}

/// Hands out the cells of each object of a JSON array, which must have exactly the members `names` in this order, and
/// whether it is the last.
pub(super) fn rows<'b, E: From<Fault>>(
    body: &'b [u8],
    names: &[&str],
    each: &mut impl FnMut(&[&'b RawValue], bool) -> Result<(), E>,
) -> Result<usize, E> {
    let strange = |_| Fault::failed("the answer does not have the columns that were asked for");
    let rows: Vec<&RawValue> = serde_json::from_slice(body).map_err(strange)?;
    let mut cells = Vec::with_capacity(names.len());
    for (n, row) in rows.iter().enumerate() {
        cells.clear();
        let mut json = serde_json::Deserializer::from_str(row.get());
        Cells { names, into: &mut cells }.deserialize(&mut json).map_err(strange)?;
        each(&cells, n + 1 == rows.len())?;
    }
    Ok(rows.len())
}

struct Cells<'s, 'b> {
    names: &'s [&'s str],
    into: &'s mut Vec<&'b RawValue>,
}

impl<'b> DeserializeSeed<'b> for Cells<'_, 'b> {
    type Value = ();

    fn deserialize<D: Deserializer<'b>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'b> Visitor<'b> for Cells<'_, 'b> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<A: MapAccess<'b>>(self, mut map: A) -> Result<(), A::Error> {
        for name in self.names {
            if map.next_key_seed(Name(name))? != Some(true) {
                return Err(A::Error::custom("another column"));
            }
            self.into.push(map.next_value()?);
        }
        match map.next_key::<IgnoredAny>()? {
            None => Ok(()),
            Some(_) => Err(A::Error::custom("one column more")),
        }
    }
}

/// Whether the next name is this one.
struct Name<'s>(&'s str);

impl<'b> DeserializeSeed<'b> for Name<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'b>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

/// The value that one JSON scalar says.
pub(super) fn cell<'a>(
    raw: &'a RawValue,
    column: &Column,
    scratch: &'a mut Scratch,
) -> Result<ValueRef<'a>, Fault> {
    let raw = raw.get();
    let strange = || strange(column);
    let Some(quoted) = raw.strip_prefix('"') else {
        return match raw {
            "null" => Ok(ValueRef::Null),
            "true" => Ok(ValueRef::Bool(true)),
            "false" => Ok(ValueRef::Bool(false)),
            number => from_text(number, column, &mut scratch.bytes),
        };
    };
    let text = match quoted.strip_suffix('"') {
        Some(inner) if !inner.contains('\\') => inner,
        _ => {
            scratch.text = serde_json::from_str(raw).map_err(|_| strange())?;
            &scratch.text
        }
    };
    from_text(text, column, &mut scratch.bytes)
}

fn strange(column: &Column) -> Fault {
    Fault::failed(format!(
        "column `{}` holds a {} in a form that is not known here (see DateStyle, IntervalStyle and bytea_output of the role)",
        column.name, column.type_name
    ))
}

/// The value of a text that PostgreSQL printed.
pub(super) fn from_text<'a>(
    text: &'a str,
    column: &Column,
    bytes: &'a mut Vec<u8>,
) -> Result<ValueRef<'a>, Fault> {
    let strange = || strange(column);
    Ok(match column.kind {
        Kind::Bool => ValueRef::Bool(match text {
            "true" | "t" => true,
            "false" | "f" => false,
            _ => return Err(strange()),
        }),
        Kind::Int => ValueRef::Int(text.parse().map_err(|_| strange())?),
        Kind::Real => ValueRef::Real(text.parse().map_err(|_| strange())?),
        Kind::Number => ValueRef::Number(text),
        Kind::Json => ValueRef::Json(text),
        Kind::Bytes => {
            let hex = text.strip_prefix("\\x").and_then(crate::ids::unhex);
            *bytes = hex.ok_or_else(strange)?;
            ValueRef::Bytes(bytes)
        }
        Kind::TimestampTz if !is_day(text) || !is_utc(text) => return Err(strange()),
        Kind::Timestamp | Kind::Date if !is_day(text) => return Err(strange()),
        Kind::Other if is_interval(column) => match iso_interval(text).ok_or_else(strange)? {
            Cow::Borrowed(text) => ValueRef::Text(text),
            Cow::Owned(text) => {
                *bytes = text.into_bytes();
                ValueRef::Text(std::str::from_utf8(bytes).map_err(|_| strange())?)
            }
        },
        _ => ValueRef::Text(text),
    })
}

/// `2026-01-02…`, or an infinity: the ISO date style.
fn is_day(text: &str) -> bool {
    let year = text.bytes().take_while(u8::is_ascii_digit).count();
    matches!(text, "infinity" | "-infinity")
        || year >= 4
            && text.as_bytes().get(year) == Some(&b'-')
            && text.as_bytes().get(year + 3) == Some(&b'-')
}

fn is_utc(text: &str) -> bool {
    text.ends_with("infinity") || text.strip_suffix(" BC").unwrap_or(text).ends_with("+00")
}

fn is_interval(column: &Column) -> bool {
    column.type_name.starts_with("interval") && !column.type_name.ends_with("[]")
}

/// An interval in PostgreSQL's own style in the ISO 8601 of PostgreSQL; one that is so already as it is.
fn iso_interval(text: &str) -> Option<Cow<'_, str>> {
    if text.starts_with('P') || text.ends_with("infinity") {
        return Some(Cow::Borrowed(text));
    }
    let (mut date, mut time) = (String::new(), String::new());
    let mut words = text.split(' ');
    while let Some(word) = words.next() {
        if word.contains(':') {
            time = iso_time(word)?;
            continue;
        }
        let number: i64 = word.parse().ok()?;
        let unit = match words.next()? {
            "year" | "years" => 'Y',
            "mon" | "mons" => 'M',
            "day" | "days" => 'D',
            _ => return None,
        };
        date += &format!("{number}{unit}");
    }
    Some(Cow::Owned(if date.is_empty() && time.is_empty() {
        "PT0S".to_owned()
    } else {
        format!("P{date}{time}")
    }))
}

/// `-04:05:06.7` as `T-4H-5M-6.7S`; nothing for zero.
fn iso_time(text: &str) -> Option<String> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let mut parts = digits.splitn(3, ':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    let mut iso = String::new();
    for (part, unit) in [(hours, 'H'), (minutes, 'M')] {
        let number: u64 = part.parse().ok()?;
        if number > 0 {
            iso += &format!("{sign}{number}{unit}");
        }
    }
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let (number, fraction): (u64, _) = (whole.parse().ok()?, fraction.trim_end_matches('0'));
    if !fraction.is_empty() {
        iso += &format!("{sign}{number}.{fraction}S");
    } else if number > 0 {
        iso += &format!("{sign}{number}S");
    }
    Some(if iso.is_empty() { iso } else { format!("T{iso}") })
}

/// A value as PostgreSQL reads it from text; NULL has none and is the empty text.
pub(super) fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => Cow::Borrowed(""),
        Value::Bool(b) => Cow::Borrowed(if *b { "true" } else { "false" }),
        Value::Int(n) => Cow::Owned(n.to_string()),
        Value::Real(x) if x.is_nan() => Cow::Borrowed("NaN"),
        Value::Real(x) if x.is_infinite() => Cow::Borrowed(if *x > 0.0 { "Infinity" } else { "-Infinity" }),
        Value::Real(x) => Cow::Owned(format!("{x:?}")),
        Value::Number(text) | Value::Text(text) | Value::Json(text) => Cow::Borrowed(text),
        Value::Bytes(bytes) => Cow::Owned(format!("\\x{}", crate::ids::hex(bytes))),
    }
}

/// Appends a value as a JSON string of its text, or `null`: how the functions in the database take it.
pub(super) fn write_text(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        value => write_json(ValueRef::Text(&text(value)), out),
    }
}

/// Appends a value as the member of a row that is written. `None` when this cannot be said: JSON's own `null`, which the
/// API takes for NULL, and JSON that is none.
pub(super) fn write_member(value: &Value, out: &mut Vec<u8>) -> Option<()> {
    match value {
        Value::Json(text) => {
            let is_json = serde_json::from_str::<IgnoredAny>(text).is_ok();
            (is_json && text.trim() != "null").then(|| out.extend_from_slice(text.as_bytes()))
        }
        Value::Bool(_) => {
            write_json(value.as_ref(), out);
            Some(())
        }
        value => {
            write_text(value, out);
            Some(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::schema::Origin;

    fn column(type_name: &str, kind: Kind) -> Column {
        Column {
            name: "c".into(),
            type_name: type_name.into(),
            kind,
            nullable: true,
            default: None,
            origin: Origin::Written,
        }
    }

    fn read(raw: &str, type_name: &str, kind: Kind) -> Result<Value, Fault> {
        let raw: Box<RawValue> = serde_json::from_str(raw).unwrap();
        cell(&raw, &column(type_name, kind), &mut Scratch::default()).map(ValueRef::to_value)
    }

    #[test]
    fn what_json_cannot_say_exactly_is_asked_for_as_text() {
        for (type_name, expected) in [
            ("numeric(6,2)", true),
            ("character varying(3)", true),
            ("double precision", true),
            ("numeric(6,2)[]", false),
            ("integer[]", false),
            ("character(3)", false),
            ("json", false),
            ("timestamp(3) with time zone", false),
            ("public.small_number", false),
        ] {
            assert_eq!(is_exact(&column(type_name, Kind::Other)), expected, "{type_name}");
        }
    }

    #[test]
    fn values_are_read_as_they_are() {
        let text = |t: &str| Value::Text(t.to_owned());
        for (raw, type_name, kind, expected) in [
            ("null", "text", Kind::Text, Value::Null),
            (r#""null""#, "text", Kind::Text, text("null")),
            (r#""a\"\u00e9\n""#, "text", Kind::Text, text("a\"é\n")),
            ("true", "boolean", Kind::Bool, Value::Bool(true)),
            (r#""false""#, "flag", Kind::Bool, Value::Bool(false)),
            ("9007199254740993", "bigint", Kind::Int, Value::Int(9_007_199_254_740_993)),
            (r#""-5""#, "small", Kind::Int, Value::Int(-5)),
            (
                "12345678901234567890.1230",
                "numeric",
                Kind::Number,
                Value::Number("12345678901234567890.1230".into()),
            ),
            (r#""NaN""#, "numeric", Kind::Number, Value::Number("NaN".into())),
            ("0.1", "real", Kind::Real, Value::Real(0.1)),
            ("-0", "real", Kind::Real, Value::Real(-0.0)),
            (r#""-Infinity""#, "real", Kind::Real, Value::Real(f64::NEG_INFINITY)),
            (r#""\\x00ff""#, "bytea", Kind::Bytes, Value::Bytes(vec![0, 255])),
            (r#""{\"a\":  1.50}""#, "json", Kind::Json, Value::Json(r#"{"a":  1.50}"#.into())),
            (r#""null""#, "json", Kind::Json, Value::Json("null".into())),
            (r#""2026-01-02 03:04:05.1+00""#, "tz", Kind::TimestampTz, text("2026-01-02 03:04:05.1+00")),
            (r#""0044-03-15 00:00:00+00 BC""#, "tz", Kind::TimestampTz, text("0044-03-15 00:00:00+00 BC")),
            (r#""infinity""#, "tz", Kind::TimestampTz, text("infinity")),
            (r#""12026-01-02""#, "date", Kind::Date, text("12026-01-02")),
            (r#""1 mon -04:05:06.70""#, "interval(2)", Kind::Other, text("P1MT-4H-5M-6.7S")),
            (r#""{\"1 mon\"}""#, "interval[]", Kind::Other, text("{\"1 mon\"}")),
        ] {
            let value = read(raw, type_name, kind).unwrap();
            let is_same = value == expected && value.as_ref().same(expected.as_ref());
            assert!(is_same, "{raw}: {value:?}");
        }
    }

    #[test]
    fn a_form_that_is_not_expected_is_not_guessed_and_not_shown() {
        for (raw, type_name, kind) in [
            (r#""9""#, "boolean", Kind::Bool),
            ("1.5", "bigint", Kind::Int),
            ("9223372036854775808", "bigint", Kind::Int),
            (r#""\\000""#, "bytea", Kind::Bytes),
            (r#""2026-01-02 04:04:05+01""#, "tz", Kind::TimestampTz),
            (r#""Fri Jan 02 03:04:05 2026 UTC""#, "tz", Kind::TimestampTz),
            (r#""02/01/2026""#, "date", Kind::Date),
            (r#""@ 1 year""#, "interval", Kind::Other),
            (r#""1-2""#, "interval", Kind::Other),
        ] {
            let fault = read(raw, type_name, kind).unwrap_err();
            assert!(!fault.reason.contains("2026") && fault.reason.contains("`c`"), "{raw}: {fault:?}");
        }
    }

    #[test]
    fn intervals_have_one_spelling() {
        for (text, expected) in [
            ("00:00:00", "PT0S"),
            ("1 year 2 mons 3 days 04:05:06.7", "P1Y2M3DT4H5M6.7S"),
            ("-1 years -2 mons +3 days -04:05:06", "P-1Y-2M3DT-4H-5M-6S"),
            ("1 day", "P1D"),
            ("100:00:00", "PT100H"),
            ("00:00:00.000001", "PT0.000001S"),
            ("-00:00:01", "PT-1S"),
            ("P1D", "P1D"),
            ("infinity", "infinity"),
        ] {
            assert_eq!(iso_interval(text).as_deref(), Some(expected), "{text}");
        }
        for bad in ["", "1 week", "3 4:05:06", "+1-2 -3 +4:05:06", "1:02", "x:1:2"] {
            assert_eq!(iso_interval(bad), None, "{bad}");
        }
    }

    #[test]
    fn rows_have_the_columns_that_were_asked_for() {
        let read = |body: &str| {
            let mut cells = Vec::new();
            let count = rows::<Fault>(body.as_bytes(), &["a", "b\""], &mut |row, _| {
                cells.push(row.iter().map(|c| c.get().to_owned()).collect::<Vec<_>>());
                Ok(())
            });
            count.map(|count| (count, cells))
        };
        let body = "[{\"a\":1.50,\"b\\\"\":null}, \n {\"a\": [1] ,\"b\\\"\":\"x\"}]";
        let expected =
            vec![vec!["1.50".to_owned(), "null".to_owned()], vec!["[1]".to_owned(), "\"x\"".to_owned()]];
        assert_eq!(read(body).unwrap(), (2, expected));
        assert_eq!(read("[]").unwrap(), (0, vec![]));
        for bad in [
            "",
            "{}",
            "<html>",
            "[1]",
            r#"[{"a":1}]"#,
            r#"[{"b\"":1,"a":2}]"#,
            r#"[{"a":1,"b\"":2,"c":3}]"#,
            r#"[{"a":1,"b\"":2}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn values_are_written_so_that_postgresql_reads_them() {
        let member = |value: &Value| {
            let mut out = Vec::new();
            write_member(value, &mut out).map(|()| String::from_utf8(out).unwrap())
        };
        for (value, expected) in [
            (Value::Null, "null"),
            (Value::Bool(true), "true"),
            (Value::Int(i64::MAX), "\"9223372036854775807\""),
            (Value::Real(f64::NAN), "\"NaN\""),
            (Value::Real(1e300), "\"1e300\""),
            (Value::Number("1.50".into()), "\"1.50\""),
            (Value::Text("a\"b".into()), "\"a\\\"b\""),
            (Value::Bytes(vec![0, 255]), "\"\\\\x00ff\""),
            (Value::Json("{\"a\": 1.50}".into()), "{\"a\": 1.50}"),
        ] {
            assert_eq!(member(&value).as_deref(), Some(expected));
        }
        for bad in ["null", " null ", "{", "1 2", ""] {
            assert_eq!(member(&Value::Json(bad.into())), None, "{bad}");
        }
    }
}
