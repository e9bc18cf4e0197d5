//! The reader of Parquet against the writer, and against files that were cut, changed and made up.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::io::Cursor;

use ops::export::{self, Column, ExportError, Format};
use ops::parquet::{Cell, Kind, Layout, ParquetError, Rows};
use ops::random::Random;
use ops::value::ValueRef;

/// A table of every type, with gaps.
struct Table {
    columns: Vec<Column>,
    rows: u64,
}

impl Table {
    fn of(rows: u64) -> Self {
        let column = |(name, declared): (&str, &str)| Column { name: name.into(), declared: declared.into() };
        let columns =
            [("n", "INTEGER"), ("x", "REAL"), ("flag", "BOOLEAN"), ("word", "TEXT"), ("none", "TEXT")];
        Self { columns: columns.map(column).into(), rows }
    }
}

impl export::Rows for Table {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn read(
        &mut self,
        each: &mut dyn FnMut(&[ValueRef<'_>]) -> Result<(), ExportError>,
    ) -> Result<(), ExportError> {
        for i in 0..self.rows {
            let n = i64::try_from(i).unwrap();
            let word = format!("wörd {}", i % 700);
            let or_null = |value, step: u64| if i % step == 3 { ValueRef::Null } else { value };
            each(&[
                ValueRef::Int(n - 40),
                or_null(ValueRef::Real(n as f64 / 4.0), 5),
                or_null(ValueRef::Bool(i % 3 == 0), 7),
                or_null(ValueRef::Text(&word), 11),
                ValueRef::Null,
            ])?;
        }
        Ok(())
    }
}

fn written(rows: u64) -> Vec<u8> {
    let mut out = Vec::new();
    export::write(Format::Parquet, &mut Table::of(rows), &mut out).unwrap();
    out
}

/// Every cell of every row, as the words that it is shown by.
fn cells(bytes: &[u8]) -> Result<Vec<String>, ParquetError> {
    let layout = Layout::read(&mut Cursor::new(bytes))?;
    let columns: Vec<usize> =
        (0..layout.columns.len()).filter(|at| !matches!(layout.columns[*at].kind, Kind::Other(_))).collect();
    let mut found = Vec::new();
    for group in 0..layout.group_rows().count() {
        let mut rows = Rows::open(&layout, group, &columns, Cursor::new(bytes))?;
        loop {
            let count = rows.advance()?;
            if count == 0 {
                break;
            }
            for row in 0..count {
                let cells: Vec<Cell<'_>> = (0..columns.len()).map(|column| rows.cell(column, row)).collect();
                found.push(format!("{cells:?}"));
            }
        }
    }
    Ok(found)
}

#[test]
fn what_is_written_is_read() {
    // More than a row group of the writer.
    let rows = 140_000;
    let bytes = written(rows);
    let layout = Layout::read(&mut Cursor::new(&bytes)).unwrap();
    assert_eq!((layout.rows, layout.group_rows().count()), (rows, 2));
    let kinds: Vec<Kind> = layout.columns.iter().map(|column| column.kind).collect();
    let int = Kind::Int { bytes: 8, unsigned: false };
    assert_eq!(kinds, [int, Kind::Real { bytes: 8 }, Kind::Flag, Kind::Text, Kind::Text]);
    assert_eq!((layout.find("word"), layout.find("other")), (Some(3), None));
    let found = cells(&bytes).unwrap();
    assert_eq!(found.len() as u64, rows);
    for i in [0_u64, 3, 10, 14, 1_023, 1_024, 131_071, 131_072, 139_999] {
        let or_null =
            |cell: Cell<'_>, step: u64| format!("{:?}", if i % step == 3 { Cell::Null } else { cell });
        let (n, word) = (i64::try_from(i).unwrap(), format!("wörd {}", i % 700));
        let expected = [
            format!("{:?}", Cell::Int(n - 40)),
            or_null(Cell::Real(n as f64 / 4.0), 5),
            or_null(Cell::Flag(i % 3 == 0), 7),
            or_null(Cell::Text(&word), 11),
            "Null".to_owned(),
        ];
        assert_eq!(found[usize::try_from(i).unwrap()], format!("[{}]", expected.join(", ")), "{i}");
    }
}

#[test]
fn a_table_without_rows_has_its_columns() {
    let bytes = written(0);
    let layout = Layout::read(&mut Cursor::new(&bytes)).unwrap();
    assert_eq!((layout.rows, layout.columns.len()), (0, 5));
    assert_eq!(cells(&bytes).unwrap(), Vec::<String>::new());
}

#[test]
fn what_is_no_parquet_is_told_from_what_is_cut() {
    let says = |bytes: &[u8]| cells(bytes).unwrap_err().to_string();
    assert_eq!(says(b""), "this is not a Parquet file");
    assert_eq!(says(b"{\"run_id\": 1}\n{\"run_id\": 2}\n"), "this is not a Parquet file");
    let whole = written(100);
    assert_eq!(says(&whole[..whole.len() - 5]), "this Parquet file is cut: its end is missing");
    let mut encrypted = whole.clone();
    let end = encrypted.len();
    encrypted[end - 1] = b'E';
    assert_eq!(says(&encrypted), "this Parquet file is encrypted");
    let mut endless = whole;
    endless[end - 8..end - 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(says(&endless), "the footer of this Parquet file is damaged");
}

#[test]
fn every_cut_is_an_error() {
    let whole = written(300);
    for length in 0..whole.len() {
        assert!(cells(&whole[..length]).is_err(), "{length}");
    }
    // With the middle missing, the footer speaks of what is not there.
    let (head, tail) = (&whole[..whole.len() / 3], &whole[whole.len() / 2..]);
    assert!(cells(&[head, tail].concat()).is_err());
}

/// Files of other programs, whose encodings and compressions ours does not write.
const OTHERS: [&str; 5] = ["duckdb", "pandas", "polars", "pyarrow-1", "pyarrow-2"];

fn fixture(name: &str) -> Vec<u8> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/analyze/parquet");
    std::fs::read(folder.join(format!("{name}.parquet"))).unwrap()
}

#[test]
fn changed_bytes_end_in_rows_or_in_an_error() {
    let mut random = Random::seeded(5);
    let mut files: Vec<Vec<u8>> = OTHERS.iter().map(|name| fixture(name)).collect();
    files.push(written(300));
    let mut errors = 0;
    for whole in &files {
        for _ in 0..400 {
            let mut bytes = whole.clone();
            for _ in 0..=random.below(3) {
                let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
                bytes[at] = u8::try_from(random.below(256)).unwrap();
            }
            errors += u64::from(cells(&bytes).is_err());
        }
    }
    assert!(errors > 0);
}
