//! Reading every row: one `COPY` in the snapshot in which the rows were counted.

use std::io::BufRead;

use ::postgres::Transaction;

use super::catalog::{self, Facts, quote, quoted};
use super::fault::Fault;
use super::wire::{Cell, Wire, decode, value};
use crate::guard::Refusal;
use crate::target::schema::Table;
use crate::target::{ScanProof, TargetError};
use crate::value::ValueRef;

/// Hands out every row of the table as the transaction sees it.
pub(super) fn scan(
    tx: &mut Transaction<'_>,
    table: &Table,
    each: &mut dyn FnMut(&[ValueRef<'_>]) -> Result<(), TargetError>,
) -> Result<ScanProof, Fault> {
    let columns = catalog::columns(tx, table)?;
    // A large table takes as long as it takes.
    tx.batch_execute("SET LOCAL statement_timeout = 0")?;
    let source = quoted(&table.name);
    let count: i64 = tx.query_one(&format!("SELECT pg_catalog.count(*) FROM {source}"), &[])?.get(0);
    let count = count.unsigned_abs();
    let selected: Vec<String> = columns.iter().map(selected).collect();
    let sql = format!("COPY (SELECT {} FROM {source}) TO STDOUT (FORMAT binary)", selected.join(", "));
    let rows = Rows::new(&columns, table).hand_out(tx.copy_out(&sql)?, each)?;
    if rows != count {
        let what = format!("the table `{}` cannot be read completely", table.name);
        let found = format!("{rows} rows");
        return Err(Refusal::new(what, format!("{count} rows, as counted before"), found).into());
    }
    Ok(ScanProof { rows, count_before: count, count_after: count, pages: 2, snapshot: true })
}

/// A column of the `COPY`. A domain travels as the type below it.
fn selected(facts: &Facts) -> String {
    let name = quote(&facts.column.name);
    let ty = if Wire::of(&facts.base) == Wire::Cast { "text" } else { &facts.base };
    if facts.column.type_name == ty { name } else { format!("{name}::{ty}") }
}

/// Before the first row: a signature of 11 bytes, flags, and the length of what may follow them.
const HEADER: usize = 19;

/// Rows on their way from the wire, in buffers that are used again.
struct Rows<'t> {
    table: &'t Table,
    wires: Vec<Wire>,
    cells: Vec<Cell>,
    printed: String,
    spare: Vec<ValueRef<'static>>,
}

/// How much of a chunk was rows, and whether there are no more.
struct Done {
    used: usize,
    is_last: bool,
}

impl<'t> Rows<'t> {
    fn new(columns: &[Facts], table: &'t Table) -> Self {
        let wires: Vec<Wire> = columns.iter().map(|facts| Wire::of(&facts.base)).collect();
        Self {
            table,
            cells: Vec::with_capacity(wires.len()),
            wires,
            printed: String::new(),
            spare: Vec::new(),
        }
    }

    /// Reads to the end. The server sends a row at a time, so a row is nearly always whole where it lies; one that
    /// is not is put together first.
    fn hand_out(
        mut self,
        mut stream: impl BufRead,
        each: &mut dyn FnMut(&[ValueRef<'_>]) -> Result<(), TargetError>,
    ) -> Result<u64, Fault> {
        let mut header = [0; HEADER];
        stream.read_exact(&mut header).map_err(broken)?;
        if !header.starts_with(b"PGCOPY\n\xff\r\n\0") || header[11..] != [0; 8] {
            return Err(self.strange("the server sent another form of COPY").into());
        }
        let mut part: Vec<u8> = Vec::new();
        let mut rows = 0;
        loop {
            let chunk = stream.fill_buf().map_err(broken)?;
            if chunk.is_empty() {
                return Err(self.strange("the server stopped before the end").into());
            }
            let given = chunk.len();
            let done = if part.is_empty() {
                let done = self.rows(chunk, &mut rows, each)?;
                part.extend_from_slice(&chunk[done.used..]);
                done
            } else {
                part.extend_from_slice(chunk);
                let done = self.rows(&part, &mut rows, each)?;
                part.drain(..done.used);
                done
            };
            if done.is_last {
                return drain(stream, given).map(|()| rows);
            }
            stream.consume(given);
        }
    }

    /// Hands out the rows that are whole.
    fn rows(
        &mut self,
        bytes: &[u8],
        rows: &mut u64,
        each: &mut dyn FnMut(&[ValueRef<'_>]) -> Result<(), TargetError>,
    ) -> Result<Done, Fault> {
        let mut used = 0;
        while let Some(size) = self.split(&bytes[used..])? {
            if size == END {
                return Ok(Done { used, is_last: true });
            }
            let mut values = reuse(std::mem::take(&mut self.spare));
            self.fill(&bytes[used..used + size], &mut values)?;
            each(&values)?;
            self.spare = reuse(values);
            *rows += 1;
            used += size;
        }
        Ok(Done { used, is_last: false })
    }

    /// How many bytes the row at the beginning has, with its cells noted; [`END`] behind the last row, `None` when it
    /// is not whole.
    fn split(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        self.cells.clear();
        self.printed.clear();
        let Some(width) = bytes.first_chunk().map(|width| i16::from_be_bytes(*width)) else {
            return Ok(None);
        };
        if width == -1 {
            return Ok(Some(END));
        }
        if usize::try_from(width) != Ok(self.wires.len()) {
            return Err(self.strange("the server sent a row of another width").into());
        }
        let mut at = 2;
        for i in 0..self.wires.len() {
            let Some(size) = bytes[at..].first_chunk().map(|size| i32::from_be_bytes(*size)) else {
                return Ok(None);
            };
            at += 4;
            let Ok(size) = usize::try_from(size) else {
                self.cells.push(Cell::Null);
                continue;
            };
            if bytes.len() - at < size {
                return Ok(None);
            }
            let cell = decode(self.wires[i], bytes, at, at + size, &mut self.printed);
            self.cells.push(cell.ok_or_else(|| self.inexact(i))?);
            at += size;
        }
        Ok(Some(at))
    }

    fn fill<'a>(&'a self, row: &'a [u8], values: &mut Vec<ValueRef<'a>>) -> Result<(), Fault> {
        for (i, cell) in self.cells.iter().enumerate() {
            let kind = self.table.columns[i].kind;
            values.push(value(kind, *cell, row, &self.printed).ok_or_else(|| self.inexact(i))?);
        }
        Ok(())
    }

    fn strange(&self, found: &str) -> Refusal {
        let what = format!("the table `{}` cannot be read completely", self.table.name);
        Refusal::new(what, "rows in the binary form of COPY", found)
    }

    fn inexact(&self, column: usize) -> Fault {
        let column = &self.table.columns[column];
        let what = format!("the table `{}` cannot be read exactly", self.table.name);
        let expected = format!("values of type {} in UTF-8", column.type_name);
        Refusal::new(what, expected, format!("other bytes in column `{}`", column.name)).into()
    }
}

/// Reads what is left behind the last row: nothing, or an error.
fn drain(mut stream: impl BufRead, mut given: usize) -> Result<(), Fault> {
    while given > 0 {
        stream.consume(given);
        given = stream.fill_buf().map_err(broken)?.len();
    }
    Ok(())
}

/// What [`Rows::split`] gives behind the last row.
const END: usize = usize::MAX;

/// The driver's own error, where it is one.
fn broken(error: std::io::Error) -> Fault {
    match error.downcast::<::postgres::Error>() {
        Ok(error) => Fault::Sql(error),
        Err(error) => TargetError::Transient { reason: error.to_string(), retry_after: None }.into(),
    }
}

/// An empty vector in the memory of another: values of one row cannot outlive it, their memory can.
fn reuse<'to>(mut values: Vec<ValueRef<'_>>) -> Vec<ValueRef<'to>> {
    values.clear();
    values.into_iter().map(|_| ValueRef::Null).collect()
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;
    use crate::target::schema::{Column, Origin, TableName};
    use crate::value::{Kind, Row, Value};

    fn facts(name: &str, kind: Kind, base: &str) -> Facts {
        let column = Column {
            name: name.into(),
            type_name: base.into(),
            kind,
            nullable: true,
            default: None,
            origin: Origin::Written,
        };
        Facts { column, base: base.into() }
    }

    fn stream() -> Vec<u8> {
        let mut bytes = [b"PGCOPY\n\xff\r\n\0".as_slice(), &[0; 8]].concat();
        for (id, text) in [(7_i32, Some("it's é")), (-1, None), (8, Some(""))] {
            bytes.extend_from_slice(&[0, 2, 0, 0, 0, 4]);
            bytes.extend_from_slice(&id.to_be_bytes());
            let size = text.map_or(-1, |text| i32::try_from(text.len()).unwrap());
            bytes.extend_from_slice(&size.to_be_bytes());
            bytes.extend_from_slice(text.unwrap_or_default().as_bytes());
        }
        bytes.extend_from_slice(&[255, 255]);
        bytes
    }

    fn read(bytes: &[u8], chunk: usize) -> Result<Vec<Row>, Fault> {
        let columns = [facts("id", Kind::Int, "integer"), facts("v", Kind::Text, "text")];
        let table = Table {
            name: TableName::parse("t").unwrap(),
            columns: columns.iter().map(|facts| facts.column.clone()).collect(),
            primary_key: vec![0],
            unique: vec![],
            notes: vec![],
        };
        let mut rows = Vec::new();
        let stream = BufReader::with_capacity(chunk, bytes);
        let count = Rows::new(&columns, &table).hand_out(stream, &mut |row| {
            rows.push(row.iter().map(|value| value.to_value()).collect());
            Ok(())
        })?;
        assert_eq!(count, rows.len() as u64);
        Ok(rows)
    }

    #[test]
    fn rows_may_be_cut_anywhere() {
        let text = |text: &str| Value::Text(text.to_owned());
        let expected = [
            vec![Value::Int(7), text("it's é")],
            vec![Value::Int(-1), Value::Null],
            vec![Value::Int(8), text("")],
        ];
        for chunk in 1..stream().len() + 2 {
            assert_eq!(read(&stream(), chunk).unwrap(), expected, "{chunk} bytes at a time");
        }
    }

    #[test]
    fn a_stream_that_ends_early_is_no_table() {
        let whole = stream();
        for end in 0..whole.len() {
            assert!(read(&whole[..end], 64).is_err(), "{end} bytes");
        }
        let spoiled = |at: usize, byte: u8| {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            read(&bytes, 64)
        };
        assert!(spoiled(0, b'p').is_err(), "another signature");
        assert!(spoiled(14, 1).is_err(), "flags that are not known");
        assert!(spoiled(20, 3).is_err(), "a row of three columns");
        assert!(spoiled(24, 3).is_err(), "an integer of three bytes");
        assert!(spoiled(33, 0xff).is_err(), "no UTF-8");
        assert!(spoiled(33, b'I').is_ok());
    }
}
