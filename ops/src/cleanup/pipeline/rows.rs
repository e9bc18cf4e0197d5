//! Records of a batch as rows: the same cells whatever format they were read from.

use std::borrow::Cow;

use super::columns::Columns;
use crate::cleanup::{Cell, Row};
use crate::records::{Batch, Entry, Field, Record, Reject};
use crate::swar;

/// Gives every record of a batch as a row to `each`, in order; what is no row goes to `bad`.
pub(super) fn rows(
    batch: &mut Batch,
    columns: &mut Columns,
    mut each: impl for<'a> FnMut(&mut Row<'a>, usize),
    mut bad: impl FnMut(Reject),
) {
    let mut row = Row { ordinal: 0, at: 0, line: 0, open: None, cells: Vec::new() };
    for entry in batch.entries() {
        let (ordinal, record) = match entry {
            Entry::Record { ordinal, record } => (ordinal, record),
            Entry::Reject(reject) => {
                bad(reject.clone());
                continue;
            }
        };
        let places = columns.of_record(record.names(), ordinal);
        row.cells.fill_with(Cell::default);
        row.cells.resize_with(columns.names.len(), Cell::default);
        (row.ordinal, row.at, row.line) = (ordinal, record.at, record.line);
        row.open = places.last().filter(|_| record.is_open()).map(|place| *place as usize);
        match fill(record, &places, &mut row.cells) {
            Ok(()) => each(&mut row, columns.names.len()),
            Err(reason) => bad(Reject {
                ordinal,
                at: record.at,
                length: 0,
                line: record.line,
                wrong_at: record.at,
                reason,
                snippet: String::new(),
            }),
        }
    }
}

fn fill<'a>(record: Record<'a>, places: &[u32], cells: &mut [Cell<'a>]) -> Result<(), String> {
    for (index, place) in places.iter().enumerate() {
        let cell = &mut cells[*place as usize];
        if let Some(text) = record.plain(index) {
            *cell = Cell::Text(Cow::Borrowed(text));
            continue;
        }
        *cell = match record.field(index) {
            Field::Json(text) => json(text)?,
            Field::Cell("") => Cell::Null,
            Field::Cell(text) | Field::Quoted(text) => Cell::Text(Cow::Borrowed(text)),
        };
    }
    Ok(())
}

/// A JSON value as a cell.
pub(super) fn json(text: &str) -> Result<Cell<'_>, String> {
    Ok(match text.as_bytes() {
        [b'"', ..] => Cell::Text(unquoted(text)?),
        b"null" => Cell::Null,
        _ => Cell::Json(Cow::Borrowed(text)),
    })
}

/// A JSON string without quotes and escapes; copied only if it has escapes.
fn unquoted(text: &str) -> Result<Cow<'_, str>, String> {
    let inner = &text[1..text.len() - 1];
    let Some(first) = memchr::memchr(b'\\', inner.as_bytes()) else { return Ok(Cow::Borrowed(inner)) };
    if let Some(plain) = unescaped(inner, first) {
        return Ok(Cow::Owned(plain));
    }
    let text = serde_json::from_str(text).map_err(|_| "a text with half of a surrogate pair".to_owned())?;
    Ok(Cow::Owned(text))
}

/// A text without its escapes, of which `first` is the first; `None` where there are halves of surrogate pairs, or what
/// is no JSON.
fn unescaped(text: &str, first: usize) -> Option<String> {
    let bytes = text.as_bytes();
    let is_control = |byte: u8| byte < b' ';
    if swar::find_far(bytes, 0, |word| swar::between(word, 0, 0x1f), is_control) < bytes.len() {
        return None;
    }
    let mut plain = String::with_capacity(text.len());
    let (mut from, mut next) = (0, Some(first));
    while let Some(at) = next {
        plain.push_str(&text[from..at]);
        from = at + 2;
        plain.push(match bytes.get(at + 1)? {
            sign @ (b'"' | b'\\' | b'/') => char::from(*sign),
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => {
                let digits = bytes.get(from..from + 4)?;
                from += 4;
                let digit = |unit, byte: &u8| Some(unit * 16 + char::from(*byte).to_digit(16)?);
                char::from_u32(digits.iter().try_fold(0, digit)?)?
            }
            _ => return None,
        });
        next = memchr::memchr(b'\\', &bytes[from..]).map(|found| from + found);
    }
    plain.push_str(&text[from..]);
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read_as_json_has_them() {
        for text in [
            r#""a\tb\n\r\b\f\/\\\"""#,
            r#""\u00e9\u0041x""#,
            r#""\ud83d\udca1!""#,
            r#""\u00E9""#,
            r#""x\ud83d""#,
            r#""\ud83d\u0041""#,
            r#""\u00g9""#,
            r#""\x""#,
            r#""\u00""#,
            "\"\\t\u{1}\"",
            r#""\u+0e9""#,
        ] {
            let expected = serde_json::from_str::<String>(text).ok();
            assert_eq!(unquoted(text).ok().as_deref(), expected.as_deref(), "{text}");
        }
    }
}
