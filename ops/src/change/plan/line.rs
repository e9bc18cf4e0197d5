//! One line of `changes.ndjson`: one change, with names for columns and exact values.
//!
//! The parser takes nothing that the writer would not have written but for blanks: an unknown column, a column
//! out of order, a row that is not whole or another position is an error.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::layout::{Layout, Op};
use crate::target::Change;
use crate::value::{Row, Value, ValueRef, parse_json, same_row, write_json};

/// Appends the change at position `n`, with a line feed.
pub(crate) fn write_line(layout: &Layout, n: u64, change: &Change, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"n\":");
    write_json(ValueRef::Int(n.cast_signed()), out);
    out.extend_from_slice(b",\"op\":\"");
    out.extend_from_slice(Op::of(change).as_str().as_bytes());
    out.extend_from_slice(b"\",\"key\":");
    match change {
        Change::Insert { after } => {
            write_key(layout, |at| after[at].as_ref(), out);
            write_row(layout, "after", after.iter().map(Option::as_ref), out);
        }
        Change::Update { before, after } => {
            write_key(layout, |at| before.get(at), out);
            write_row(layout, "before", before.iter().map(Some), out);
            write_row(layout, "after", after.iter().map(Some), out);
        }
        Change::Delete { before } => {
            write_key(layout, |at| before.get(at), out);
            write_row(layout, "before", before.iter().map(Some), out);
        }
    }
    out.extend_from_slice(b"}\n");
}

fn write_key<'a>(layout: &Layout, value: impl Fn(usize) -> Option<&'a Value>, out: &mut Vec<u8>) {
    for (i, at) in layout.key_at().iter().enumerate() {
        out.push(if i == 0 { b'[' } else { b',' });
        write_json(value(*at).map_or(ValueRef::Null, Value::as_ref), out);
    }
    out.push(b']');
}

fn write_row<'a>(
    layout: &Layout,
    name: &str,
    row: impl Iterator<Item = Option<&'a Value>>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    let mut separator = b'{';
    for (column, value) in layout.each_column().zip(row) {
        let Some(value) = value else { continue };
        out.push(separator);
        separator = b',';
        write_json(ValueRef::Text(&column.name), out);
        out.push(b':');
        write_json(value.as_ref(), out);
    }
    if separator == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
}

/// Reads the change at position `n`. The error says what is wrong, without the contents of the row.
pub(crate) fn parse_line(layout: &Layout, n: u64, line: &[u8]) -> Result<Change, String> {
    let line = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_owned())?;
    let mut deserializer = serde_json::Deserializer::from_str(line);
    let parsed = LineSeed(layout).deserialize(&mut deserializer);
    let parsed = parsed.and_then(|line| deserializer.end().map(|()| line)).map_err(|error| plain(&error))?;
    if parsed.n != n {
        return Err(format!("position {} where {n} belongs", parsed.n));
    }
    let change = match (parsed.op, parsed.before, parsed.after) {
        (Op::Insert, None, Some(after)) => Change::Insert { after },
        (Op::Update, Some(before), Some(after)) => {
            Change::Update { before: whole(layout, before)?, after: whole(layout, after)? }
        }
        (Op::Delete, Some(before), None) => Change::Delete { before: whole(layout, before)? },
        (op, ..) => return Err(format!("an {} has other rows than `before` and `after` here", op.as_str())),
    };
    let key_of_after = match &change {
        Change::Update { after, .. } => layout.key_at().iter().map(|at| after[*at].clone()).collect(),
        _ => parsed.key.clone(),
    };
    if !same_row(&layout.key_of(&change), &parsed.key) || !same_row(&key_of_after, &parsed.key) {
        return Err("the key is not that of the row".to_owned());
    }
    Ok(change)
}

/// The message of the parser without its place: lines are counted by the caller, and it may quote values.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    match error.is_data() {
        true if text.starts_with("invalid ") => "a field is of another type".to_owned(),
        true => text.to_owned(),
        false => "not one JSON object".to_owned(),
    }
}

fn whole(layout: &Layout, row: PartialRow) -> Result<Row, String> {
    let missing = row.iter().position(Option::is_none);
    match missing {
        Some(at) => Err(format!("column `{}` is missing", layout.column(at).name)),
        None => Ok(row.into_iter().flatten().collect()),
    }
}

type PartialRow = Vec<Option<Value>>;

struct Line {
    n: u64,
    op: Op,
    key: Row,
    before: Option<PartialRow>,
    after: Option<PartialRow>,
}

struct LineSeed<'l>(&'l Layout);

impl<'de> DeserializeSeed<'de> for LineSeed<'_> {
    type Value = Line;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Line, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for LineSeed<'_> {
    type Value = Line;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a change")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Line, A::Error> {
        let (mut n, mut op, mut key, mut before, mut after) = (None, None, None, None, None);
        while let Some(field) = map.next_key_seed(Word(Field::parse))? {
            let is_new = match field {
                Field::N => n.replace(map.next_value::<u64>()?).is_none(),
                Field::Op => op.replace(map.next_value_seed(Word(Op::parse))?).is_none(),
                Field::Key => key.replace(self.key(&map.next_value::<Vec<&RawValue>>()?)?).is_none(),
                Field::Before => before.replace(map.next_value_seed(RowSeed(self.0))?).is_none(),
                Field::After => after.replace(map.next_value_seed(RowSeed(self.0))?).is_none(),
            };
            if !is_new {
                return Err(A::Error::custom("a field stands twice"));
            }
        }
        let missing = |name: &str| A::Error::custom(format_args!("`{name}` is missing"));
        Ok(Line {
            n: n.ok_or_else(|| missing("n"))?,
            op: op.ok_or_else(|| missing("op"))?,
            key: key.ok_or_else(|| missing("key"))?,
            before,
            after,
        })
    }
}

#[derive(Clone, Copy)]
enum Field {
    N,
    Op,
    Key,
    Before,
    After,
}

impl Field {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "n" => Self::N,
            "op" => Self::Op,
            "key" => Self::Key,
            "before" => Self::Before,
            "after" => Self::After,
            _ => return None,
        })
    }
}

/// A string that is one of a few words, without a copy of it.
struct Word<F>(F);

impl<'de, T, F: FnOnce(&str) -> Option<T>> DeserializeSeed<'de> for Word<F> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<T, F: FnOnce(&str) -> Option<T>> Visitor<'_> for Word<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text)
            .ok_or_else(|| E::custom("an unknown word, or a column that is unknown or out of order"))
    }
}

impl LineSeed<'_> {
    fn key<E: serde::de::Error>(&self, raw: &[&RawValue]) -> Result<Row, E> {
        let layout = self.0;
        if raw.len() != layout.key_at().len() {
            return Err(E::custom("the key has another number of columns"));
        }
        let values = raw.iter().zip(layout.key_at());
        values.map(|(raw, at)| value(layout, *at, raw)).collect()
    }
}

fn value<E: serde::de::Error>(layout: &Layout, at: usize, raw: &RawValue) -> Result<Value, E> {
    let column = layout.column(at);
    parse_json(raw.get(), column.kind)
        .map_err(|_| E::custom(format_args!("column `{}` holds no value of its kind", column.name)))
}

struct RowSeed<'l>(&'l Layout);

impl<'de> DeserializeSeed<'de> for RowSeed<'_> {
    type Value = PartialRow;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<PartialRow, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_> {
    type Value = PartialRow;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PartialRow, A::Error> {
        let mut row: PartialRow = Vec::with_capacity(self.0.width());
        loop {
            let place = |name: &str| (row.len()..self.0.width()).find(|at| self.0.column(*at).name == name);
            let Some(at) = map.next_key_seed(Word(place))? else { break };
            row.resize(at, None);
            row.push(Some(value(self.0, at, map.next_value::<&RawValue>()?)?));
        }
        row.resize(self.0.width(), None);
        Ok(row)
    }
}
