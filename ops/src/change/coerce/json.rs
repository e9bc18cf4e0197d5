//! JSON rewritten: texts without their escapes, values without blanks, values as `jsonb` prints them.
//!
//! Everything here works on JSON that was checked before.

use std::ops::Range;

use crate::change::decimal::Digits;

/// The members of objects that are being sorted; a stack that is used again.
#[derive(Debug, Default)]
pub(in crate::change) struct Members {
    stack: Vec<Member>,
    /// Their names without escapes.
    names: String,
}

#[derive(Debug, Clone)]
struct Member {
    name: Range<usize>,
    value: Range<usize>,
}

/// Appends the text of a JSON string in its quotes. Fails where half of a surrogate pair stands alone.
pub(in crate::change) fn unescape(json: &str, out: &mut String) -> Result<(), ()> {
    let mut rest = &json[1..json.len() - 1];
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        let kind = rest.as_bytes()[at + 1];
        rest = &rest[at + 2..];
        out.push(match kind {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = unit(rest)?;
                rest = &rest[4..];
                match unit {
                    0xd800..0xdc00 => {
                        let low = unit_of(rest.strip_prefix("\\u").ok_or(())?, 0xdc00..0xe000)?;
                        rest = &rest[6..];
                        char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)).ok_or(())?
                    }
                    _ => char::from_u32(unit).ok_or(())?,
                }
            }
            itself => char::from(itself),
        });
    }
    out.push_str(rest);
    Ok(())
}

fn unit(digits: &str) -> Result<u32, ()> {
    u32::from_str_radix(digits.get(..4).ok_or(())?, 16).map_err(|_| ())
}

fn unit_of(digits: &str, range: Range<u32>) -> Result<u32, ()> {
    unit(digits).and_then(|unit| if range.contains(&unit) { Ok(unit) } else { Err(()) })
}

/// Appends a value without the blanks between its parts; everything else stays as it is spelled.
pub(in crate::change) fn compact(json: &str, out: &mut String) {
    let bytes = json.as_bytes();
    let mut from = 0;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = string_end(bytes, at),
            b' ' | b'\n' | b'\r' | b'\t' => {
                out.push_str(&json[from..at]);
                at += 1;
                from = at;
            }
            _ => at += 1,
        }
    }
    out.push_str(&json[from..]);
}

/// The offset behind the string that opens at `at`.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    loop {
        at += 1;
        match bytes[at] {
            b'"' => return at + 1,
            b'\\' => at += 1,
            _ => {}
        }
    }
}

fn skip_blanks(bytes: &[u8], at: usize) -> usize {
    let is_blank = |b: &u8| matches!(b, b' ' | b'\n' | b'\r' | b'\t');
    at + bytes[at..].iter().take_while(|b| is_blank(b)).count()
}

/// The offset behind the value at `at`.
pub(super) fn value_end(bytes: &[u8], at: usize) -> usize {
    match bytes[at] {
        b'"' => string_end(bytes, at),
        b'{' | b'[' => {
            let mut depth = 0;
            let mut at = at;
            loop {
                match bytes[at] {
                    b'"' => {
                        at = string_end(bytes, at);
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    return at;
                }
            }
        }
        _ => {
            let is_part = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
            at + bytes[at..].iter().take_while(|b| is_part(b)).count()
        }
    }
}

/// Calls `each` with the elements of an array as they are spelled.
pub(in crate::change) fn elements<'a, E>(
    json: &'a str,
    mut each: impl FnMut(&'a str) -> Result<(), E>,
) -> Result<(), E> {
    let bytes = json.as_bytes();
    let mut at = skip_blanks(bytes, 1);
    while bytes[at] != b']' {
        let end = value_end(bytes, at);
        each(&json[at..end])?;
        at = skip_blanks(bytes, end);
        if bytes[at] == b',' {
            at = skip_blanks(bytes, at + 1);
        }
    }
    Ok(())
}

/// Why a value has no `jsonb` form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::change) enum NotJsonb {
    /// `\u0000`, or half of a surrogate pair.
    Text,
    /// More digits than numeric holds.
    Number,
}

/// How numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::change) enum Numbers {
    /// As numeric prints them: `1.50` stays.
    Printed,
    /// Equal ones alike: `1.50` is `1.5`.
    ByValue,
}

/// Appends a value as PostgreSQL prints it from `jsonb`: names by length and then by bytes, of equal names the last,
/// one blank after commas and colons.
pub(in crate::change) fn canonical(
    json: &str,
    numbers: Numbers,
    members: &mut Members,
    out: &mut String,
) -> Result<(), NotJsonb> {
    let base = (members.stack.len(), members.names.len());
    let written = write(json, numbers, members, out);
    members.stack.truncate(base.0);
    members.names.truncate(base.1);
    written
}

fn write(json: &str, numbers: Numbers, members: &mut Members, out: &mut String) -> Result<(), NotJsonb> {
    match json.as_bytes()[0] {
        b'"' => string(json, members, out),
        b'{' => object(json, numbers, members, out),
        b'[' => {
            out.push('[');
            let mut is_first = true;
            elements(json, |element| {
                if !std::mem::replace(&mut is_first, false) {
                    out.push_str(", ");
                }
                write(element, numbers, members, out)
            })?;
            out.push(']');
            Ok(())
        }
        b'-' | b'0'..=b'9' => number(json, numbers, out),
        _ => {
            out.push_str(json);
            Ok(())
        }
    }
}

fn number(json: &str, numbers: Numbers, out: &mut String) -> Result<(), NotJsonb> {
    let is_plain = !json.starts_with('-') && !json.contains(['e', 'E']);
    if is_plain && (numbers == Numbers::Printed || !json.contains('.')) {
        out.push_str(json);
        return Ok(());
    }
    let mut digits = Digits::parse(json).ok_or(NotJsonb::Number)?;
    digits.check().map_err(|_| NotJsonb::Number)?;
    if numbers == Numbers::ByValue {
        digits.shorten();
    }
    digits.print(out);
    Ok(())
}

fn string(json: &str, members: &mut Members, out: &mut String) -> Result<(), NotJsonb> {
    if memchr::memchr(b'\\', json.as_bytes()).is_none() {
        out.push_str(json);
        return Ok(());
    }
    let start = members.names.len();
    unescape(json, &mut members.names).map_err(|()| NotJsonb::Text)?;
    quote(&members.names[start..], out)?;
    members.names.truncate(start);
    Ok(())
}

/// Appends a text in quotes, with the escapes that PostgreSQL uses.
pub(super) fn quote(text: &str, out: &mut String) -> Result<(), NotJsonb> {
    out.push('"');
    for c in text.chars() {
        match c {
            '\0' => return Err(NotJsonb::Text),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    Ok(())
}

fn object(json: &str, numbers: Numbers, members: &mut Members, out: &mut String) -> Result<(), NotJsonb> {
    let base = (members.stack.len(), members.names.len());
    collect(json, members)?;
    let Members { stack, names } = &mut *members;
    let name = |member: &Member| &names[member.name.clone()];
    stack[base.0..].sort_by(|a, b| (name(a).len(), name(a)).cmp(&(name(b).len(), name(b))));
    out.push('{');
    let end = members.stack.len();
    let mut is_first = true;
    for index in base.0..end {
        let Member { name, value } = members.stack[index].clone();
        // The sort is stable: the last of equal names counts.
        let next = (index + 1 < end).then(|| members.stack[index + 1].name.clone());
        if next.is_some_and(|next| members.names[next] == members.names[name.clone()]) {
            continue;
        }
        if !std::mem::replace(&mut is_first, false) {
            out.push_str(", ");
        }
        quote(&members.names[name], out)?;
        out.push_str(": ");
        write(&json[value], numbers, members, out)?;
    }
    out.push('}');
    members.stack.truncate(base.0);
    members.names.truncate(base.1);
    Ok(())
}

/// Pushes the members of an object, values as ranges of `json`.
fn collect(json: &str, members: &mut Members) -> Result<(), NotJsonb> {
    let bytes = json.as_bytes();
    let mut at = skip_blanks(bytes, 1);
    while bytes[at] != b'}' {
        let name_end = string_end(bytes, at);
        let start = members.names.len();
        unescape(&json[at..name_end], &mut members.names).map_err(|()| NotJsonb::Text)?;
        let name = start..members.names.len();
        let colon = skip_blanks(bytes, name_end);
        let from = skip_blanks(bytes, colon + 1);
        let to = value_end(bytes, from);
        members.stack.push(Member { name, value: from..to });
        at = skip_blanks(bytes, to);
        if bytes[at] == b',' {
            at = skip_blanks(bytes, at + 1);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn jsonb(json: &str) -> Result<String, NotJsonb> {
        let mut out = String::new();
        canonical(json, Numbers::Printed, &mut Members::default(), &mut out).map(|()| out)
    }

    #[test]
    fn jsonb_is_sorted_by_length_and_then_by_bytes() {
        for (json, expected) in [
            ("1.50", "1.50"),
            ("-0", "0"),
            ("-0.0", "0.0"),
            ("1e3", "1000"),
            ("1.5E-5", "0.000015"),
            ("null", "null"),
            ("[ ]", "[]"),
            ("{ }", "{}"),
            (r#"[1,[2,"x"],{"b":1,"a":[]}]"#, r#"[1, [2, "x"], {"a": [], "b": 1}]"#),
            (r#"{"b":1,"aa":2,"a":3,"B":4,"a":5,"é":6}"#, r#"{"B": 4, "a": 5, "b": 1, "aa": 2, "é": 6}"#),
            (
                r#"{"a":{"z":1,"y":{"x":1,"x":2}},"a2":"\/\u00e9\u0001\"\\"}"#,
                r#"{"a": {"y": {"x": 2}, "z": 1}, "a2": "/é\u0001\"\\"}"#,
            ),
        ] {
            assert_eq!(jsonb(json).as_deref(), Ok(expected), "{json}");
        }
        assert_eq!(jsonb(r#"{"a":["\u0000"]}"#), Err(NotJsonb::Text));
        assert_eq!(jsonb(r#"{"\ud800":1}"#), Err(NotJsonb::Text));
        assert_eq!(jsonb(r#""\ud800\u0041""#), Err(NotJsonb::Text));
        assert_eq!(jsonb("[1e200000]"), Err(NotJsonb::Number));
    }

    #[test]
    fn equal_numbers_can_be_written_alike() {
        let mut out = String::new();
        let json = "[1.50,1.5,15e-1,-0.0,100,1e2,0.0]";
        canonical(json, Numbers::ByValue, &mut Members::default(), &mut out).unwrap();
        assert_eq!(out, "[1.5, 1.5, 1.5, 0, 100, 100, 0]");
    }

    #[test]
    fn blanks_inside_texts_stay() {
        let mut out = String::new();
        compact("{ \"a \\\" b\" : [ 1 ,\n\t2 ] , \"c\":\" \" }", &mut out);
        assert_eq!(out, "{\"a \\\" b\":[1,2],\"c\":\" \"}");
    }

    fn value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<String>().prop_map(|s| s.replace('\0', "").into()),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                proptest::collection::btree_map("[a-cé\"\n]{0,3}", inner, 0..6)
                    .prop_map(|m| m.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        #[test]
        fn rewriting_keeps_the_value(value in value()) {
            let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            for json in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                let sorted = jsonb(&json).unwrap();
                prop_assert_eq!(&parse(&sorted), &value);
                prop_assert_eq!(jsonb(&sorted).unwrap(), sorted);
                let mut small = String::new();
                compact(&json, &mut small);
                prop_assert_eq!(small, value.to_string());
            }
        }

        #[test]
        fn texts_lose_their_escapes(text in any::<String>()) {
            let ascii: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            for json in [serde_json::to_string(&text).unwrap(), format!("\"{ascii}\"")] {
                let mut out = String::new();
                prop_assert_eq!(unescape(&json, &mut out), Ok(()));
                prop_assert_eq!(&out, &text);
            }
        }
    }
}
