//! Values as the text that PostgreSQL reads and prints, and back.
//!
//! A column travels to the server as one `text[]`, in the driver's binary form, made without a text of its own for
//! each cell. The casts to the columns' types are in the statements.

use std::error::Error;
use std::io::Write;

use ::postgres::types::private::BytesMut;
use ::postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};

use crate::value::{Kind, Value};

/// The number of the type `text`, the same in every database.
const TEXT_OID: u32 = 25;

/// One column of rows, as an array parameter.
pub(super) struct Cells {
    array: Vec<u8>,
}

impl std::fmt::Debug for Cells {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cells").finish_non_exhaustive()
    }
}

impl Cells {
    /// Cells in the order of the rows; `None` is NULL, as is [`Value::Null`].
    pub(super) fn of<'a>(values: impl ExactSizeIterator<Item = Option<&'a Value>>) -> Self {
        let mut array = Vec::with_capacity(20 + values.len() * 24);
        let length = i32::try_from(values.len()).expect("a batch has less than 2^31 rows");
        // One dimension, NULLs possible, counted from 1.
        for word in [i32::from(length > 0), 1, TEXT_OID.cast_signed()] {
            array.extend_from_slice(&word.to_be_bytes());
        }
        if length > 0 {
            array.extend_from_slice(&length.to_be_bytes());
            array.extend_from_slice(&1_i32.to_be_bytes());
        }
        for value in values {
            let start = array.len();
            array.extend_from_slice(&[0; 4]);
            let size = match value {
                None | Some(Value::Null) => -1,
                Some(value) => {
                    write_text(value, &mut array);
                    i32::try_from(array.len() - start - 4).expect("a cell has less than 2 GiB")
                }
            };
            array[start..start + 4].copy_from_slice(&size.to_be_bytes());
        }
        Self { array }
    }
}

/// One value as a parameter in text form, whatever the type of the parameter.
#[derive(Debug)]
pub(super) struct AsText<'a>(pub(super) &'a Value);

impl ToSql for AsText<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        if self.0.is_null() {
            return Ok(IsNull::Yes);
        }
        let mut text = Vec::new();
        write_text(self.0, &mut text);
        out.extend_from_slice(&text);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

impl ToSql for Cells {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&self.array);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TEXT_ARRAY
    }

    to_sql_checked!();
}

/// Appends the text that means this value to its column's type.
pub(super) fn write_text(value: &Value, out: &mut Vec<u8>) {
    let written = match value {
        Value::Null => Ok(()),
        Value::Bool(b) => write!(out, "{b}"),
        Value::Int(n) => write!(out, "{n}"),
        Value::Real(x) if x.is_infinite() => out.write_all(if *x > 0.0 { b"Infinity" } else { b"-Infinity" }),
        // The shortest text that reads back as the same float.
        Value::Real(x) => write!(out, "{x:?}"),
        Value::Number(text) | Value::Text(text) | Value::Json(text) => out.write_all(text.as_bytes()),
        Value::Bytes(bytes) => {
            out.extend_from_slice(b"\\x");
            bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
        }
    };
    written.expect("writing to memory");
}

/// The value that a column of this kind prints as `text`; `None` for a text that its type cannot print.
pub(super) fn read_text(kind: Kind, text: &str) -> Option<Value> {
    Some(match kind {
        Kind::Bool => Value::Bool(match text {
            "true" => true,
            "false" => false,
            _ => return None,
        }),
        Kind::Int => Value::Int(text.parse().ok()?),
        Kind::Real => Value::Real(text.parse().ok()?),
        Kind::Number => Value::Number(text.to_owned()),
        Kind::Json => Value::Json(text.to_owned()),
        Kind::Bytes => Value::Bytes(crate::ids::unhex(text.strip_prefix("\\x")?)?),
        _ => Value::Text(text.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_go_both_ways() {
        for (kind, value, text) in [
            (Kind::Bool, Value::Bool(true), "true"),
            (Kind::Int, Value::Int(i64::MIN), "-9223372036854775808"),
            (Kind::Real, Value::Real(-0.0), "-0.0"),
            (Kind::Real, Value::Real(f64::NEG_INFINITY), "-Infinity"),
            (Kind::Real, Value::Real(0.1), "0.1"),
            (Kind::Number, Value::Number("1.50".into()), "1.50"),
            (Kind::Bytes, Value::Bytes(vec![0, 255]), "\\x00ff"),
            (Kind::Json, Value::Json("{ }".into()), "{ }"),
            (Kind::Date, Value::Text("infinity".into()), "infinity"),
        ] {
            let mut out = Vec::new();
            write_text(&value, &mut out);
            assert_eq!(out, text.as_bytes());
            assert!(read_text(kind, text).unwrap().as_ref().same(value.as_ref()), "{text}");
        }
        assert!(matches!(read_text(Kind::Real, "NaN"), Some(Value::Real(x)) if x.is_nan()));
        assert_eq!(read_text(Kind::Bool, "t"), None);
        assert_eq!(read_text(Kind::Int, "1.5"), None);
        assert_eq!(read_text(Kind::Bytes, "00"), None);
    }

    #[test]
    fn a_column_is_an_array_of_the_wire() {
        let values = [Value::Text("é".into()), Value::Null, Value::Text(String::new())];
        let cells = Cells::of(values.iter().map(Some));
        let expected = [
            [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 25, 0, 0, 0, 3, 0, 0, 0, 1].as_slice(),
            &[0, 0, 0, 2, 0xc3, 0xa9],
            &[255, 255, 255, 255],
            &[0, 0, 0, 0],
        ];
        assert_eq!(cells.array, expected.concat());
        assert_eq!(Cells::of(std::iter::empty()).array, [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 25]);
    }
}
