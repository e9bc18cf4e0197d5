//! Rows as the cleaned files spell them: an element of an indented JSON array, and a line of a CSV sheet.
//!
//! Both are what the Python programs around these files write: two blanks of indent and text as it is in JSON; CRLF,
//! quotes only where they are needed, `True` and `False`, lists as ASCII JSON in CSV. NULL is an empty cell and the
//! empty text is `""`, so that PostgreSQL reads back which it was.

use super::layout::Layout;
use super::packed::{Cells, Kept};
use crate::cleanup::{Cell, Part, score};
use crate::swar;
use crate::value::{Signs, write_json_signed, write_json_string};

/// What is known of a row besides its cells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Verdict {
    /// Ten-thousandths.
    pub(super) score: u16,
    pub(super) is_fragment: bool,
}

/// Appends a row, given by its kept cells, as an element of the array, without what separates it from others.
pub(super) fn json_row(out: &mut Vec<u8>, layout: &Layout, cells: &[u8], verdict: Verdict) {
    out.extend_from_slice(b"  {");
    for (place, cell) in layout.kept().zip(Cells(cells)) {
        match cell {
            Kept::Absent => {}
            Kept::Null => out.extend_from_slice(&layout.nulls[place]),
            Kept::Json(json) => {
                out.extend_from_slice(&layout.members[place]);
                json_value(out, json);
                out.push(b',');
            }
            Kept::Text(text, signs) => {
                out.extend_from_slice(&layout.members[place]);
                write_json_signed(text, signs, out);
                out.push(b',');
            }
        }
    }
    out.extend_from_slice(&layout.score);
    score_text(out, verdict.score);
    out.extend_from_slice(&layout.flags[usize::from(verdict.is_fragment)]);
    out.extend_from_slice(ROW_END);
}

/// Appends the name of a member of a row, with what stands around it.
pub(super) fn member(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b"    ");
    write_json_string(name, out);
    out.extend_from_slice(b": ");
}

/// Appends a cell as one JSON value, as members of rows are spelled.
pub(super) fn json_cell(out: &mut Vec<u8>, cell: &Cell<'_>) {
    match cell {
        Cell::Absent | Cell::Null => out.extend_from_slice(b"null"),
        Cell::Text(text) => write_json_string(text, out),
        Cell::Json(json) => json_value(out, json.as_bytes()),
    }
}

/// Appends a JSON value that is no text.
fn json_value(out: &mut Vec<u8>, json: &[u8]) {
    if !matches!(json.trim_ascii_start(), [b'[' | b'{', ..]) {
        out.extend_from_slice(json.trim_ascii());
    } else if !texts(out, json, [b"[\n      \"", b"\",\n      \"", b"\"\n    ]"]) {
        respell(out, json, Spelling::Indented(4));
    }
}

/// Appends a cell as JSON on one line, as the lists of changes have it.
pub(super) fn json_compact(out: &mut Vec<u8>, cell: &Cell<'_>) {
    match cell {
        Cell::Json(json) => respell(out, json.as_bytes(), Spelling::Compact),
        cell => json_cell(out, cell),
    }
}

/// Appends a JSON array of texts without blanks and escapes, with other signs at its start, between its texts, and at its
/// end; nothing if it is another JSON value.
fn texts(out: &mut Vec<u8>, json: &[u8], [start, between, end]: [&[u8]; 3]) -> bool {
    let from = out.len();
    let marks = |word| swar::equal(word, b'"') | swar::equal(word, b'\\');
    let (mut rest, mut sign) = (json.strip_prefix(b"[\""), start);
    while let Some(bytes) = rest {
        let length = swar::find(bytes, 0, marks, |byte| matches!(byte, b'"' | b'\\'));
        out.extend_from_slice(sign);
        out.extend_from_slice(&bytes[..length]);
        match &bytes[length..] {
            b"\"]" => {
                out.extend_from_slice(end);
                return true;
            }
            [b'"', b',', b'"', ..] => (rest, sign) = (Some(&bytes[length + 3..]), between),
            _ => break,
        }
    }
    out.truncate(from);
    false
}

/// Appends ten-thousandths as the shortest decimal number with a point.
pub(super) fn score_text(out: &mut Vec<u8>, score: u16) {
    let digits = [score / 1000 % 10, score / 100 % 10, score / 10 % 10, score % 10];
    let shown = digits.iter().rposition(|digit| *digit != 0).map_or(1, |last| last + 1);
    out.push(digit(score / 10_000));
    out.push(b'.');
    out.extend(digits[..shown].iter().map(|d| digit(*d)));
}

fn digit(n: u16) -> u8 {
    b'0' + u8::try_from(n).expect("a digit")
}

/// Appends the names of the sheet's columns as its first line.
pub(super) fn csv_header(out: &mut Vec<u8>, layout: &Layout) {
    let places = layout.sheet.iter().copied().chain(layout.carried());
    csv_line(out, places.map(|place| &layout.names()[place]), |out, name| csv_text(out, name.as_bytes()));
}

/// Appends a row, given by its kept cells, as a line of the sheet.
pub(super) fn csv_row(out: &mut Vec<u8>, layout: &Layout, row: &[u8]) {
    let mut cells = Vec::with_capacity(layout.names().len());
    cells.extend(Cells(row));
    let carried = layout.declared..cells.len();
    csv_line(out, layout.sheet.iter().copied().chain(carried), |out, index| match cells[index] {
        Kept::Absent | Kept::Null => {}
        Kept::Json(json) => csv_json(out, json),
        Kept::Text(text, Signs::None) if !text.is_empty() => out.extend_from_slice(text),
        Kept::Text(text, _) => csv_text(out, text),
    });
}

/// Appends cells with commas between and the end of the line.
pub(super) fn csv_line<T>(
    out: &mut Vec<u8>,
    cells: impl Iterator<Item = T>,
    write: impl Fn(&mut Vec<u8>, T),
) {
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, cell);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends a cell of the sheet.
pub(super) fn csv_cell(out: &mut Vec<u8>, cell: &Cell<'_>) {
    match cell {
        Cell::Absent | Cell::Null => {}
        Cell::Text(text) => csv_text(out, text.as_bytes()),
        Cell::Json(json) => csv_json(out, json.as_bytes()),
    }
}

fn csv_json(out: &mut Vec<u8>, json: &[u8]) {
    match json {
        b"true" => out.extend_from_slice(b"True"),
        b"false" => out.extend_from_slice(b"False"),
        [b'[' | b'{', ..] => {
            if json.is_ascii() && texts(out, json, [b"\"[\"\"", b"\"\", \"\"", b"\"\"]\""]) {
                return;
            }
            let mut text = Vec::with_capacity(json.len() + 16);
            respell(&mut text, json, Spelling::Spaced);
            csv_bytes(out, &text);
        }
        number => out.extend_from_slice(number),
    }
}

/// Appends a text of the sheet.
pub(super) fn csv_text(out: &mut Vec<u8>, text: &[u8]) {
    if text.is_empty() {
        out.extend_from_slice(b"\"\"");
    } else {
        csv_bytes(out, text);
    }
}

fn csv_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let is_special = memchr::memchr3(b',', b'"', b'\n', bytes).or_else(|| memchr::memchr(b'\r', bytes));
    if is_special.is_none() {
        out.extend_from_slice(bytes);
        return;
    }
    out.push(b'"');
    let mut from = 0;
    for quote in memchr::memchr_iter(b'"', bytes) {
        out.extend_from_slice(&bytes[from..=quote]);
        from = quote;
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}

/// Appends JSON as a sheet spells it: on one line, with blanks behind `,` and `:`, ASCII only.
pub(super) fn spaced(out: &mut Vec<u8>, json: &str) {
    respell(out, json.as_bytes(), Spelling::Spaced);
}

/// What stands behind the last member of a row.
const ROW_END: &[u8] = b"\n  }";

/// Appends the members that an element of the list of fragments has besides those of the row.
pub(super) fn fragment(out: &mut Vec<u8>, parts: &[Part], values: &[f64], advice: &[String]) {
    out.extend_from_slice(b",\n    \"integrity_parts\": {");
    for (index, (part, value)) in parts.iter().zip(values).enumerate() {
        out.extend_from_slice(if index > 0 { b",\n      " } else { b"\n      " });
        write_json_string(part.name(), out);
        let (value, weight) = (score::round(*value), part.weight());
        out.extend_from_slice(format!(": {{\"score\": {value:?}, \"weight\": {weight:?}}}").as_bytes());
    }
    out.extend_from_slice(b"\n    },\n    \"integrity_advice\": [");
    for (index, text) in advice.iter().enumerate() {
        out.extend_from_slice(if index > 0 { b",\n      " } else { b"\n      " });
        write_json_string(text, out);
    }
    out.extend_from_slice(if advice.is_empty() { b"]" } else { b"\n    ]" });
}

/// A row of the array without its end, so that more members can follow.
pub(super) fn without_end(json: &[u8]) -> &[u8] {
    json.strip_suffix(ROW_END).expect("a row ends like this")
}

/// How JSON that is there already is written again.
#[derive(Debug, Clone, Copy)]
enum Spelling {
    /// On lines of their own, this many blanks being around it.
    Indented(usize),
    /// Without any blanks.
    Compact,
    /// Blanks behind `,` and `:`, and ASCII only.
    Spaced,
}

/// Writes valid JSON again with other blanks; numbers and texts stay as they are spelled.
fn respell(out: &mut Vec<u8>, bytes: &[u8], spelling: Spelling) {
    let (mut at, mut depth) = (0, 0);
    while let Some(byte) = bytes.get(at) {
        let mut next = at + 1;
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => {}
            b'"' => {
                next = string_end(bytes, at);
                let text = &bytes[at..next];
                if matches!(spelling, Spelling::Spaced) && !text.is_ascii() {
                    ascii(out, str::from_utf8(text).expect("JSON is text"));
                } else {
                    out.extend_from_slice(text);
                }
            }
            b'[' | b'{' => {
                out.push(*byte);
                let inside = at + 1 + blanks(&bytes[at + 1..]);
                if matches!(bytes.get(inside), Some(b']' | b'}')) {
                    out.push(bytes[inside]);
                    next = inside + 1;
                } else {
                    depth += 1;
                    line(out, spelling, depth);
                }
            }
            b']' | b'}' => {
                depth -= 1;
                line(out, spelling, depth);
                out.push(*byte);
            }
            b',' => {
                out.push(b',');
                line(out, spelling, depth);
                if matches!(spelling, Spelling::Spaced) {
                    out.push(b' ');
                }
            }
            b':' => {
                out.push(b':');
                if !matches!(spelling, Spelling::Compact) {
                    out.push(b' ');
                }
            }
            other => out.push(*other),
        }
        at = next;
    }
}

fn blanks(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count()
}

/// Begins a line at a depth of nesting, where the spelling has lines.
fn line(out: &mut Vec<u8>, spelling: Spelling, depth: usize) {
    if let Spelling::Indented(around) = spelling {
        out.push(b'\n');
        out.resize(out.len() + around + 2 * depth, b' ');
    }
}

/// The offset behind the string that starts at `from`.
fn string_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    while let Some(found) = memchr::memchr2(b'"', b'\\', &bytes[at..]) {
        at += found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}

/// Appends text with every character beyond ASCII as an escape, in UTF-16 as JSON has it.
fn ascii(out: &mut Vec<u8>, text: &str) {
    let mut units = [0; 2];
    for c in text.chars() {
        if c.is_ascii() {
            out.extend_from_slice(c.encode_utf8(&mut [0; 1]).as_bytes());
        } else {
            for unit in c.encode_utf16(&mut units) {
                let digit = |shift: u32| b"0123456789abcdef"[usize::from(*unit >> shift & 0xf)];
                out.extend_from_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn scores_are_the_shortest_numbers() {
        for (n, expected) in
            [(0, "0.0"), (4100, "0.41"), (5575, "0.5575"), (10_000, "1.0"), (9, "0.0009"), (5000, "0.5")]
        {
            assert_eq!(text(|out| score_text(out, n)), expected);
        }
    }

    #[test]
    fn json_is_written_again_in_three_spellings() {
        let json = "{\"a\":[1, 2.50,\"x,\\\"\u{e9}\u{1f4a1}\"],\"b\":{ },\"c\":[]}";
        assert_eq!(
            text(|out| respell(out, json.as_bytes(), Spelling::Indented(4))),
            "{\n      \"a\": [\n        1,\n        2.50,\n        \"x,\\\"\u{e9}\u{1f4a1}\"\n      ],\n      \"b\": {},\n      \"c\": []\n    }"
        );
        assert_eq!(
            text(|out| respell(out, json.as_bytes(), Spelling::Compact)),
            json.replace("{ }", "{}").replace(", ", ",")
        );
        assert_eq!(
            text(|out| respell(out, json.as_bytes(), Spelling::Spaced)),
            r#"{"a": [1, 2.50, "x,\"\u00e9\ud83d\udca1"], "b": {}, "c": []}"#
        );
    }

    #[test]
    fn cells_of_a_sheet() {
        let json = |text: &'static str| Cell::Json(Cow::Borrowed(text));
        let plain = |text: &'static str| Cell::Text(Cow::Borrowed(text));
        for (cell, expected) in [
            (Cell::Null, ""),
            (Cell::Absent, ""),
            (plain(""), "\"\""),
            (plain("a b"), "a b"),
            (plain("a,b"), "\"a,b\""),
            (plain("say \"hi\""), "\"say \"\"hi\"\"\""),
            (plain("\""), "\"\"\"\""),
            (plain("two\nlines"), "\"two\nlines\""),
            (
                plain("0123456789012345678901234567890123456789\r"),
                "\"0123456789012345678901234567890123456789\r\"",
            ),
            (json("true"), "True"),
            (json("false"), "False"),
            (json("-1.50"), "-1.50"),
            (json("[\"a\",\"\u{e9}\"]"), "\"[\"\"a\"\", \"\"\\u00e9\"\"]\""),
            (json("[]"), "[]"),
            (json("[\"a\",\"b, c\"]"), "\"[\"\"a\"\", \"\"b, c\"\"]\""),
            (json("[\"\"]"), "\"[\"\"\"\"]\""),
        ] {
            assert_eq!(text(|out| csv_cell(out, &cell)), expected);
        }
    }

    #[test]
    fn arrays_of_texts_are_written_like_all_others() {
        for json in [
            "[\"a\"]",
            "[\"\",\"b, c\",\"d\"]",
            "[\"a\\\"\",\"b\"]",
            "[\"a\", \"b\"]",
            "[\"\u{e9}\",1]",
            "[\"a\",[\"b\"]]",
            "[]",
            "[1]",
            "{\"a\":\"b\"}",
            "[\"a\"] ",
        ] {
            let cell = Cell::Json(Cow::Borrowed(json));
            let indented = text(|out| respell(out, json.as_bytes(), Spelling::Indented(4)));
            assert_eq!(text(|out| json_cell(out, &cell)), indented);
            let spaced = text(|out| respell(out, json.as_bytes(), Spelling::Spaced));
            assert_eq!(text(|out| csv_cell(out, &cell)), text(|out| csv_bytes(out, spaced.as_bytes())));
        }
    }
}
