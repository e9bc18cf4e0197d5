//! A field of a file becomes the value that a column would store, or a precise reason why not.
//!
//! The comparison is exact, so a value is foreseen to the last digit: `1.5` in a `numeric(10,2)` is `1.50`,
//! `2026-01-02T04:04:05+01:00` is `2026-01-02 03:04:05+00`, and in a `real` column `0.1` is the nearest float of
//! 32 bits. What a database would change without a word where it matters (dropped offsets, cut texts, rounded
//! integers) is refused. Nothing here knows rows, files or a connection.

mod array;
mod float;
mod json;
mod postgres;
mod spelling;
mod sqlite;
mod time;

use std::ops::Range;

use crate::records::Field;
use crate::target::schema::Column;
use crate::value::{Kind, Value, ValueRef};

pub(super) use array::elements as array_elements;
pub(super) use json::{
    Members as JsonMembers, Numbers as JsonNumbers, canonical as canonical_json, elements as json_elements,
};
pub(super) use time::Moment;

/// Whose rules hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite: affinities.
    Sqlite,
    /// PostgreSQL, directly or through PostgREST: types.
    Postgres,
}

impl Dialect {
    /// By the name of a driver, as in [`crate::target::TargetIdentity::driver`].
    pub fn of_driver(driver: &str) -> Option<Self> {
        match driver {
            "sqlite" => Some(Self::Sqlite),
            "postgres" | "postgrest" => Some(Self::Postgres),
            _ => None,
        }
    }
}

/// What one column does with fields.
#[derive(Debug, Clone)]
pub struct Coercion {
    rule: Rule,
}

#[derive(Debug, Clone)]
enum Rule {
    Sqlite(sqlite::Storage),
    Postgres(postgres::Type),
}

/// A field that a column cannot store. The field itself is known to the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}")]
pub struct CellError {
    /// What would be stored, as a phrase: "an integer from -32768 to 32767".
    pub expected: String,
}

impl CellError {
    fn new(expected: impl Into<String>) -> Self {
        Self { expected: expected.into() }
    }
}

/// Room for values that are not spelled in the file as they are stored; cleared row by row.
#[derive(Debug, Default)]
pub struct Scratch {
    text: String,
    bytes: Vec<u8>,
    json: json::Members,
}

impl Scratch {
    /// Forgets all values; their room is used again.
    pub fn clear(&mut self) {
        self.text.clear();
        self.bytes.clear();
    }

    /// What was appended since `start`.
    fn made(&self, form: Form, start: usize) -> Coerced {
        Coerced::Made(form, start..self.text.len())
    }
}

/// Which variant of [`ValueRef`] a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// [`ValueRef::Number`].
    Number,
    /// [`ValueRef::Text`].
    Text,
    /// [`ValueRef::Json`].
    Json,
}

/// A value, without borrowing the text it is a part of.
#[derive(Debug, Clone, PartialEq)]
pub enum Coerced {
    /// SQL NULL.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float.
    Real(f64),
    /// A part of the field as it is spelled.
    Given(Form, Range<usize>),
    /// A part of the scratch.
    Made(Form, Range<usize>),
    /// Bytes in the scratch.
    Bytes(Range<usize>),
}

impl Coerced {
    /// The value itself. `field` and `scratch` are those that it was made from.
    pub fn value<'a>(&self, field: Field<'a>, scratch: &'a Scratch) -> ValueRef<'a> {
        let (Field::Json(given) | Field::Cell(given) | Field::Quoted(given)) = field;
        let text = |form, text| match form {
            Form::Number => ValueRef::Number(text),
            Form::Text => ValueRef::Text(text),
            Form::Json => ValueRef::Json(text),
        };
        match self {
            Self::Null => ValueRef::Null,
            Self::Bool(b) => ValueRef::Bool(*b),
            Self::Int(n) => ValueRef::Int(*n),
            Self::Real(x) => ValueRef::Real(*x),
            Self::Given(form, range) => text(*form, &given[range.clone()]),
            Self::Made(form, range) => text(*form, &scratch.text[range.clone()]),
            Self::Bytes(range) => ValueRef::Bytes(&scratch.bytes[range.clone()]),
        }
    }
}

/// What a field says, before any column is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Given<'a> {
    Null,
    Bool(bool),
    /// A JSON number as it is spelled.
    Number(&'a str),
    /// A text, and where in the field it starts: 1 behind the quote of a JSON string, 0 in a cell.
    Text(&'a str, usize),
    /// A JSON text with escapes, in its quotes.
    Escaped(&'a str),
    /// A JSON array or object as it is spelled.
    Nested(&'a str),
}

impl<'a> Given<'a> {
    fn of(field: Field<'a>) -> Self {
        let json = match field {
            Field::Cell(text) | Field::Quoted(text) => return Self::Text(text, 0),
            Field::Json(json) => json,
        };
        match json.as_bytes().first() {
            Some(b'"') if memchr::memchr(b'\\', json.as_bytes()).is_some() => Self::Escaped(json),
            Some(b'"') => Self::Text(&json[1..json.len() - 1], 1),
            Some(b'{' | b'[') => Self::Nested(json),
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'n') => Self::Null,
            _ => Self::Number(json),
        }
    }
}

impl Coercion {
    /// What `column` does with fields in a database of this dialect.
    pub fn new(dialect: Dialect, column: &Column) -> Self {
        let rule = match dialect {
            Dialect::Sqlite => Rule::Sqlite(sqlite::Storage::new(column)),
            Dialect::Postgres => Rule::Postgres(postgres::Type::new(column.kind, &column.type_name)),
        };
        Self { rule }
    }

    /// The value that would be stored. An empty cell is a text here; which cells are NULL is the caller's to say.
    pub fn coerce(&self, field: Field<'_>, scratch: &mut Scratch) -> Result<Coerced, CellError> {
        match &self.rule {
            Rule::Sqlite(storage) => storage.coerce(Given::of(field), scratch),
            Rule::Postgres(rule) => rule.coerce(Given::of(field), scratch),
        }
    }
}

/// The forms in which this toolkit itself writes what JSON cannot say (see [`crate::value::write_json`]), where a
/// column of this kind can hold it. Any other object that looks like one is only an object.
fn tagged(json: &str, kind: Kind, scratch: &mut Scratch) -> Option<Coerced> {
    if !json.starts_with("{\"$") {
        return None;
    }
    match (crate::value::parse_json(json, kind).ok()?, kind) {
        (Value::Bytes(bytes), Kind::Any | Kind::Bytes) => {
            let start = scratch.bytes.len();
            scratch.bytes.extend_from_slice(&bytes);
            Some(Coerced::Bytes(start..scratch.bytes.len()))
        }
        // SQLite has no NaN.
        (Value::Real(x), Kind::Any) if !x.is_nan() => Some(Coerced::Real(x)),
        (Value::Real(x), Kind::Real) => Some(Coerced::Real(x)),
        (Value::Number(text), Kind::Number) => Some(made(Form::Number, &text, scratch)),
        (Value::Json(text), Kind::Json) => Some(made(Form::Json, &text, scratch)),
        _ => None,
    }
}

fn made(form: Form, text: &str, scratch: &mut Scratch) -> Coerced {
    let start = scratch.text.len();
    scratch.text.push_str(text);
    scratch.made(form, start)
}

/// Appends the text of a JSON string with escapes, given in its quotes.
fn unescape(json: &str, out: &mut String) -> Result<(), CellError> {
    json::unescape(json, out).map_err(|()| CellError::new("a text whose surrogates are in pairs"))
}
