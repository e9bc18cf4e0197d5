//! What SQLite stores: a column has no type but an affinity, by the words in its declaration.
//!
//! Two things differ from SQLite on purpose. JSON numbers in a TEXT column keep their spelling, and integers beyond
//! 64 bits are refused where SQLite would round them to a float.

use super::{CellError, Coerced, Form, Given, Scratch, json, tagged, unescape};
use crate::change::decimal::{Spelled, is_integer};
use crate::target::schema::{Column, Origin};
use crate::value::Kind;

/// A column: what it does with values, and which it takes at all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Storage {
    affinity: Affinity,
    /// The only kind that a column of a STRICT table takes, and integers where the column is the rowid.
    only: Option<Kind>,
}

impl Storage {
    pub(super) fn new(column: &Column) -> Self {
        let only = if column.origin == Origin::Numbered { Kind::Int } else { column.kind };
        Self { affinity: Affinity::of(&column.type_name), only: (only != Kind::Any).then_some(only) }
    }

    pub(super) fn coerce(self, given: Given<'_>, scratch: &mut Scratch) -> Result<Coerced, CellError> {
        let coerced = self.affinity.coerce(given, scratch)?;
        let kind = match coerced {
            Coerced::Int(_) => Some(Kind::Int),
            Coerced::Real(_) => Some(Kind::Real),
            Coerced::Bytes(_) => Some(Kind::Bytes),
            Coerced::Null => self.only,
            _ => Some(Kind::Text),
        };
        match self.only.filter(|_| kind != self.only) {
            None => Ok(coerced),
            Some(Kind::Int) => Err(CellError::new("an integer")),
            Some(Kind::Real) => Err(CellError::new("a number")),
            Some(Kind::Bytes) => Err(CellError::new("bytes, as {\"$bytes\":\"00ff\"}")),
            Some(_) => Err(CellError::new("a text")),
        }
    }
}

/// What a column does with values, in SQLite's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Affinity {
    Integer,
    Text,
    /// None: values stay what they are.
    Blob,
    Real,
    Numeric,
}

impl Affinity {
    /// By SQLite's own rules, in its order. `ANY` is a word of STRICT tables, where it converts nothing.
    fn of(declared: &str) -> Self {
        let declared = declared.to_ascii_uppercase();
        let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
        match () {
            () if has(&["INT"]) => Self::Integer,
            () if has(&["CHAR", "CLOB", "TEXT"]) => Self::Text,
            () if has(&["BLOB"]) || declared.trim().is_empty() || declared == "ANY" => Self::Blob,
            () if has(&["REAL", "FLOA", "DOUB"]) => Self::Real,
            () => Self::Numeric,
        }
    }

    fn coerce(self, given: Given<'_>, scratch: &mut Scratch) -> Result<Coerced, CellError> {
        let start = scratch.text.len();
        match given {
            Given::Null => Ok(Coerced::Null),
            Given::Bool(b) if self == Self::Text => {
                scratch.text.push(if b { '1' } else { '0' });
                Ok(scratch.made(Form::Text, start))
            }
            Given::Bool(b) if self == Self::Real => Ok(Coerced::Real(f64::from(u8::from(b)))),
            Given::Bool(b) => Ok(Coerced::Int(b.into())),
            Given::Number(number) if self == Self::Text => Ok(Coerced::Given(Form::Text, 0..number.len())),
            Given::Number(number) => self.number(number),
            Given::Text(text, at) => self.text(text, || Coerced::Given(Form::Text, at..at + text.len())),
            Given::Escaped(json) => {
                unescape(json, &mut scratch.text)?;
                let made = scratch.made(Form::Text, start);
                self.text(&scratch.text[start..], || made)
            }
            Given::Nested(json) => {
                if let Some(value) = tagged(json, Kind::Any, scratch) {
                    return Ok(value);
                }
                json::compact(json, &mut scratch.text);
                Ok(scratch.made(Form::Text, start))
            }
        }
    }

    /// A text that looks like a number becomes one where the affinity is numeric.
    fn text(self, text: &str, as_it_is: impl FnOnce() -> Coerced) -> Result<Coerced, CellError> {
        let is_blank = |c: char| matches!(c, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r');
        let number = text.trim_matches(is_blank);
        match self {
            Self::Text | Self::Blob => Ok(as_it_is()),
            // SQLite looks for a number before the NUL only.
            _ if text.contains('\0') => {
                Err(CellError::new("a text without NUL characters, or a TEXT column"))
            }
            _ if Spelled::parse(number).is_some() => self.number(number),
            _ => Ok(as_it_is()),
        }
    }

    /// A number for any affinity but TEXT.
    fn number(self, number: &str) -> Result<Coerced, CellError> {
        Spelled::parse(number).ok_or_else(|| CellError::new("a number"))?;
        let real = || match number.parse::<f64>() {
            Ok(x) if x.is_finite() => Ok(x),
            _ => Err(CellError::new("a number in the range of a 64-bit float")),
        };
        if self == Self::Real {
            // SQLite keeps whole floats as integers inside, which have no negative zero.
            return Ok(Coerced::Real(real()? + 0.0));
        }
        if is_integer(number) {
            return number.parse().map(Coerced::Int).map_err(|_| {
                CellError::new(
                    "an integer of at most 64 bits (SQLite would round it; a TEXT column would not)",
                )
            });
        }
        let real = real()?;
        match whole(real) {
            Some(n) if self != Self::Blob => Ok(Coerced::Int(n)),
            _ => Ok(Coerced::Real(real)),
        }
    }
}

/// The integer that a float is, strictly inside 64 bits.
fn whole(x: f64) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    #[expect(clippy::cast_possible_truncation, reason = "in range")]
    (x.abs() < LIMIT && x.fract() == 0.0).then_some(x as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn affinities_by_declaration() {
        for (declared, expected) in [
            ("INTEGER", Affinity::Integer),
            ("bigint", Affinity::Integer),
            ("CHARINT", Affinity::Integer),
            ("FLOATING POINT", Affinity::Integer),
            ("VARCHAR(20)", Affinity::Text),
            ("clob", Affinity::Text),
            ("TEXT", Affinity::Text),
            ("BLOB", Affinity::Blob),
            ("", Affinity::Blob),
            ("any", Affinity::Blob),
            ("double precision", Affinity::Real),
            ("FLOAT", Affinity::Real),
            ("DECIMAL(10,2)", Affinity::Numeric),
            ("BOOLEAN", Affinity::Numeric),
            ("DATETIME", Affinity::Numeric),
            ("STRING", Affinity::Numeric),
            ("JSON", Affinity::Numeric),
        ] {
            assert_eq!(Affinity::of(declared), expected, "{declared}");
        }
    }
}
