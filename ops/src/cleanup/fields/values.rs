//! One value in the kind of its column.
//!
//! A value that is only spelled in another type (`'3'` for `3`) changes its type without a note: every view of the
//! list of changes spells both the same. What cannot be read is flagged and kept where no default is declared.

use std::borrow::Cow;

use super::super::list;
use super::super::note::{Finding, Note};
use super::super::row::Cell;
use super::super::rules::{Scratch, content};
use super::{change, ids, is_empty};

pub(super) fn integer(
    column: usize,
    cell: &mut Cell<'_>,
    (min, max, default): (i64, i64, Option<i64>),
    notes: &mut Vec<Note>,
) {
    // Nearly all numbers have one digit and stand there as they should; others cost a little more to read.
    if let Cell::Json(json) = cell
        && let [digit @ b'0'..=b'9'] = json.as_bytes()
        && (min..=max).contains(&i64::from(digit - b'0'))
    {
        return;
    }
    let read = content(cell).and_then(|text| whole(text.trim()));
    let (value, evidence) = match (read, default) {
        (Some(value), _) => (value.clamp(min, max), "clamped to the range of the column"),
        (None, Some(default)) => (default, "no number: the default of the column"),
        (None, None) => {
            if !is_empty(cell) {
                bad(column, "no whole number", notes);
            }
            return;
        }
    };
    put(column, cell, Cow::Owned(value.to_string()), ids::INTEGER, evidence, notes);
}

/// A whole number, also as `3.0`; beyond 64 bits the nearest end.
fn whole(text: &str) -> Option<i64> {
    if let Ok(value) = text.parse() {
        return Some(value);
    }
    let is_number = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
    let value = text.parse::<f64>().ok().filter(|value| is_number && value.fract() == 0.0)?;
    #[expect(clippy::cast_possible_truncation, reason = "saturates, as it should")]
    let value = value as i64;
    Some(value)
}

/// PostgreSQL's COPY writes `t`, SQLite 1; everything but those and `true` is false, as declared.
pub(super) fn boolean(column: usize, cell: &mut Cell<'_>, notes: &mut Vec<Note>) {
    if matches!(cell, Cell::Json(json) if matches!(&**json, "true" | "false")) {
        return;
    }
    let text = content(cell).unwrap_or_default().trim();
    let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    let value = is(&["true", "t", "1"]);
    if !value && !is(&["false", "f", "0", ""]) {
        bad(column, "neither true nor false: taken for false", notes);
    }
    let spelled = if value { "true" } else { "false" };
    put(column, cell, Cow::Borrowed(spelled), ids::BOOLEAN, "a column of true and false", notes);
}

pub(super) fn timestamp(column: usize, cell: &mut Cell<'_>, notes: &mut Vec<Note>) {
    let Some(text) = content(cell).map(str::trim).filter(|text| !text.is_empty()) else { return };
    let is_time = text.parse::<jiff::Timestamp>().is_ok() || text.parse::<jiff::civil::DateTime>().is_ok();
    if !is_time {
        bad(column, "no point in time", notes);
    }
}

/// A list that no fill made: its items, each once.
pub(super) fn list(column: usize, cell: &mut Cell<'_>, notes: &mut Vec<Note>, scratch: &mut Scratch) {
    if matches!(cell, Cell::Json(_)) || is_empty(cell) {
        return;
    }
    let Some(text) = content(cell) else { return };
    let spelled = array(&list::different(text, &mut scratch.list));
    put(column, cell, Cow::Owned(spelled), ids::LIST, "items of a list", notes);
}

/// A JSON array of texts.
pub(super) fn array(items: &[String]) -> String {
    let mut out = Vec::with_capacity(2 + items.iter().map(|item| item.len() + 3).sum::<usize>());
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        serde_json::to_writer(&mut out, item).expect("text is always JSON");
    }
    out.push(b']');
    String::from_utf8(out).expect("JSON is text")
}

/// Puts a value as JSON; a note only where it is spelled differently.
fn put<'a>(
    column: usize,
    cell: &mut Cell<'a>,
    spelled: Cow<'a, str>,
    rule: super::Rule,
    evidence: &'static str,
    notes: &mut Vec<Note>,
) {
    let same = content(cell) == Some(&*spelled);
    let after = Cell::Json(spelled);
    if same {
        *cell = after;
    } else {
        change(cell, after, column, rule, evidence, notes);
    }
}

fn bad(column: usize, detail: &str, notes: &mut Vec<Note>) {
    let finding = Finding { rule: ids::BAD_VALUE, detail: detail.to_owned(), candidate: None };
    notes.push(Note::Finding(Some(column), finding));
}
