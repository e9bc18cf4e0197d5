//! What PostgreSQL stores: the text that `column::text` gives afterwards, for the types that have one spelling.
//!
//! Types that are not known here keep the text that they are given; whether the database spells it the same way
//! is seen when it was written.

use super::array::Element;
use super::spelling::{
    boolean, hexadecimal, integer, is_canonical_uuid, is_plain, kept, no_nul, not_finite, uuid,
};
use super::{CellError, Coerced, Form, Given, Scratch, float, json, tagged, time, unescape};
use crate::change::decimal::{Digits, Spelled};
use crate::value::Kind;

/// Digits of seconds where a type does not say.
const MICROSECONDS: u32 = 6;

/// A type, as far as it matters here.
#[derive(Debug, Clone)]
pub(super) enum Type {
    Bool,
    Int {
        min: i64,
        max: i64,
    },
    Number {
        size: Option<(i64, i64)>,
        name: String,
    },
    Single,
    Double,
    Text,
    /// At most this many characters; blanks beyond them are cut.
    Limited {
        max: usize,
        name: String,
    },
    /// Padded with blanks, which its text does not show.
    Padded {
        max: usize,
        name: String,
    },
    Bytes,
    Json,
    Jsonb,
    Uuid,
    Timestamp {
        is_utc: bool,
        precision: u32,
    },
    Date,
    Time {
        precision: u32,
    },
    Array(Element),
    Other,
}

impl Type {
    /// By kind, and in detail by the name that `format_type` gives. A domain has the detail of its kind.
    pub(super) fn new(kind: Kind, name: &str) -> Self {
        let (base, size) = split(name);
        let precision =
            size.map_or(MICROSECONDS, |(digits, _)| u32::try_from(digits).unwrap_or(MICROSECONDS));
        let limit = || size.and_then(|(max, _)| usize::try_from(max).ok());
        let int = |min: i64, max: i64| Self::Int { min, max };
        match kind {
            Kind::Bool => Self::Bool,
            Kind::Int => match base.as_str() {
                "smallint" => int(i16::MIN.into(), i16::MAX.into()),
                "integer" => int(i32::MIN.into(), i32::MAX.into()),
                "oid" => int(0, u32::MAX.into()),
                _ => int(i64::MIN, i64::MAX),
            },
            Kind::Number => Self::Number { size: size.filter(|_| base == "numeric"), name: name.to_owned() },
            Kind::Real if base == "real" => Self::Single,
            Kind::Real => Self::Double,
            Kind::Text | Kind::Any => match (base.as_str(), limit()) {
                ("character varying", Some(max)) => Self::Limited { max, name: name.to_owned() },
                ("character", Some(max)) => Self::Padded { max, name: name.to_owned() },
                ("character", None) if name == "character" => Self::Padded { max: 1, name: name.to_owned() },
                _ => Self::Text,
            },
            Kind::Bytes => Self::Bytes,
            Kind::Json if base == "json" => Self::Json,
            Kind::Json => Self::Jsonb,
            Kind::Uuid => Self::Uuid,
            Kind::TimestampTz => Self::Timestamp { is_utc: true, precision },
            Kind::Timestamp => Self::Timestamp { is_utc: false, precision },
            Kind::Date => Self::Date,
            Kind::Other if base == "time without time zone" => Self::Time { precision },
            Kind::Other => match name.strip_suffix("[]") {
                Some(element) if element != "box" => {
                    Self::Array(Element::new(Self::new(kind_of(element), element)))
                }
                _ => Self::Other,
            },
        }
    }

    /// Which kind of value this gives.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Bool => Kind::Bool,
            Self::Int { .. } => Kind::Int,
            Self::Number { .. } => Kind::Number,
            Self::Single | Self::Double => Kind::Real,
            Self::Text | Self::Limited { .. } | Self::Padded { .. } => Kind::Text,
            Self::Bytes => Kind::Bytes,
            Self::Json | Self::Jsonb => Kind::Json,
            Self::Uuid => Kind::Uuid,
            Self::Timestamp { is_utc: true, .. } => Kind::TimestampTz,
            Self::Timestamp { is_utc: false, .. } => Kind::Timestamp,
            Self::Date => Kind::Date,
            Self::Time { .. } | Self::Array(_) | Self::Other => Kind::Other,
        }
    }

    pub(super) fn coerce(&self, given: Given<'_>, scratch: &mut Scratch) -> Result<Coerced, CellError> {
        if let Given::Nested(json) = given
            && let Some(value) = tagged(json, self.kind(), scratch)
        {
            return Ok(value);
        }
        if let Self::Json | Self::Jsonb = self {
            return self.json(given, scratch);
        }
        match given {
            Given::Null => Ok(Coerced::Null),
            Given::Bool(b) => self.bool(b, scratch),
            Given::Number(number) => self.text(number, 0, true, scratch),
            Given::Text(text, at) => self.text(text, at, false, scratch),
            Given::Escaped(json) => self.escaped(json, scratch),
            Given::Nested(json) => match self {
                Self::Array(element) if json.starts_with('[') => element.of_json(json, scratch),
                _ => Err(self.expected()),
            },
        }
    }

    fn bool(&self, b: bool, scratch: &mut Scratch) -> Result<Coerced, CellError> {
        match self {
            Self::Bool => Ok(Coerced::Bool(b)),
            Self::Text => {
                let start = scratch.text.len();
                scratch.text.push_str(if b { "true" } else { "false" });
                Ok(scratch.made(Form::Text, start))
            }
            _ => Err(self.expected()),
        }
    }

    /// A text with escapes; only texts have them in earnest.
    fn escaped(&self, json: &str, scratch: &mut Scratch) -> Result<Coerced, CellError> {
        if let Self::Text | Self::Other = self {
            let start = scratch.text.len();
            unescape(json, &mut scratch.text)?;
            no_nul(&scratch.text[start..])?;
            return Ok(scratch.made(Form::Text, start));
        }
        let mut text = String::new();
        unescape(json, &mut text)?;
        match self.text(&text, 0, false, scratch)? {
            Coerced::Given(form, range) => {
                let start = scratch.text.len();
                scratch.text.push_str(&text[range]);
                Ok(scratch.made(form, start))
            }
            coerced => Ok(coerced),
        }
    }

    /// What the type's input function makes of a text that starts at `at` in its field.
    fn text(
        &self,
        text: &str,
        at: usize,
        is_number: bool,
        scratch: &mut Scratch,
    ) -> Result<Coerced, CellError> {
        let given = || Coerced::Given(Form::Text, at..at + text.len());
        let start = scratch.text.len();
        match self {
            Self::Bool => boolean(text).map(Coerced::Bool).ok_or_else(|| self.expected()),
            Self::Int { min, max } => integer(text)
                .filter(|n| (min..=max).contains(&n))
                .map(Coerced::Int)
                .ok_or_else(|| self.expected()),
            Self::Number { size, .. } => self.number(text, at, *size, scratch),
            Self::Single | Self::Double => self.real(text).map(Coerced::Real).ok_or_else(|| self.expected()),
            Self::Text | Self::Other => no_nul(text).map(|()| given()),
            Self::Limited { max, .. } => {
                no_nul(text)?;
                let kept = kept(text, *max).ok_or_else(|| self.expected())?;
                Ok(Coerced::Given(Form::Text, at..at + kept))
            }
            Self::Padded { max, .. } => {
                no_nul(text)?;
                kept(text, *max).ok_or_else(|| self.expected())?;
                Ok(Coerced::Given(Form::Text, at..at + text.trim_end_matches(' ').len()))
            }
            Self::Bytes => {
                let start = scratch.bytes.len();
                hexadecimal(text, &mut scratch.bytes).ok_or_else(|| self.expected())?;
                Ok(Coerced::Bytes(start..scratch.bytes.len()))
            }
            Self::Uuid if is_canonical_uuid(text) => Ok(given()),
            Self::Uuid => {
                uuid(text, &mut scratch.text).ok_or_else(|| self.expected())?;
                Ok(scratch.made(Form::Text, start))
            }
            _ if is_number => Err(self.expected()),
            Self::Timestamp { .. } | Self::Date | Self::Time { .. } => {
                self.time(text, &mut scratch.text)?;
                Ok(scratch.made(Form::Text, start))
            }
            Self::Array(element) => element.of_literal(text, at, scratch),
            Self::Json | Self::Jsonb => unreachable!("these are never texts"),
        }
    }

    fn number(
        &self,
        text: &str,
        at: usize,
        size: Option<(i64, i64)>,
        scratch: &mut Scratch,
    ) -> Result<Coerced, CellError> {
        let trimmed = text.trim_ascii();
        let at = at + (text.len() - text.trim_ascii_start().len());
        let start = scratch.text.len();
        if is_plain(trimmed) {
            let (whole, fraction) = trimmed.split_once('.').unwrap_or((trimmed, ""));
            let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
            match size {
                None if length(trimmed) < 16_000 => {
                    return Ok(Coerced::Given(Form::Number, at..at + trimmed.len()));
                }
                Some((precision, scale))
                    if length(fraction) <= scale && length(whole) <= precision - scale =>
                {
                    scratch.text.push_str(trimmed);
                    if fraction.is_empty() && scale > 0 {
                        scratch.text.push('.');
                    }
                    let zeros = usize::try_from(scale - length(fraction)).unwrap_or(0);
                    scratch.text.extend(std::iter::repeat_n('0', zeros));
                    return Ok(scratch.made(Form::Number, start));
                }
                _ => {}
            }
        }
        if let Some(word) = not_finite(trimmed).filter(|word| size.is_none() || *word == "NaN") {
            scratch.text.push_str(word);
            return Ok(scratch.made(Form::Number, start));
        }
        let mut digits = Digits::parse(trimmed).ok_or_else(|| self.expected())?;
        digits.check().map_err(|_| self.expected())?;
        if let Some((precision, scale)) = size {
            digits.round(scale);
            if digits.magnitude() > precision - scale {
                return Err(self.expected());
            }
        }
        digits.print(&mut scratch.text);
        Ok(scratch.made(Form::Number, start))
    }

    fn real(&self, text: &str) -> Option<f64> {
        let text = text.trim_ascii();
        if let Some(word) = not_finite(text) {
            return word.parse().ok();
        }
        Spelled::parse(text)?;
        let is_zero =
            || text.bytes().take_while(|b| !matches!(b, b'e' | b'E')).all(|b| !matches!(b, b'1'..=b'9'));
        let fits = |x: f64| x.is_finite() && (x != 0.0 || is_zero());
        match self {
            Self::Single => {
                let x: f32 = text.parse().ok()?;
                fits(x.into()).then(|| float::widen(x, text))
            }
            _ => text.parse().ok().filter(|x| fits(*x)),
        }
    }

    fn time(&self, text: &str, out: &mut String) -> Result<(), CellError> {
        if let Self::Time { precision } = self {
            return if time::print_time(text, *precision, out) { Ok(()) } else { Err(self.expected()) };
        }
        let is_printed = match (super::Moment::parse(text).ok_or_else(|| self.expected())?, self) {
            (super::Moment::Infinity { is_negative }, _) => {
                out.push_str(if is_negative { "-infinity" } else { "infinity" });
                true
            }
            (super::Moment::Day { day, time: None | Some(0), offset: None | Some(0) }, Self::Date) => {
                time::print_date(day, out)
            }
            (moment, Self::Timestamp { is_utc: true, precision }) => {
                moment.micros().is_some_and(|micros| time::print_timestamp(micros, *precision, "+00", out))
            }
            (
                moment @ super::Moment::Day { offset: None | Some(0), .. },
                Self::Timestamp { precision, .. },
            ) => moment.micros().is_some_and(|micros| time::print_timestamp(micros, *precision, "", out)),
            _ => false,
        };
        if is_printed { Ok(()) } else { Err(self.expected()) }
    }

    /// A field of a JSON file is the value itself, a text included; a cell holds JSON.
    fn json(&self, given: Given<'_>, scratch: &mut Scratch) -> Result<Coerced, CellError> {
        let start = scratch.text.len();
        let (json, at) = match given {
            Given::Null => return Ok(Coerced::Null),
            Given::Bool(true) => ("true", None),
            Given::Bool(false) => ("false", None),
            Given::Number(json) | Given::Escaped(json) | Given::Nested(json) => (json, Some(0)),
            // A text without escapes is stored as it stands in its quotes.
            Given::Text(text, 1) => return Ok(Coerced::Given(Form::Json, 0..text.len() + 2)),
            Given::Text(cell, at) => {
                if serde_json::from_str::<serde::de::IgnoredAny>(cell).is_err() {
                    return Err(self.expected());
                }
                (cell, Some(at))
            }
        };
        match (self, at) {
            (Self::Json, Some(at)) => return Ok(Coerced::Given(Form::Json, at..at + json.len())),
            (Self::Json, None) => scratch.text.push_str(json),
            _ => json::canonical(
                json.trim_ascii(),
                json::Numbers::Printed,
                &mut scratch.json,
                &mut scratch.text,
            )
            .map_err(|_| self.expected())?,
        }
        Ok(scratch.made(Form::Json, start))
    }

    /// What would be accepted.
    fn expected(&self) -> CellError {
        CellError::new(match self {
            Self::Bool => "true or false".to_owned(),
            Self::Int { min, max } => format!("an integer from {min} to {max}"),
            Self::Number { size: Some(_), name } => format!("a number that fits {name}"),
            Self::Number { size: None, .. } => "a number".to_owned(),
            Self::Single => "a number in the range of a 32-bit float".to_owned(),
            Self::Double => "a number in the range of a 64-bit float".to_owned(),
            Self::Text | Self::Other => "a text".to_owned(),
            Self::Limited { max, name } | Self::Padded { max, name } => {
                format!("a text of at most {max} characters ({name})")
            }
            Self::Bytes => "bytes, as `\\x00ff` or {\"$bytes\":\"00ff\"}".to_owned(),
            Self::Json | Self::Jsonb => "a JSON value that PostgreSQL can hold".to_owned(),
            Self::Uuid => "a UUID".to_owned(),
            Self::Timestamp { is_utc: true, .. } => "a time such as 2026-01-02T03:04:05Z".to_owned(),
            Self::Timestamp { is_utc: false, .. } => {
                "a time without an offset, such as 2026-01-02T03:04:05 (an offset would be dropped)"
                    .to_owned()
            }
            Self::Date => "a day such as 2026-01-02 (a time of day would be dropped)".to_owned(),
            Self::Time { .. } => "a time of day such as 03:04:05".to_owned(),
            Self::Array(_) => "an array, as JSON or as a text such as {a,b}".to_owned(),
        })
    }
}

/// `numeric(10,2)` as `numeric` and `(10, 2)`, `timestamp(3) with time zone` as its name without `(3)` and `(3, 0)`.
fn split(name: &str) -> (String, Option<(i64, i64)>) {
    let parts = name.split_once('(').and_then(|(head, tail)| Some((head, tail.split_once(')')?)));
    let Some((head, (size, tail))) = parts else { return (name.to_owned(), None) };
    let (first, second) = size.split_once(',').unwrap_or((size, "0"));
    let size = first.trim().parse().ok().zip(second.trim().parse().ok());
    (format!("{head}{tail}"), size)
}

/// The kind of the elements of an array.
fn kind_of(name: &str) -> Kind {
    match split(name).0.as_str() {
        "boolean" => Kind::Bool,
        "smallint" | "integer" | "bigint" => Kind::Int,
        "numeric" => Kind::Number,
        "real" | "double precision" => Kind::Real,
        "text" | "character varying" | "character" => Kind::Text,
        "bytea" => Kind::Bytes,
        "json" | "jsonb" => Kind::Json,
        "uuid" => Kind::Uuid,
        "timestamp with time zone" => Kind::TimestampTz,
        "timestamp without time zone" => Kind::Timestamp,
        "date" => Kind::Date,
        _ => Kind::Other,
    }
}
