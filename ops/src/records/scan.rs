//! Finds the end of a JSON value and nothing more: no value is built, every byte is looked at once.
//!
//! What passes here is JSON except that its texts may not be UTF-8 and may hold lone surrogates.

use super::error::Fault;
use super::{Form, Span};
use crate::swar;

/// Nesting that is refused: no row is this deep, and the scan must not run out of stack.
const DEPTH_MAX: usize = 512;

/// Why a scan did not find the end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The bytes ran out first.
    End,
    /// This is not JSON.
    Fault(Fault),
}

fn fault<T>(at: usize, what: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Fault(Fault::new(at, what)))
}

/// A range of bytes; records are smaller than 4 GiB.
pub(super) type Range = (u32, u32);

/// The ranges of the names (with their quotes) of an object, and its values.
#[derive(Debug, Default)]
pub(super) struct Members {
    pub(super) names: Vec<Range>,
    pub(super) values: Vec<Span>,
    /// Whether the names are the ones that were expected, all of them and no others.
    pub(super) is_expected: bool,
}

/// Scans the object that starts at `from`. Names are expected in the order of `known`, which makes it faster.
/// Gives the offset behind the object.
pub(super) fn object(
    bytes: &[u8],
    from: usize,
    known: &[Box<[u8]>],
    out: &mut Members,
) -> Result<usize, Stop> {
    out.names.clear();
    out.values.clear();
    out.is_expected = known.is_empty();
    let mut at = blanks(bytes, from + 1)?;
    if bytes[at] == b'}' {
        return Ok(at + 1);
    }
    let mut expected_count = 0;
    loop {
        let expected = known.get(out.names.len());
        let name_end = match expected.filter(|name| bytes[at..].starts_with(name)) {
            Some(name) => {
                expected_count += 1;
                at + name.len()
            }
            None if bytes[at] == b'"' => string(bytes, at)?,
            None => return fault(at, "expected the name of a field in quotes"),
        };
        out.names.push(range(at, name_end));
        let colon = blanks(bytes, name_end)?;
        if bytes[colon] != b':' {
            return fault(colon, "expected `:` after the name of a field");
        }
        let start = blanks(bytes, colon + 1)?;
        let (end, form) = field(bytes, start)?;
        let (from, to) = range(start, end);
        out.values.push(Span { from, to, form });
        at = blanks(bytes, end)?;
        match bytes[at] {
            b',' => at = blanks(bytes, at + 1)?,
            b'}' => {
                out.is_expected = expected_count == known.len() && expected_count == out.names.len();
                return Ok(at + 1);
            }
            _ => return fault(at, "expected `,` or `}` after a field"),
        }
    }
}

fn range(from: usize, to: usize) -> Range {
    let offset = |n: usize| u32::try_from(n).expect("a record is smaller than 4 GiB");
    (offset(from), offset(to))
}

/// The offset of the next byte that is not a blank.
pub(super) fn blanks(bytes: &[u8], mut at: usize) -> Result<usize, Stop> {
    loop {
        match bytes.get(at) {
            // Nearly always there is none.
            Some(byte) if *byte > b' ' => return Ok(at),
            Some(b' ' | b'\n' | b'\r' | b'\t') => at += 1,
            Some(_) => return Ok(at),
            None => return Err(Stop::End),
        }
    }
}

/// The offset behind the value of a field, and what it is.
fn field(bytes: &[u8], at: usize) -> Result<(usize, Form), Stop> {
    if bytes[at] == b'"' {
        let end = swar::find_json(bytes, at + 1);
        if bytes.get(end) == Some(&b'"') {
            return Ok((end + 1, Form::Plain));
        }
    }
    Ok((value(bytes, at, 1)?, Form::Json))
}

/// The offset behind the value that starts at `at`.
fn value(bytes: &[u8], at: usize, depth: usize) -> Result<usize, Stop> {
    match bytes[at] {
        b'"' => string(bytes, at),
        b'-' | b'0'..=b'9' => number(bytes, at),
        b'{' | b'[' => container(bytes, at, depth),
        b't' => word(bytes, at, b"true"),
        b'f' => word(bytes, at, b"false"),
        b'n' => word(bytes, at, b"null"),
        b'N' | b'I' => fault(at, "NaN and Infinity are not JSON: write them as texts, in quotes"),
        _ => fault(at, "expected a JSON value"),
    }
}

fn word(bytes: &[u8], at: usize, word: &[u8]) -> Result<usize, Stop> {
    let found = &bytes[at..bytes.len().min(at + word.len())];
    match found == word {
        true => Ok(at + word.len()),
        false if word.starts_with(found) => Err(Stop::End),
        false => fault(at, "expected a JSON value"),
    }
}

fn container(bytes: &[u8], from: usize, depth: usize) -> Result<usize, Stop> {
    if depth > DEPTH_MAX {
        return fault(from, format!("nested deeper than {DEPTH_MAX} levels"));
    }
    let is_object = bytes[from] == b'{';
    let close = if is_object { b'}' } else { b']' };
    let mut at = blanks(bytes, from + 1)?;
    if bytes[at] == close {
        return Ok(at + 1);
    }
    loop {
        if is_object {
            if bytes[at] != b'"' {
                return fault(at, "expected a name in quotes");
            }
            at = blanks(bytes, string(bytes, at)?)?;
            if bytes[at] != b':' {
                return fault(at, "expected `:` after a name");
            }
            at = blanks(bytes, at + 1)?;
        }
        at = blanks(bytes, value(bytes, at, depth + 1)?)?;
        match bytes[at] {
            b',' => at = blanks(bytes, at + 1)?,
            b if b == close => return Ok(at + 1),
            _ => return fault(at, if is_object { "expected `,` or `}`" } else { "expected `,` or `]`" }),
        }
    }
}

/// The offset behind the string whose opening quote is at `from`.
fn string(bytes: &[u8], from: usize) -> Result<usize, Stop> {
    let mut at = from + 1;
    loop {
        at = swar::find_json(bytes, at);
        match bytes.get(at) {
            None => return Err(Stop::End),
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at = escape(bytes, at)?,
            Some(_) => return fault(at, "a control character in a text must be escaped"),
        }
    }
}

/// The offset behind a string, whatever is in it.
pub(super) fn lenient_string(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        match bytes[at] {
            b'"' => return Some(at + 1),
            _ => at += 2,
        }
    }
}

fn escape(bytes: &[u8], at: usize) -> Result<usize, Stop> {
    match bytes.get(at + 1) {
        None => Err(Stop::End),
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => {
            for digit in at + 2..at + 6 {
                match bytes.get(digit) {
                    None => return Err(Stop::End),
                    Some(byte) if byte.is_ascii_hexdigit() => {}
                    Some(_) => return fault(at, "`\\u` needs four hexadecimal digits"),
                }
            }
            Ok(at + 6)
        }
        Some(_) => fault(at, "no such escape in JSON"),
    }
}

fn number(bytes: &[u8], from: usize) -> Result<usize, Stop> {
    let digits = |mut at: usize| {
        let start = at;
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        match bytes.get(at) {
            None => Err(Stop::End),
            Some(b'I') if at == start => fault(from, "Infinity is not JSON: write it as a text, in quotes"),
            Some(_) if at == start => fault(at, "expected a digit"),
            Some(_) => Ok(at),
        }
    };
    let start = from + usize::from(bytes[from] == b'-');
    let mut at = digits(start)?;
    if bytes[start] == b'0' && at > start + 1 {
        return fault(from, "a number must not start with 0: a code with zeros is a text, in quotes");
    }
    if bytes[at] == b'.' {
        at = digits(at + 1)?;
    }
    if matches!(bytes[at], b'e' | b'E') {
        let sign = bytes.get(at + 1).is_some_and(|b| matches!(b, b'+' | b'-'));
        at = digits(at + 1 + usize::from(sign))?;
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scan(text: &str) -> Result<Vec<(&str, &str)>, Stop> {
        let mut members = Members::default();
        let known = [br#""a""#.to_vec().into_boxed_slice()];
        let end = object(text.as_bytes(), 0, &known, &mut members)?;
        assert_eq!(end, text.len());
        let slice = |from: u32, to: u32| &text[from as usize..to as usize];
        let fields = members.names.iter().zip(&members.values).map(|((from, to), value)| {
            let spelled = slice(value.from, value.to);
            let is_plain = spelled.starts_with('"') && !spelled.contains('\\');
            assert_eq!(value.form, if is_plain { Form::Plain } else { Form::Json }, "{spelled}");
            (slice(*from, *to), spelled)
        });
        Ok(fields.collect())
    }

    #[test]
    fn finds_names_and_values_as_they_are_spelled() {
        assert_eq!(scan("{}"), Ok(vec![]));
        assert_eq!(
            scan("{ \"a\" : 1.50e+3 ,\n\"b\\\"\":\"x\\\\\", \"c\":[1,{\"d\":null}] , \"e\":{ } }"),
            Ok(vec![
                ("\"a\"", "1.50e+3"),
                ("\"b\\\"\"", "\"x\\\\\""),
                ("\"c\"", "[1,{\"d\":null}]"),
                ("\"e\"", "{ }")
            ])
        );
        assert_eq!(scan(r#"{"ab":-0,"a":""}"#), Ok(vec![("\"ab\"", "-0"), ("\"a\"", "\"\"")]));
    }

    #[test]
    fn refuses_what_is_not_json() {
        for (text, at, what) in [
            ("{a:1}", 1, "name"),
            (r#"{"a" 1}"#, 5, "`:`"),
            (r#"{"a":}"#, 5, "value"),
            (r#"{"a":1,}"#, 7, "name"),
            (r#"{"a":1 "b":2}"#, 7, "`,` or `}`"),
            (r#"{"a":NaN}"#, 5, "texts"),
            (r#"{"a":-Infinity}"#, 5, "text"),
            (r#"{"a":007}"#, 5, "zeros"),
            (r#"{"a":1.}"#, 7, "digit"),
            (r#"{"a":.5}"#, 5, "value"),
            (r#"{"a":1e}"#, 7, "digit"),
            (r#"{"a":+1}"#, 5, "value"),
            (r#"{"a":truth}"#, 5, "value"),
            (r#"{"a":"\x"}"#, 6, "escape"),
            (r#"{"a":"\u12g4"}"#, 6, "hexadecimal"),
            ("{\"a\":\"x\ty\"}", 7, "control"),
            (r#"{"a":[1,]}"#, 8, "value"),
            (r#"{"a":[1}"#, 7, "`]`"),
            (r#"{"a":{"b"}}"#, 9, "`:`"),
            (r#"{"a":'x'}"#, 5, "value"),
        ] {
            let Err(Stop::Fault(fault)) = scan(text) else { panic!("{text} passed") };
            assert_eq!(fault.at, at, "{text}: {}", fault.what);
            assert!(fault.what.contains(what), "{text}: {}", fault.what);
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(DEPTH_MAX + 1), "]".repeat(DEPTH_MAX + 1));
        assert!(matches!(scan(&deep), Err(Stop::Fault(fault)) if fault.what.contains("deeper")));
        let deepest = format!("{{\"a\":{}{}}}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX));
        assert!(scan(&deepest).is_ok());
    }

    #[test]
    fn any_cut_is_the_end_and_not_a_fault() {
        let text = r#"{"a":-1.5e-3,"b":"é\u00e9\n","c":[true,false,null,{"d":{}}],"e":""}"#;
        assert!(scan(text).is_ok());
        for cut in (1..text.len()).filter(|cut| text.is_char_boundary(*cut)) {
            assert_eq!(scan(&text[..cut]), Err(Stop::End), "{}", &text[..cut]);
        }
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json(text in r#"\{"a":[\[\]{}",:0-9eE.+tfnrualse \\-]{0,12}\}"#) {
            let mut members = Members::default();
            let scanned = object(text.as_bytes(), 0, &[], &mut members);
            let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(scanned == Ok(text.len()), is_json, "{}", text);
        }

        #[test]
        fn strings_end_where_serde_json_ends_them(value in any::<String>(), tail in any::<String>()) {
            let quoted = serde_json::to_string(&value).unwrap();
            let text = format!("{quoted}{tail}");
            prop_assert_eq!(string(text.as_bytes(), 0), Ok(quoted.len()));
        }
    }
}
