//! One value of one column, exactly as the database holds it, for every target alike.
//!
//! The change engine compares, backs up and restores these; a value that went through a float, a locale or a
//! time zone on the way would restore a row that never existed. So numbers stay text where a machine type
//! cannot hold them, and a type that is not known here stays the text that its database prints.
//!
//! Nothing here knows what a column means or which database it came from.

mod digest;
mod json;

pub use digest::{Digest128, digest_key, digest_row, encode, order_key};
pub use json::{JsonError, parse_json, write_json};
pub(crate) use json::{
    Signs, is_plain as is_plain_json, signs, write_signed as write_json_signed,
    write_string as write_json_string, write_uint as write_json_int,
};

use serde::{Deserialize, Serialize};

/// How the values of a column are read, written and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Whatever the row holds: SQLite, whose columns have no type but an affinity.
    Any,
    /// Boolean.
    Bool,
    /// Signed integer of at most 64 bits.
    Int,
    /// Decimal number of any precision; `NaN` and the infinities are possible.
    Number,
    /// Binary floating point.
    Real,
    /// Text.
    Text,
    /// Bytes.
    Bytes,
    /// JSON, kept as the text that the database prints.
    Json,
    /// UUID as 36 lower-case characters.
    Uuid,
    /// Time with zone, as `2026-01-02 03:04:05.123456+00` (always UTC).
    TimestampTz,
    /// Time without zone, as `2026-01-02 03:04:05.123456`.
    Timestamp,
    /// Day, as `2026-01-02`.
    Date,
    /// Any other type (arrays, ranges, enums, intervals, …) in the text form of its database.
    Other,
}

/// A borrowed value. [`Kind`] decides which variants a column can have besides `Null`:
/// `Any` → `Int`, `Real`, `Text`, `Bytes`; `Bool` → `Bool`; `Int` → `Int`; `Number` → `Number`; `Real` → `Real`;
/// `Bytes` → `Bytes`; `Json` → `Json`; all others → `Text`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ValueRef<'a> {
    /// SQL NULL.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float; its bits are what is compared.
    Real(f64),
    /// A decimal as printed, such as `1.50`, `NaN` or `Infinity`.
    Number(&'a str),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// JSON as printed.
    Json(&'a str),
}

/// An owned [`ValueRef`].
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float.
    Real(f64),
    /// A decimal as printed.
    Number(String),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// JSON as printed.
    Json(String),
}

impl Value {
    /// The value without its ownership.
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Null => ValueRef::Null,
            Self::Bool(b) => ValueRef::Bool(*b),
            Self::Int(n) => ValueRef::Int(*n),
            Self::Real(x) => ValueRef::Real(*x),
            Self::Number(text) => ValueRef::Number(text),
            Self::Text(text) => ValueRef::Text(text),
            Self::Bytes(bytes) => ValueRef::Bytes(bytes),
            Self::Json(text) => ValueRef::Json(text),
        }
    }

    /// Whether this is SQL NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

impl ValueRef<'_> {
    /// A copy that owns its text.
    pub fn to_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(b) => Value::Bool(b),
            Self::Int(n) => Value::Int(n),
            Self::Real(x) => Value::Real(x),
            Self::Number(text) => Value::Number(text.to_owned()),
            Self::Text(text) => Value::Text(text.to_owned()),
            Self::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
            Self::Json(text) => Value::Json(text.to_owned()),
        }
    }

    /// Whether both are the same value: what the digests compare. Decimals are equal by value (`1.50` is `1.5`),
    /// floats by their bits, everything else by its text or bytes.
    pub fn same(self, other: ValueRef<'_>) -> bool {
        match (self, other) {
            (ValueRef::Number(a), ValueRef::Number(b)) => a == b || digest::decimal(a) == digest::decimal(b),
            (ValueRef::Real(a), ValueRef::Real(b)) => a.to_bits() == b.to_bits(),
            (a, b) => a == b,
        }
    }
}

/// The values of one row, in the order of the columns they were asked for with.
pub type Row = Vec<Value>;

/// Whether two rows hold the same values; rows of different length differ.
pub fn same_row(a: &[Value], b: &[Value]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.as_ref().same(b.as_ref()))
}
