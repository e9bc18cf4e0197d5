//! Values and names as SQL: one function for values, one for names, whatever they hold.
//!
//! A literal means the same value whatever program sends it: it is on one line, without control characters, and
//! floats are spelled so that no parser has to round.

use std::io::Write;

use crate::value::ValueRef;

/// The SQL of one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite, as the sqlite3 shell reads it.
    Sqlite,
    /// PostgreSQL, as psql reads it.
    Postgres,
}

/// Appends a name in double quotes.
pub fn identifier(name: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    doubled(name, b'"', out);
    out.push(b'"');
}

/// Appends a value as a literal. In PostgreSQL the literal has no type of its own where the column decides it.
pub fn literal(value: ValueRef<'_>, dialect: Dialect, out: &mut Vec<u8>) {
    match (value, dialect) {
        (ValueRef::Null, _) => out.extend_from_slice(b"NULL"),
        (ValueRef::Bool(b), Dialect::Postgres) => out.extend_from_slice(if b { b"true" } else { b"false" }),
        (ValueRef::Bool(b), Dialect::Sqlite) => out.push(b'0' + u8::from(b)),
        (ValueRef::Int(n), _) => put(out, format_args!("{n}")),
        (ValueRef::Real(x), Dialect::Sqlite) => sqlite_real(x, out),
        (ValueRef::Real(x), Dialect::Postgres) => postgres_real(x, out),
        (ValueRef::Number(text), Dialect::Postgres) if is_plain_number(text) => {
            out.extend_from_slice(text.as_bytes());
        }
        (ValueRef::Number(text) | ValueRef::Text(text) | ValueRef::Json(text), Dialect::Sqlite) => {
            sqlite_text(text, out);
        }
        (ValueRef::Number(text) | ValueRef::Text(text) | ValueRef::Json(text), Dialect::Postgres) => {
            postgres_text(text, out);
        }
        (ValueRef::Bytes(bytes), Dialect::Sqlite) => {
            put(out, format_args!("x'{}'", crate::ids::hex(bytes)));
        }
        (ValueRef::Bytes(bytes), Dialect::Postgres) => {
            postgres_text(&format!("\\x{}", crate::ids::hex(bytes)), out);
        }
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to memory");
}

/// Appends `text` with every `quote` twice.
fn doubled(text: &str, quote: u8, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut from = 0;
    for at in memchr::memchr_iter(quote, bytes) {
        out.extend_from_slice(&bytes[from..=at]);
        out.push(quote);
        from = at + 1;
    }
    out.extend_from_slice(&bytes[from..]);
}

fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f
}

fn is_plain_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.ends_with(|c: char| c.is_ascii_digit())
        && digits.bytes().filter(|b| *b == b'.').count() <= 1
}

fn postgres_real(x: f64, out: &mut Vec<u8>) {
    if x.is_finite() {
        put(out, format_args!("'{x:?}'"));
    } else if x.is_nan() {
        out.extend_from_slice(b"'NaN'");
    } else {
        out.extend_from_slice(if x > 0.0 { b"'Infinity'" } else { b"'-Infinity'" });
    }
}

/// A text that the setting `standard_conforming_strings` cannot change. NUL, which no PostgreSQL text can hold,
/// becomes an escape that the server refuses.
fn postgres_text(text: &str, out: &mut Vec<u8>) {
    if !text.bytes().any(|b| is_control(b) || b == b'\\') {
        out.push(b'\'');
        doubled(text, b'\'', out);
        out.push(b'\'');
        return;
    }
    out.extend_from_slice(b"E'");
    for byte in text.bytes() {
        match byte {
            b'\'' => out.extend_from_slice(b"''"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ if is_control(byte) => put(out, format_args!("\\x{byte:02x}")),
            _ => out.push(byte),
        }
    }
    out.push(b'\'');
}

/// A text whose control characters are named by `char()`: the shell would end a line at some of them, and a file
/// that is copied may lose others.
fn sqlite_text(text: &str, out: &mut Vec<u8>) {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let is_control_run = is_control(rest.as_bytes()[0]);
        let end = rest.bytes().position(|b| is_control(b) != is_control_run).unwrap_or(rest.len());
        // SQLite takes at most 100 arguments by default in the oldest versions that are still about.
        let end = if is_control_run { end.min(100) } else { end };
        pieces.push(&rest[..end]);
        rest = &rest[end..];
    }
    if pieces.is_empty() {
        out.extend_from_slice(b"''");
        return;
    }
    joined(&pieces, out);
}

/// Joins pieces in halves, because SQLite limits how deep an expression may be.
fn joined(pieces: &[&str], out: &mut Vec<u8>) {
    if let [piece] = pieces {
        if is_control(piece.as_bytes()[0]) {
            let codes: Vec<String> = piece.bytes().map(|b| b.to_string()).collect();
            put(out, format_args!("char({})", codes.join(",")));
        } else {
            out.push(b'\'');
            doubled(piece, b'\'', out);
            out.push(b'\'');
        }
        return;
    }
    let (left, right) = pieces.split_at(pieces.len() / 2);
    out.push(b'(');
    joined(left, out);
    out.extend_from_slice(b"||");
    joined(right, out);
    out.push(b')');
}

/// A float that every version of SQLite reads as the same bits: older ones round the last digit wrongly for
/// some decimals. Short decimals that are exact stay readable, the others are an integer times a power of two.
fn sqlite_real(x: f64, out: &mut Vec<u8>) {
    if x.is_nan() {
        // SQLite itself stores NaN as NULL, so no row can hold one.
        out.extend_from_slice(b"NULL");
    } else if x.is_infinite() {
        out.extend_from_slice(if x > 0.0 { b"9e999" } else { b"-9e999" });
    } else if is_exact_decimal(x) {
        put(out, format_args!("{x:?}"));
    } else {
        put(out, format_args!("/*{x:?}*/"));
        dyadic(x, out);
    }
}

/// Whether the shortest decimal that names `x` is exactly `x`, and short enough for one exact division.
fn is_exact_decimal(x: f64) -> bool {
    let text = format!("{:?}", x.abs());
    let Some((whole, fraction)) = text.split_once('.') else { return false };
    if text.contains('e') || whole.len() + fraction.len() > 15 {
        return false;
    }
    let Ok(digits) = format!("{whole}{fraction}").parse::<u64>() else { return false };
    let (mantissa, exponent) = parts(x);
    let Ok(decimals) = u32::try_from(fraction.len()) else { return false };
    // digits / 10^decimals == mantissa * 2^exponent, in integers.
    let ten = 10_u128.pow(decimals);
    let (left, right) = (u128::from(digits), u128::from(mantissa) * ten);
    match u32::try_from(-exponent) {
        Ok(shift) => shift < 64 && left << shift == right,
        Err(_) => exponent < 64 && left == right << exponent,
    }
}

/// `x` without its sign as an odd integer (or zero) times a power of two.
fn parts(x: f64) -> (u64, i32) {
    let bits = x.to_bits();
    let field = i32::try_from(bits >> 52 & 0x7ff).expect("eleven bits");
    let fraction = bits & ((1 << 52) - 1);
    let (mantissa, exponent) =
        if field == 0 { (fraction, -1074) } else { (fraction | 1 << 52, field - 1075) };
    if mantissa == 0 {
        return (0, 0);
    }
    let zeros = mantissa.trailing_zeros();
    (mantissa >> zeros, exponent + zeros.cast_signed())
}

/// `(-5/2.0)` and the like: every operand and every step is exact.
fn dyadic(x: f64, out: &mut Vec<u8>) {
    const STEP: u32 = 62;
    let (mantissa, exponent) = parts(x);
    let sign = if x.is_sign_negative() { "-" } else { "" };
    put(out, format_args!("({sign}{mantissa}"));
    let operator = if exponent < 0 { '/' } else { '*' };
    let mut rest = exponent.unsigned_abs();
    loop {
        let step = rest.min(STEP);
        put(out, format_args!("{operator}{}.0", 1_u64 << step));
        rest -= step;
        if rest == 0 {
            break;
        }
    }
    out.push(b')');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;

    fn sql(value: &Value, dialect: Dialect) -> String {
        let mut out = Vec::new();
        literal(value.as_ref(), dialect, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn names_are_quoted() {
        for (name, expected) in [("a", r#""a""#), ("", r#""""#), (r#"a"b"#, r#""a""b""#), ("é b", r#""é b""#)]
        {
            let mut out = Vec::new();
            identifier(name, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn for_sqlite() {
        for (value, expected) in [
            (Value::Null, "NULL"),
            (Value::Bool(true), "1"),
            (Value::Int(i64::MIN), "-9223372036854775808"),
            (Value::Real(1.5), "1.5"),
            (Value::Real(-0.25), "-0.25"),
            (Value::Real(0.0), "0.0"),
            (Value::Real(3e9), "3000000000.0"),
            (Value::Real(0.1), "/*0.1*/(3602879701896397/36028797018963968.0)"),
            (Value::Real(f64::NEG_INFINITY), "-9e999"),
            (text(""), "''"),
            (text("it's \"so\" \\ é"), "'it''s \"so\" \\ é'"),
            (text("a\r\nb"), "('a'||(char(13,10)||'b'))"),
            (text("\0"), "char(0)"),
            (Value::Json("[1]".into()), "'[1]'"),
            (Value::Bytes(vec![0, 255]), "x'00ff'"),
            (Value::Number("1.50".into()), "'1.50'"),
        ] {
            assert_eq!(sql(&value, Dialect::Sqlite), expected);
        }
    }

    #[test]
    fn for_postgres() {
        for (value, expected) in [
            (Value::Null, "NULL"),
            (Value::Bool(false), "false"),
            (Value::Int(i64::MIN), "-9223372036854775808"),
            (Value::Number("-12345678901234567890.10".into()), "-12345678901234567890.10"),
            (Value::Number("NaN".into()), "'NaN'"),
            (Value::Number("1.".into()), "'1.'"),
            (Value::Number("--1".into()), "'--1'"),
            (Value::Real(0.1), "'0.1'"),
            (Value::Real(1e300), "'1e300'"),
            (Value::Real(f64::NAN), "'NaN'"),
            (Value::Real(f64::INFINITY), "'Infinity'"),
            (text("it's"), "'it''s'"),
            (text("a\\b'\n\u{1}\u{7f}é"), r"E'a\\b''\n\x01\x7fé'"),
            (text("\0"), r"E'\x00'"),
            (Value::Json("{\"a\":\"\\n\"}".into()), r#"E'{"a":"\\n"}'"#),
            (Value::Bytes(vec![0, 255]), r"E'\\x00ff'"),
        ] {
            assert_eq!(sql(&value, Dialect::Postgres), expected);
        }
    }

    #[test]
    fn no_literal_has_a_line_break() {
        let all: String = (0..=0x100_u32).filter_map(char::from_u32).collect();
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            let written = sql(&text(&all), dialect);
            assert!(!written.bytes().any(is_control), "{written}");
        }
    }

    #[test]
    fn an_expression_does_not_grow_deep_with_the_text() {
        let deepest = |sql: &str| {
            let mut depth = 0_i32;
            sql.bytes()
                .map(|b| {
                    depth += i32::from(b == b'(') - i32::from(b == b')');
                    depth
                })
                .max()
        };
        assert!(deepest(&sql(&text(&"a\n".repeat(10_000)), Dialect::Sqlite)) < Some(20));
    }
}
