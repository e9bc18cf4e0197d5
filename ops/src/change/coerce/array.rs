//! PostgreSQL arrays as text: from JSON arrays, and from literals in any spelling.
//!
//! Both end in the one spelling that `array_out` has, so that equal arrays are equal texts. Literals with explicit
//! bounds stay as they are.

use super::postgres::Type;
use super::{CellError, Coerced, Form, Scratch, float, json};
use crate::records::Field;
use crate::value::ValueRef;

/// The type of the elements of an array.
#[derive(Debug, Clone)]
pub(super) struct Element {
    element: Box<Type>,
}

/// Writes an array from its parts and sees that it is rectangular.
struct Writer<'a> {
    out: &'a mut String,
    /// Elements so far at each open level.
    counts: Vec<usize>,
    /// Elements that each level has, once one was closed.
    lengths: Vec<Option<usize>>,
    /// The level that holds elements and not arrays, once one was seen.
    leaf: Option<usize>,
}

impl Element {
    pub(super) fn new(element: Type) -> Self {
        Self { element: Box::new(element) }
    }

    /// From a JSON array; arrays inside it are further dimensions.
    pub(super) fn of_json(&self, json: &str, scratch: &mut Scratch) -> Result<Coerced, CellError> {
        let mut out = std::mem::take(&mut scratch.text);
        let start = out.len();
        let mut inner = Scratch::default();
        let written = self.write_json(json, &mut Writer::new(&mut out), &mut inner);
        scratch.text = out;
        written.map(|()| scratch.made(Form::Text, start))
    }

    fn write_json(&self, json: &str, writer: &mut Writer<'_>, inner: &mut Scratch) -> Result<(), CellError> {
        writer.open();
        json::elements(json, |element| match element.as_bytes()[0] {
            b'[' => self.write_json(element, writer, inner),
            b'n' => writer.null(),
            _ => self.write(Field::Json(element), writer, inner),
        })?;
        writer.close()
    }

    /// From a literal that starts at `at` in its field.
    pub(super) fn of_literal(
        &self,
        text: &str,
        at: usize,
        scratch: &mut Scratch,
    ) -> Result<Coerced, CellError> {
        let trimmed = text.trim_ascii();
        if trimmed.starts_with('[') && trimmed.contains("]={") {
            return Ok(Coerced::Given(Form::Text, at..at + text.len()));
        }
        let mut out = std::mem::take(&mut scratch.text);
        let start = out.len();
        let mut inner = Scratch::default();
        let written = self.write_literal(trimmed, &mut Writer::new(&mut out), &mut inner);
        scratch.text = out;
        written.map(|()| scratch.made(Form::Text, start))
    }

    fn write_literal(
        &self,
        text: &str,
        writer: &mut Writer<'_>,
        inner: &mut Scratch,
    ) -> Result<(), CellError> {
        let mut rest = text.strip_prefix('{').ok_or_else(malformed)?;
        writer.open();
        let mut depth = 1;
        let mut item = String::new();
        // Whether an element may come, or what ends one must.
        let mut may_come = true;
        while depth > 0 {
            rest = rest.trim_ascii_start();
            let first = rest.chars().next().ok_or_else(malformed)?;
            match first {
                '{' if may_come => {
                    writer.open();
                    depth += 1;
                    rest = &rest[1..];
                }
                '}' if !may_come || writer.is_fresh() => {
                    writer.close()?;
                    depth -= 1;
                    may_come = false;
                    rest = &rest[1..];
                }
                ',' if !may_come => {
                    may_come = true;
                    rest = &rest[1..];
                }
                ',' | '{' | '}' => return Err(malformed()),
                _ if !may_come => return Err(malformed()),
                _ => {
                    item.clear();
                    let is_quoted = first == '"';
                    rest = if is_quoted { quoted(&rest[1..], &mut item)? } else { bare(rest, &mut item)? };
                    may_come = false;
                    if !is_quoted && item.eq_ignore_ascii_case("null") {
                        writer.null()?;
                    } else {
                        self.write(Field::Quoted(&item), writer, inner)?;
                    }
                }
            }
        }
        if rest.is_empty() { Ok(()) } else { Err(malformed()) }
    }

    fn write(&self, field: Field<'_>, writer: &mut Writer<'_>, inner: &mut Scratch) -> Result<(), CellError> {
        inner.clear();
        let coerced = self.element.coerce(super::Given::of(field), inner)?;
        let mut text = String::new();
        match coerced.value(field, inner) {
            ValueRef::Null => return writer.null(),
            ValueRef::Bool(b) => text.push(if b { 't' } else { 'f' }),
            ValueRef::Int(n) => text.push_str(&n.to_string()),
            #[expect(clippy::cast_possible_truncation, reason = "it came from a single")]
            ValueRef::Real(x) if matches!(*self.element, Type::Single) => {
                float::print_single(x as f32, &mut text);
            }
            ValueRef::Real(x) => float::print_double(x, &mut text),
            ValueRef::Number(given) | ValueRef::Text(given) | ValueRef::Json(given) => {
                return writer.element(given);
            }
            ValueRef::Bytes(bytes) => {
                text.push_str("\\x");
                text.push_str(&crate::ids::hex(bytes));
            }
        }
        writer.element(&text)
    }
}

fn malformed() -> CellError {
    CellError::new("an array, as JSON or as a text such as {a,b}")
}

fn ragged() -> CellError {
    CellError::new("an array whose rows are of one length, none of them empty")
}

/// Reads up to the closing quote; gives what comes behind it.
fn quoted<'a>(rest: &'a str, item: &mut String) -> Result<&'a str, CellError> {
    let mut chars = rest.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok(&rest[at + 1..]),
            '\\' => item.push(chars.next().ok_or_else(malformed)?.1),
            c => item.push(c),
        }
    }
    Err(malformed())
}

/// Reads up to a comma or brace; gives what starts there. Blanks at the end are no part of the element.
fn bare<'a>(rest: &'a str, item: &mut String) -> Result<&'a str, CellError> {
    let mut chars = rest.char_indices();
    let mut kept = 0;
    while let Some((at, c)) = chars.next() {
        match c {
            ',' | '{' | '}' => {
                item.truncate(kept);
                return Ok(&rest[at..]);
            }
            '"' => return Err(malformed()),
            '\\' => {
                item.push(chars.next().ok_or_else(malformed)?.1);
                kept = item.len();
            }
            c => {
                item.push(c);
                if !is_blank(c) {
                    kept = item.len();
                }
            }
        }
    }
    Err(malformed())
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}')
}

impl<'a> Writer<'a> {
    fn new(out: &'a mut String) -> Self {
        Self { out, counts: Vec::new(), lengths: Vec::new(), leaf: None }
    }

    fn open(&mut self) {
        if !self.counts.is_empty() {
            self.part();
        }
        self.counts.push(0);
        if self.lengths.len() < self.counts.len() {
            self.lengths.push(None);
        }
        self.out.push('{');
    }

    /// Whether nothing was written since the last bracket opened.
    fn is_fresh(&self) -> bool {
        self.counts.last() == Some(&0)
    }

    fn part(&mut self) {
        if let Some(count) = self.counts.last_mut() {
            if *count > 0 {
                self.out.push(',');
            }
            *count += 1;
        }
    }

    fn close(&mut self) -> Result<(), CellError> {
        let count = self.counts.pop().ok_or_else(malformed)?;
        let level = self.counts.len();
        // Only an array as a whole may be empty.
        let is_fine = *self.lengths[level].get_or_insert(count) == count && (count > 0 || level == 0);
        self.out.push('}');
        if is_fine { Ok(()) } else { Err(ragged()) }
    }

    fn leaf(&mut self) -> Result<(), CellError> {
        let level = self.counts.len();
        self.part();
        let is_fine = *self.leaf.get_or_insert(level) == level && self.lengths.len() == level;
        if is_fine { Ok(()) } else { Err(ragged()) }
    }

    fn null(&mut self) -> Result<(), CellError> {
        self.leaf()?;
        self.out.push_str("NULL");
        Ok(())
    }

    fn element(&mut self, text: &str) -> Result<(), CellError> {
        self.leaf()?;
        let is_special = |c: char| matches!(c, '{' | '}' | ',' | '"' | '\\') || is_blank(c);
        if !text.is_empty() && !text.eq_ignore_ascii_case("null") && !text.contains(is_special) {
            self.out.push_str(text);
            return Ok(());
        }
        self.out.push('"');
        for c in text.chars() {
            if matches!(c, '"' | '\\') {
                self.out.push('\\');
            }
            self.out.push(c);
        }
        self.out.push('"');
        Ok(())
    }
}

/// The elements of a one-dimensional literal as they are spelled in it; `None` for anything else.
pub(in crate::change) fn elements(literal: &str) -> Option<Vec<&str>> {
    let mut rest = literal.strip_prefix('{')?.strip_suffix('}')?;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let mut item = String::new();
        let length = if let Some(inner) = rest.strip_prefix('"') {
            rest.len() - quoted(inner, &mut item).ok()?.len()
        } else {
            rest.find([',', '{', '}']).unwrap_or(rest.len())
        };
        found.push(&rest[..length]);
        match rest[length..].strip_prefix(',') {
            Some(next) => rest = next,
            None if length == rest.len() => break,
            None => return None,
        }
    }
    Some(found)
}
