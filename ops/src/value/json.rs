//! Values as JSON and back, without losing one bit: the format of backups, plans and journals.
//!
//! What JSON cannot say is an object with one key that starts with `$`: `{"$bytes":"00ff"}`,
//! `{"$real":"NaN"}`, `{"$number":"NaN"}`, `{"$json":"…"}`. JSON columns are embedded as they are where that is
//! unambiguous and fits on one line, so that people can read them.

use serde::de::IgnoredAny;

use super::{Kind, Value, ValueRef};
use crate::swar;

/// Why a text is not a value of its column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not a {expected}")]
pub struct JsonError {
    found: String,
    expected: &'static str,
}

impl JsonError {
    fn new(found: &str, expected: &'static str) -> Self {
        Self { found: crate::text::ellipsis(found, 60), expected }
    }
}

/// Appends a value as JSON. Equal values (see [`ValueRef::same`]) of a column may be spelled in more than one way
/// only for decimals, whose trailing zeros are kept.
pub fn write_json(value: ValueRef<'_>, out: &mut Vec<u8>) {
    match value {
        ValueRef::Null => out.extend_from_slice(b"null"),
        ValueRef::Bool(b) => out.extend_from_slice(if b { b"true" } else { b"false" }),
        ValueRef::Int(n) => write_int(n, out),
        ValueRef::Real(x) if x.is_finite() => {
            // Debug prints the shortest text that reads back as the same float, always with a point or an exponent.
            use std::io::Write;
            write!(out, "{x:?}").expect("writing to memory");
        }
        ValueRef::Real(x) => tagged("$real", if x.is_nan() { "NaN" } else { infinity(x) }, out),
        ValueRef::Number(text) if is_json_number(text) => out.extend_from_slice(text.as_bytes()),
        ValueRef::Number(text) => tagged("$number", text, out),
        ValueRef::Text(text) => write_string(text, out),
        ValueRef::Bytes(bytes) => tagged("$bytes", &crate::ids::hex(bytes), out),
        ValueRef::Json(text) if embeds(text) => out.extend_from_slice(text.as_bytes()),
        ValueRef::Json(text) => tagged("$json", text, out),
    }
}

fn infinity(x: f64) -> &'static str {
    if x > 0.0 { "Infinity" } else { "-Infinity" }
}

fn tagged(tag: &str, text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(tag.as_bytes());
    out.extend_from_slice(b"\":");
    write_string(text, out);
    out.push(b'}');
}

fn write_int(n: i64, out: &mut Vec<u8>) {
    if n < 0 {
        out.push(b'-');
    }
    write_uint(n.unsigned_abs(), out);
}

/// Appends a whole number.
pub(crate) fn write_uint(mut rest: u64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).expect("a digit");
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// A byte that cannot stand in a JSON string as it is.
const ESCAPED: u8 = 1;
const COMMA: u8 = 2;

/// What the bytes of a text are to JSON, and to a sheet.
const CLASSES: [u8; 256] = swar::classes_of(&[
    (0, 0x1f, ESCAPED),
    (b'"', b'"', ESCAPED),
    (b'\\', b'\\', ESCAPED),
    (b',', b',', COMMA),
]);

/// Which signs a text has that it cannot keep as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signs {
    /// None, in JSON and in a sheet.
    None,
    /// A comma, for which a sheet needs quotes, and none in JSON.
    Comma,
    /// Some that JSON escapes.
    Escaped,
}

/// Which signs a text has.
pub(crate) fn signs(text: &str) -> Signs {
    let bits = |is: bool, bits: u8| if is { bits } else { 0 };
    let classes = swar::classes(text.as_bytes(), &CLASSES, |byte| {
        let quote = bits(byte == b'"', ESCAPED) | bits(byte == b'\\', ESCAPED);
        quote | bits(byte < 0x20, ESCAPED) | bits(byte == b',', COMMA)
    });
    match classes {
        0 => Signs::None,
        COMMA => Signs::Comma,
        _ => Signs::Escaped,
    }
}

/// Whether nothing in a text has to be escaped.
pub(crate) fn is_plain(text: &str) -> bool {
    signs(text) != Signs::Escaped
}

/// A JSON string with the fewest escapes: quotes, backslashes and control characters.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    write_signed(text.as_bytes(), signs(text), out);
}

/// The same of the bytes of a text whose signs are known.
pub(crate) fn write_signed(text: &[u8], signs: Signs, out: &mut Vec<u8>) {
    if signs == Signs::Escaped {
        escape(text, out);
        return;
    }
    out.reserve(text.len() + 2);
    out.push(b'"');
    out.extend_from_slice(text);
    out.push(b'"');
}

fn escape(text: &[u8], out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text;
    while let Some(at) = first_escape(rest) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Where the first byte is that cannot stand in a JSON string as it is.
fn first_escape(bytes: &[u8]) -> Option<usize> {
    Some(swar::find_json(bytes, 0)).filter(|at| *at < bytes.len())
}

/// A JSON array or object on one line that cannot be taken for one of the `$` forms.
fn embeds(text: &str) -> bool {
    let is_container = text.starts_with('[') || (text.starts_with('{') && !text.starts_with("{\"$"));
    is_container
        && !text.bytes().any(|b| b < 0x20)
        && serde_json::from_str::<IgnoredAny>(text).is_ok()
        && !text.ends_with(' ')
}

/// Whether JSON spells numbers like this: `-1.50e3`, but not `.5`, `1.`, `007` or `NaN`.
fn is_json_number(text: &str) -> bool {
    let rest = text.strip_prefix('-').unwrap_or(text);
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (rest, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    digits(whole)
        && (whole.len() == 1 || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)))
}

/// Reads back what [`write_json`] wrote for a column of this kind. `raw` is one JSON value without blanks around it.
pub fn parse_json(raw: &str, kind: Kind) -> Result<Value, JsonError> {
    match raw.as_bytes().first() {
        Some(b'n') if raw == "null" => Ok(Value::Null),
        Some(b't') if raw == "true" => Ok(Value::Bool(true)),
        Some(b'f') if raw == "false" => Ok(Value::Bool(false)),
        Some(b'"') => text_of(raw).map(Value::Text),
        Some(b'{') if raw.starts_with("{\"$") => parse_tagged(raw),
        Some(b'{' | b'[') => Ok(Value::Json(raw.to_owned())),
        Some(b'-' | b'0'..=b'9') => parse_number(raw, kind),
        _ => Err(JsonError::new(raw, "value")),
    }
}

fn parse_number(raw: &str, kind: Kind) -> Result<Value, JsonError> {
    let int = || raw.parse().map(Value::Int).map_err(|_| JsonError::new(raw, "64-bit integer"));
    let real = || raw.parse().map(Value::Real).map_err(|_| JsonError::new(raw, "number"));
    match kind {
        Kind::Number => Ok(Value::Number(raw.to_owned())),
        Kind::Real => real(),
        Kind::Any if raw.contains(['.', 'e', 'E']) => real(),
        _ => int(),
    }
}

/// The text of a JSON string.
pub(crate) fn text_of(raw: &str) -> Result<String, JsonError> {
    let inner = raw.strip_prefix('"').and_then(|r| r.strip_suffix('"'));
    match inner {
        Some(inner) if !inner.contains(['\\', '"']) => Ok(inner.to_owned()),
        _ => serde_json::from_str(raw).map_err(|_| JsonError::new(raw, "JSON string")),
    }
}

fn parse_tagged(raw: &str) -> Result<Value, JsonError> {
    let strange = || JsonError::new(raw, "value");
    let object: std::collections::BTreeMap<String, String> =
        serde_json::from_str(raw).map_err(|_| strange())?;
    let mut entries = object.into_iter();
    let (Some((tag, text)), None) = (entries.next(), entries.next()) else { return Err(strange()) };
    match tag.as_str() {
        "$bytes" => crate::ids::unhex(&text).map(Value::Bytes).ok_or_else(strange),
        "$number" => Ok(Value::Number(text)),
        "$json" => Ok(Value::Json(text)),
        "$real" => match text.as_str() {
            "NaN" => Ok(Value::Real(f64::NAN)),
            "Infinity" => Ok(Value::Real(f64::INFINITY)),
            "-Infinity" => Ok(Value::Real(f64::NEG_INFINITY)),
            _ => Err(strange()),
        },
        _ => Err(strange()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round(value: &Value, kind: Kind) -> (String, Value) {
        let mut out = Vec::new();
        write_json(value.as_ref(), &mut out);
        let text = String::from_utf8(out).unwrap();
        let back = parse_json(&text, kind).unwrap();
        (text, back)
    }

    #[test]
    fn what_json_cannot_say_is_said_with_a_tag() {
        let json = |t: &str| Value::Json(t.to_owned());
        for (value, kind, expected) in [
            (Value::Null, Kind::Text, "null"),
            (Value::Bool(true), Kind::Bool, "true"),
            (Value::Int(i64::MIN), Kind::Int, "-9223372036854775808"),
            (Value::Int(0), Kind::Any, "0"),
            (Value::Real(1.0), Kind::Any, "1.0"),
            (Value::Real(1e300), Kind::Any, "1e300"),
            (Value::Real(-0.0), Kind::Real, "-0.0"),
            (Value::Real(f64::NEG_INFINITY), Kind::Real, r#"{"$real":"-Infinity"}"#),
            (Value::Number("1.50".into()), Kind::Number, "1.50"),
            (Value::Number("NaN".into()), Kind::Number, r#"{"$number":"NaN"}"#),
            (Value::Text("a\"\\\n\u{1}é".into()), Kind::Text, "\"a\\\"\\\\\\n\\u0001é\""),
            (Value::Bytes(vec![0, 255]), Kind::Bytes, r#"{"$bytes":"00ff"}"#),
            (json(r#"{"a": [1, 2]}"#), Kind::Json, r#"{"a": [1, 2]}"#),
            (json("{\n}"), Kind::Json, r#"{"$json":"{\n}"}"#),
            (json("null"), Kind::Json, r#"{"$json":"null"}"#),
            (json(r#"{"$bytes":"00"}"#), Kind::Json, r#"{"$json":"{\"$bytes\":\"00\"}"}"#),
            (json("[1"), Kind::Json, r#"{"$json":"[1"}"#),
        ] {
            let (text, back) = round(&value, kind);
            assert_eq!(text, expected);
            assert!(back.as_ref().same(value.as_ref()), "{text}: {back:?}");
        }
        assert!(matches!(round(&Value::Real(f64::NAN), Kind::Any).1, Value::Real(x) if x.is_nan()));
    }

    #[test]
    fn numbers_that_json_does_not_know() {
        for (text, expected) in [("1", true), ("-1.5e+3", true), ("0.5", true), (".5", false), ("1.", false)]
        {
            assert_eq!(is_json_number(text), expected, "{text}");
        }
        for text in ["007", "NaN", "", "-", "1e", "0x1", "+1", "1.5.2"] {
            assert!(!is_json_number(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_value_comes_back(text in any::<String>(), n in any::<i64>(), bits in any::<u64>(), bytes in any::<Vec<u8>>()) {
            for (value, kind) in [
                (Value::Text(text.clone()), Kind::Any),
                (Value::Json(text.clone()), Kind::Json),
                (Value::Number(text), Kind::Number),
                (Value::Int(n), Kind::Any),
                (Value::Bytes(bytes), Kind::Any),
            ] {
                let (line, back) = round(&value, kind);
                prop_assert!(!line.contains('\n'));
                prop_assert_eq!(back, value);
            }
            let x = f64::from_bits(bits);
            let (_, back) = round(&Value::Real(x), Kind::Any);
            if x.is_nan() {
                let is_nan = matches!(back, Value::Real(y) if y.is_nan());
                prop_assert!(is_nan);
            } else {
                prop_assert_eq!(back, Value::Real(x));
            }
        }
    }
}
