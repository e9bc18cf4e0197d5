//! Digests that tell rows apart, and keys that sort them.
//!
//! Every value is encoded with a type tag and its length, so that (`a|b`, `c`) and (`a`, `b|c`) differ, and NULL
//! differs from every text. Digests find what changed; they are not proof against somebody who wants a
//! collision: manifests use SHA-256.

use std::borrow::Cow;

use super::{Value, ValueRef};

/// A 128-bit xxh3 digest.
pub type Digest128 = u128;

/// Appends the canonical encoding of one value: a tag, and the length before anything of variable size.
pub fn encode(value: ValueRef<'_>, out: &mut Vec<u8>) {
    let mut text = |tag: u8, bytes: &[u8]| {
        let mut head = [tag; 9];
        head[1..].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
        out.extend_from_slice(&head);
        out.extend_from_slice(bytes);
    };
    match value {
        ValueRef::Null => out.push(b'0'),
        ValueRef::Bool(b) => out.extend_from_slice(&[b'b', u8::from(b)]),
        ValueRef::Int(n) => {
            out.push(b'i');
            out.extend_from_slice(&n.to_le_bytes());
        }
        ValueRef::Real(x) => {
            out.push(b'r');
            out.extend_from_slice(&x.to_bits().to_le_bytes());
        }
        ValueRef::Number(number) => text(b'n', decimal(number).as_bytes()),
        ValueRef::Text(t) => text(b't', t.as_bytes()),
        ValueRef::Bytes(bytes) => text(b'x', bytes),
        ValueRef::Json(json) => text(b'j', json.as_bytes()),
    }
}

/// The digest of a row. `scratch` is reused from row to row.
pub fn digest_row<'a>(values: impl Iterator<Item = ValueRef<'a>>, scratch: &mut Vec<u8>) -> Digest128 {
    scratch.clear();
    for value in values {
        encode(value, scratch);
    }
    xxhash_rust::xxh3::xxh3_128(scratch)
}

/// The digest of a key, which is the digest of a row of its values.
pub fn digest_key(key: &[Value]) -> Digest128 {
    digest_row(key.iter().map(Value::as_ref), &mut Vec::new())
}

/// Appends bytes that sort as the database's own index on the key roughly does: numbers by size, texts by bytes.
/// Applying in this order is fast; nothing may rest on it being the exact order of the database.
pub fn order_key(key: &[Value], out: &mut Vec<u8>) {
    for value in key {
        match value {
            Value::Null => out.push(0),
            Value::Bool(b) => out.extend_from_slice(&[1, u8::from(*b)]),
            Value::Int(n) => {
                out.push(2);
                out.extend_from_slice(&ordered_float(*n as f64));
                out.extend_from_slice(&(n.cast_unsigned() ^ (1 << 63)).to_be_bytes());
            }
            Value::Real(x) => {
                out.push(2);
                out.extend_from_slice(&ordered_float(*x));
            }
            Value::Number(text) => {
                out.push(2);
                out.extend_from_slice(&ordered_float(text.parse().unwrap_or(f64::NAN)));
                terminated(decimal(text).as_bytes(), out);
            }
            Value::Text(text) | Value::Json(text) => {
                out.push(3);
                terminated(text.as_bytes(), out);
            }
            Value::Bytes(bytes) => {
                out.push(4);
                terminated(bytes, out);
            }
        }
    }
}

fn terminated(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        out.push(byte);
        if byte == 0 {
            out.push(1);
        }
    }
    out.extend_from_slice(&[0, 0]);
}

fn ordered_float(x: f64) -> [u8; 8] {
    let bits = x.to_bits();
    let mask = if bits >> 63 == 1 { u64::MAX } else { 1 << 63 };
    (bits ^ mask).to_be_bytes()
}

/// The one spelling of a decimal that has it already but for zeros at its end, as databases print them; `None` for
/// all others.
fn plain(text: &str) -> Option<&str> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let is_zero = whole == "0" && fraction.bytes().all(|b| b == b'0');
    if is_zero || (whole.starts_with('0') && whole.len() > 1) {
        return (text == "0").then_some(text);
    }
    let is_whole = !digits.contains('.');
    Some(if is_whole { text } else { text.trim_end_matches('0').trim_end_matches('.') })
}

/// A decimal in the one spelling that equal values share: no exponent, no leading or trailing zeros, no `-0`.
/// Words such as `NaN` stay as they are.
pub(super) fn decimal(text: &str) -> Cow<'_, str> {
    if let Some(plain) = plain(text) {
        return Cow::Borrowed(plain);
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let Ok(exponent) = exponent.parse::<i32>() else { return Cow::Borrowed(text) };
    if !all_digits(whole) || !all_digits(fraction) || mantissa.len() <= usize::from(mantissa.contains('.')) {
        return Cow::Borrowed(text);
    }
    if exponent.unsigned_abs() > 200_000 {
        return Cow::Borrowed(text);
    }
    let mut all = format!("{whole}{fraction}");
    let mut point = i64::try_from(whole.len()).unwrap_or(i64::MAX) + i64::from(exponent);
    while point > i64::try_from(all.len()).unwrap_or(i64::MAX) {
        all.push('0');
    }
    while point < 0 {
        all.insert(0, '0');
        point += 1;
    }
    let (whole, fraction) = all.split_at(usize::try_from(point).unwrap_or(0));
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let whole = if whole.is_empty() { "0" } else { whole };
    let plain = if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") };
    if plain == "0" { Cow::Borrowed("0") } else { Cow::Owned(format!("{sign}{plain}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_of_one_value_have_one_spelling() {
        for (text, expected) in [
            ("1.50", "1.5"),
            ("1.5", "1.5"),
            ("15e-1", "1.5"),
            ("0.15E+1", "1.5"),
            ("-0.00", "0"),
            ("0", "0"),
            ("007", "7"),
            ("1e3", "1000"),
            (".5", "0.5"),
            ("12345678901234567890.10", "12345678901234567890.1"),
            ("100", "100"),
            ("-100.00", "-100"),
            ("0.50", "0.5"),
            ("-0.50", "-0.5"),
            ("0.00", "0"),
            ("-0", "0"),
            ("00.5", "0.5"),
            ("1.", "1"),
            ("-1e-3", "-0.001"),
            ("NaN", "NaN"),
            ("-Infinity", "-Infinity"),
            ("", ""),
            (".", "."),
            ("1e999999999999", "1e999999999999"),
        ] {
            assert_eq!(decimal(text), expected, "{text}");
        }
    }

    #[test]
    fn borders_between_columns_count() {
        let digest = |row: &[Value]| digest_key(row);
        let text = |t: &str| Value::Text(t.to_owned());
        assert_ne!(digest(&[text("a|b"), text("c")]), digest(&[text("a"), text("b|c")]));
        assert_ne!(digest(&[Value::Null]), digest(&[text("")]));
        assert_ne!(digest(&[Value::Int(1)]), digest(&[text("1")]));
        assert_ne!(digest(&[Value::Json("1".into())]), digest(&[text("1")]));
        assert_eq!(digest(&[Value::Number("1.0".into())]), digest(&[Value::Number("1".into())]));
    }

    #[test]
    fn keys_sort_by_value() {
        let sorted = |keys: Vec<Value>| {
            let mut pairs: Vec<_> = keys
                .into_iter()
                .map(|k| {
                    let mut bytes = Vec::new();
                    order_key(std::slice::from_ref(&k), &mut bytes);
                    (bytes, k)
                })
                .collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            pairs.into_iter().map(|p| p.1).collect::<Vec<_>>()
        };
        let ints = [i64::MIN, -2, -1, 0, 1, 9, 10, i64::MAX - 1, i64::MAX];
        assert_eq!(sorted(ints.iter().rev().map(|n| Value::Int(*n)).collect()), ints.map(Value::Int));
        let texts = ["", "a", "a\0", "a\0b", "ab", "b"];
        assert_eq!(
            sorted(texts.iter().rev().map(|t| Value::Text((*t).into())).collect()),
            texts.map(|t| Value::Text(t.into()))
        );
    }
}
