//! CSV and JSON Lines, row by row, without holding more than one.

use std::io::Write;

use super::{ExportError, Rows, Written};
use crate::ids::hex;
use crate::value::{ValueRef, write_json};

/// Comma-separated values with a head, ended by line feeds. NULL is an empty field and an empty text is quoted, so
/// that the two can be told apart by readers that care.
pub(super) fn csv(rows: &mut dyn Rows, out: &mut dyn Write) -> Result<Written, ExportError> {
    let mut line = Vec::new();
    let width = rows.columns().len();
    for (i, column) in rows.columns().iter().enumerate() {
        separate(&mut line, i);
        field(&mut line, &column.name);
    }
    line.push(b'\n');
    out.write_all(&line)?;
    let mut count = 0;
    rows.read(&mut |values| {
        count += 1;
        line.clear();
        for (i, value) in values.iter().enumerate() {
            separate(&mut line, i);
            match value {
                ValueRef::Null => {}
                ValueRef::Bool(b) => line.extend_from_slice(if *b { b"true" } else { b"false" }),
                ValueRef::Int(n) => write!(line, "{n}")?,
                ValueRef::Real(x) => write!(line, "{x:?}")?,
                ValueRef::Number(text) | ValueRef::Text(text) | ValueRef::Json(text) => {
                    field(&mut line, text);
                }
                ValueRef::Bytes(bytes) => write!(line, "\\x{}", hex(bytes))?,
            }
        }
        line.push(b'\n');
        Ok(out.write_all(&line)?)
    })?;
    Ok(Written { rows: count, columns: width as u64, mixed: Vec::new() })
}

fn separate(line: &mut Vec<u8>, i: usize) {
    if i > 0 {
        line.push(b',');
    }
}

fn field(line: &mut Vec<u8>, text: &str) {
    let is_plain = |b: u8| !matches!(b, b'"' | b',' | b'\n' | b'\r');
    if !text.is_empty() && text.bytes().all(is_plain) {
        line.extend_from_slice(text.as_bytes());
        return;
    }
    line.push(b'"');
    line.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    line.push(b'"');
}

/// One JSON object for each line, exact: see [`write_json`].
pub(super) fn ndjson(rows: &mut dyn Rows, out: &mut dyn Write) -> Result<Written, ExportError> {
    let name = |column: &super::Column| serde_json::Value::from(column.name.as_str()).to_string();
    let names: Vec<String> = rows.columns().iter().map(name).collect();
    let mut line = Vec::new();
    let mut count = 0;
    rows.read(&mut |values| {
        count += 1;
        line.clear();
        for (i, (name, value)) in names.iter().zip(values).enumerate() {
            line.push(if i == 0 { b'{' } else { b',' });
            line.extend_from_slice(name.as_bytes());
            line.push(b':');
            write_json(*value, &mut line);
        }
        line.extend_from_slice(b"}\n");
        Ok(out.write_all(&line)?)
    })?;
    Ok(Written { rows: count, columns: names.len() as u64, mixed: Vec::new() })
}
