//! Exports of rows that have everything: every type, nulls, mixed columns, and text that needs quotes.

use super::*;
use crate::value::ValueRef::{Bytes, Int, Null, Real, Text};

struct Fixed {
    columns: Vec<Column>,
    rows: Vec<Vec<ValueRef<'static>>>,
}

impl Rows for Fixed {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn read(
        &mut self,
        each: &mut dyn FnMut(&[ValueRef<'_>]) -> Result<(), ExportError>,
    ) -> Result<(), ExportError> {
        self.rows.iter().try_for_each(|row| each(row))
    }
}

fn sample() -> Fixed {
    let columns =
        [("id", "INTEGER"), ("ok", "BOOLEAN"), ("x", "REAL"), ("any", ""), ("any_raw", ""), ("none", "TEXT")];
    let column =
        |(name, declared): (&str, &str)| Column { name: name.to_owned(), declared: declared.to_owned() };
    Fixed {
        columns: columns.map(column).into(),
        rows: vec![
            vec![Int(1), Int(1), Real(1.5), Int(7), Text("a,\"b\"\n"), Null],
            vec![Int(-2), Null, Int(2), Int(9), Text(""), Null],
            vec![Int(i64::MAX), Int(0), Null, Text("né"), Bytes(&[0, 255]), Null],
        ],
    }
}

fn exported(format: Format) -> (Vec<u8>, Written) {
    let mut out = Vec::new();
    let written = write(format, &mut sample(), &mut out).unwrap();
    (out, written)
}

#[test]
fn csv_and_json_lines() {
    let (csv, written) = exported(Format::Csv);
    assert_eq!(
        String::from_utf8(csv).unwrap(),
        "id,ok,x,any,any_raw,none\n1,1,1.5,7,\"a,\"\"b\"\"\n\",\n-2,,2,9,\"\",\n9223372036854775807,0,,né,\\x00ff,\n"
    );
    assert_eq!((written.rows, written.columns), (3, 6));
    let (lines, _) = exported(Format::Ndjson);
    let text = String::from_utf8(lines).unwrap();
    let first = text.lines().next().unwrap();
    assert_eq!(first, "{\"id\":1,\"ok\":1,\"x\":1.5,\"any\":7,\"any_raw\":\"a,\\\"b\\\"\\n\",\"none\":null}");
    assert!(text.contains("9223372036854775807"), "{text}");
}

#[test]
fn parquet_splits_mixed_columns_and_counts_them() {
    let (bytes, written) = exported(Format::Parquet);
    assert_eq!((&bytes[..4], &bytes[bytes.len() - 4..]), (&b"PAR1"[..], &b"PAR1"[..]));
    let mixed = |column: &str, raw_column: &str, typed| Mixed {
        column: column.to_owned(),
        raw_column: raw_column.to_owned(),
        typed,
        raw: 1,
    };
    // The name of the second column of `any` is taken already.
    assert_eq!(written.mixed, [mixed("any", "any_raw_", 2), mixed("any_raw", "any_raw_raw", 2)]);
    assert_eq!(exported(Format::Parquet).0, bytes, "the same rows give the same bytes");
}

#[test]
fn a_table_without_columns_is_refused() {
    let mut empty = Fixed { columns: Vec::new(), rows: Vec::new() };
    assert!(matches!(write(Format::Csv, &mut empty, &mut Vec::new()), Err(ExportError::NoColumns)));
    let mut no_rows = Fixed { rows: Vec::new(), ..sample() };
    assert_eq!(write(Format::Parquet, &mut no_rows, &mut Vec::new()).unwrap().rows, 0);
}

/// Rows that are others when they are read again.
struct Growing(Fixed);

impl Rows for Growing {
    fn columns(&self) -> &[Column] {
        self.0.columns()
    }

    fn read(
        &mut self,
        each: &mut dyn FnMut(&[ValueRef<'_>]) -> Result<(), ExportError>,
    ) -> Result<(), ExportError> {
        self.0.read(each)?;
        let again = self.0.rows[0].clone();
        self.0.rows.push(again);
        Ok(())
    }
}

#[test]
fn rows_that_change_between_two_readings_are_refused() {
    let outcome = write(Format::Parquet, &mut Growing(sample()), &mut Vec::new());
    assert!(matches!(outcome, Err(ExportError::Changed(3, 4))));
}
