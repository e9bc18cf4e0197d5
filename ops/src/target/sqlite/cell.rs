//! Values between Rust and SQLite: bound without a copy, compared without a conversion.

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef as Stored};

use crate::target::schema::{Column, Origin};
use crate::value::{Value, ValueRef};

/// A value as a parameter.
pub(super) struct Bound<'a>(pub(super) &'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => Stored::Null,
            Value::Bool(b) => Stored::Integer(i64::from(*b)),
            Value::Int(n) => Stored::Integer(*n),
            Value::Real(x) => Stored::Real(*x),
            Value::Number(text) | Value::Text(text) | Value::Json(text) => Stored::Text(text.as_bytes()),
            Value::Bytes(bytes) => Stored::Blob(bytes),
        }))
    }
}

/// What a row holds; `None` for text that is not UTF-8.
pub(super) fn borrow(stored: Stored<'_>) -> Option<ValueRef<'_>> {
    Some(match stored {
        Stored::Null => ValueRef::Null,
        Stored::Integer(n) => ValueRef::Int(n),
        Stored::Real(x) => ValueRef::Real(x),
        Stored::Text(text) => ValueRef::Text(crate::text::utf8(text).ok()?),
        Stored::Blob(bytes) => ValueRef::Bytes(bytes),
    })
}

/// Whether a row holds exactly this: the same storage class, the same bytes, whatever affinity and collation say.
pub(super) fn is_exactly(stored: Stored<'_>, value: &Value) -> bool {
    match (stored, value) {
        (Stored::Null, Value::Null) => true,
        (Stored::Integer(a), Value::Int(b)) => a == *b,
        (Stored::Real(a), Value::Real(b)) => a.to_bits() == b.to_bits(),
        (Stored::Text(a), Value::Text(b)) => a == b.as_bytes(),
        (Stored::Blob(a), Value::Bytes(b)) => a == b,
        _ => false,
    }
}

/// What a column does to values that are stored in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Affinity {
    /// Nothing.
    Blob,
    /// Numbers become text.
    Text,
    /// Text that is a number becomes one, and floats without a fraction become integers.
    Numeric,
    /// Text that is a number, and integers, become floats.
    Real,
    /// Like `Numeric`; NULL becomes the next number.
    RowId,
}

impl Affinity {
    /// That of a column, by SQLite's rules over the name of its type.
    pub(super) fn of(column: &Column, is_strict: bool) -> Self {
        let name = column.type_name.to_ascii_uppercase();
        let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
        if column.origin == Origin::Numbered {
            Self::RowId
        } else if is_strict && name == "ANY" {
            Self::Blob
        } else if has(&["INT"]) {
            Self::Numeric
        } else if has(&["CHAR", "CLOB", "TEXT"]) {
            Self::Text
        } else if name.is_empty() || has(&["BLOB"]) {
            Self::Blob
        } else if has(&["REAL", "FLOA", "DOUB"]) {
            Self::Real
        } else {
            Self::Numeric
        }
    }

    /// Whether a column is certain to hold exactly this after it was stored. Where it may not be, the row is asked.
    pub(super) fn keeps(self, value: &Value) -> bool {
        match (self, value) {
            (Self::RowId, Value::Null) => false,
            (_, Value::Null | Value::Bytes(_))
            | (Self::Blob | Self::Text, Value::Text(_))
            | (Self::Blob | Self::Numeric | Self::RowId, Value::Int(_)) => true,
            (Self::Blob | Self::Real, Value::Real(x)) => x.to_bits() != (-0.0_f64).to_bits() && !x.is_nan(),
            (_, Value::Text(text)) => !may_be_number(text),
            _ => false,
        }
    }
}

/// Whether a text consists of nothing but what numbers are spelled with.
fn may_be_number(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE \t\n\x0b\x0c\r".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Kind;
    use rusqlite::Connection;

    fn column(type_name: &str) -> Column {
        Column {
            name: "v".into(),
            type_name: type_name.into(),
            kind: Kind::Any,
            nullable: true,
            default: None,
            origin: Origin::Written,
        }
    }

    /// Whatever `keeps` promises, SQLite keeps.
    #[test]
    fn what_is_certain_to_be_kept_is_kept() {
        let texts =
            ["", "a", "1", "1.0", " 1 ", "1e3", "0x10", "-", "e", "2026-01-02", "9223372036854775808", "1_0"];
        let mut values: Vec<Value> = texts.iter().map(|t| Value::Text((*t).to_owned())).collect();
        values.extend([0, 1, -1, i64::MAX, i64::MIN].map(Value::Int));
        let floats = [0.0, -0.0, 1.0, 0.1, 1e300, f64::INFINITY, f64::NAN, 9_007_199_254_740_992.0, 5e-324];
        values.extend(floats.map(Value::Real));
        values.extend([Value::Null, Value::Bytes(vec![]), Value::Bytes(b"1".to_vec())]);
        let conn = Connection::open_in_memory().unwrap();
        let types = [
            "",
            "BLOB",
            "TEXT",
            "VARCHAR(3)",
            "INT",
            "BIGINT",
            "NUMERIC",
            "DATETIME",
            "REAL",
            "DOUBLE",
            "JSON",
        ];
        let mut kept = 0;
        for (type_name, strict) in
            types.iter().map(|t| (*t, "")).chain([("ANY", "STRICT"), ("REAL", "STRICT")])
        {
            conn.execute_batch(&format!("DROP TABLE IF EXISTS t; CREATE TABLE t (v {type_name}) {strict}"))
                .unwrap();
            let affinity = Affinity::of(&column(type_name), !strict.is_empty());
            for value in values.iter().filter(|value| affinity.keeps(value)) {
                conn.execute("DELETE FROM t", []).unwrap();
                conn.execute("INSERT INTO t VALUES (?1)", [Bound(value)]).ok();
                let same =
                    conn.query_row("SELECT v FROM t", [], |row| Ok(is_exactly(row.get_ref(0)?, value)));
                // STRICT refuses what does not fit; what it takes it keeps.
                assert!(same.unwrap_or(!strict.is_empty()), "{type_name} {value:?}");
                kept += 1;
            }
        }
        assert!(kept > 150, "{kept}: most values need no second look");
    }

    #[test]
    fn storage_classes_are_told_apart() {
        for (stored, value, expected) in [
            (Stored::Integer(1), Value::Int(1), true),
            (Stored::Integer(1), Value::Real(1.0), false),
            (Stored::Real(1.0), Value::Int(1), false),
            (Stored::Text(b"1"), Value::Int(1), false),
            (Stored::Text(b"a"), Value::Bytes(b"a".to_vec()), false),
            (Stored::Blob(b"a"), Value::Bytes(b"a".to_vec()), true),
            (Stored::Real(0.0), Value::Real(-0.0), false),
            (Stored::Null, Value::Null, true),
            (Stored::Null, Value::Text(String::new()), false),
        ] {
            assert_eq!(is_exactly(stored, &value), expected, "{stored:?} {value:?}");
        }
        assert_eq!(borrow(Stored::Text(b"\xff")), None);
    }
}
