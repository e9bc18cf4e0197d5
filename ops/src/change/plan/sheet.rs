//! `inserts.csv` and `updates.csv`: what a reviewer opens in a spreadsheet.
//!
//! RFC 4180 with CRLF. NULL and what an insertion leaves to its default are empty, an empty text is `""`; a field
//! is quoted when it is empty or holds a comma, a quote or a line break. Exact values are in `changes.ndjson`.

use super::layout::{Layout, changed};
use crate::target::Change;
use crate::value::{Value, ValueRef};

/// The header of `inserts.csv`: the columns in the table's order.
pub(super) fn insert_header(layout: &Layout, out: &mut Vec<u8>) {
    record(layout.each_column().map(|column| Some(ValueRef::Text(&column.name))), out);
}

/// The header of `updates.csv`: the key, the other columns in the table's order, the names of what changes.
pub(super) fn update_header(layout: &Layout, out: &mut Vec<u8>) {
    let names = key_first(layout).map(|at| layout.column(at).name.as_str());
    record(names.chain(["changed_columns"]).map(|name| Some(ValueRef::Text(name))), out);
}

/// Appends an insertion; other changes have no line in `inserts.csv`.
pub(super) fn insert_line(change: &Change, out: &mut Vec<u8>) {
    if let Change::Insert { after } = change {
        record(after.iter().map(|value| value.as_ref().map(Value::as_ref)), out);
    }
}

/// Appends the new values of an update; other changes have no line in `updates.csv`.
pub(super) fn update_line(layout: &Layout, change: &Change, out: &mut Vec<u8>) {
    let Change::Update { before, after } = change else { return };
    let names: Vec<&str> = changed(before, after).map(|at| layout.column(at).name.as_str()).collect();
    let names = names.join("; ");
    let values = key_first(layout).map(|at| Some(after[at].as_ref()));
    record(values.chain([Some(ValueRef::Text(&names))]), out);
}

fn key_first(layout: &Layout) -> impl Iterator<Item = usize> + '_ {
    let others = (0..layout.width()).filter(|at| !layout.key_at().contains(at));
    layout.key_at().iter().copied().chain(others)
}

fn record<'a>(fields: impl Iterator<Item = Option<ValueRef<'a>>>, out: &mut Vec<u8>) {
    for (i, value) in fields.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        field(value.unwrap_or(ValueRef::Null), out);
    }
    out.extend_from_slice(b"\r\n");
}

fn field(value: ValueRef<'_>, out: &mut Vec<u8>) {
    match value {
        ValueRef::Null => (),
        ValueRef::Text(text) | ValueRef::Json(text) | ValueRef::Number(text) => quoted(text, out),
        other => plain(other, out),
    }
}

fn quoted(text: &str, out: &mut Vec<u8>) {
    if !text.is_empty()
        && memchr::memchr3(b',', b'"', b'\n', text.as_bytes()).is_none()
        && !text.contains('\r')
    {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    for piece in text.split_inclusive('"') {
        out.extend_from_slice(piece.as_bytes());
        if piece.ends_with('"') {
            out.push(b'"');
        }
    }
    out.push(b'"');
}

/// Appends a value as people read it: text as it is, bytes as `\x` and hexadecimal digits, nothing for NULL.
pub(crate) fn plain(value: ValueRef<'_>, out: &mut Vec<u8>) {
    match value {
        ValueRef::Null => (),
        ValueRef::Text(text) | ValueRef::Json(text) | ValueRef::Number(text) => {
            out.extend_from_slice(text.as_bytes());
        }
        ValueRef::Bytes(bytes) => {
            out.extend_from_slice(b"\\x");
            out.extend_from_slice(crate::ids::hex(bytes).as_bytes());
        }
        ValueRef::Real(x) => out.extend_from_slice(format!("{x:?}").as_bytes()),
        other => crate::value::write_json(other, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(fields: &[Option<Value>]) -> String {
        let mut out = Vec::new();
        record(fields.iter().map(|f| f.as_ref().map(Value::as_ref)), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fields_are_quoted_only_where_they_must_be() {
        let text = |t: &str| Some(Value::Text(t.into()));
        for (value, expected) in [
            (None, "\r\n"),
            (Some(Value::Null), "\r\n"),
            (text(""), "\"\"\r\n"),
            (text("a b"), "a b\r\n"),
            (text("a,b"), "\"a,b\"\r\n"),
            (text("a\"\""), "\"a\"\"\"\"\"\r\n"),
            (text("a\nb"), "\"a\nb\"\r\n"),
            (text("a\rb"), "\"a\rb\"\r\n"),
            (Some(Value::Bytes(vec![0, 255])), "\\x00ff\r\n"),
            (Some(Value::Bool(true)), "true\r\n"),
            (Some(Value::Real(1.0)), "1.0\r\n"),
            (Some(Value::Real(f64::NAN)), "NaN\r\n"),
            (Some(Value::Int(-5)), "-5\r\n"),
            (Some(Value::Json("{\"a\":1}".into())), "\"{\"\"a\"\":1}\"\r\n"),
        ] {
            assert_eq!(line(&[value]), expected);
        }
    }

    #[test]
    fn a_reader_of_csv_gets_the_texts_back() {
        let texts = ["", "plain", " blank ", "a,\"b\"\r\nc", "é\u{1f642}", "\"", "\n"];
        let row: Vec<Option<Value>> = texts.iter().map(|t| Some(Value::Text((*t).into()))).collect();
        let written = line(&row);
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(written.as_bytes());
        let record = reader.records().next().unwrap().unwrap();
        assert_eq!(record.iter().collect::<Vec<_>>(), texts);
    }
}
