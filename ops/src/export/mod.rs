//! Tables as files that other programs read: CSV, JSON Lines, Parquet; and metrics for Prometheus.
//!
//! A table is anything that can say its columns and read its rows twice the same. Nothing here knows a database, and no
//! value is changed on the way: what a format cannot hold is written beside as text, and counted.

mod delimited;
mod parquet;
pub mod prometheus;
mod shape;

use std::io::{self, Write};

use serde::Serialize;

use crate::files::{AtomicFile, FileError};
use crate::value::ValueRef;

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The type that the database declares for it, as it spells it; may be empty.
    pub declared: String,
}

/// Rows that can be read more than once, each time the same ones in the same order.
pub trait Rows {
    /// The columns, in the order of the values.
    fn columns(&self) -> &[Column];

    /// Reads every row.
    fn read(
        &mut self,
        each: &mut dyn FnMut(&[ValueRef<'_>]) -> Result<(), ExportError>,
    ) -> Result<(), ExportError>;
}

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Comma-separated values with a head; NULL is empty.
    Csv,
    /// One JSON object for each line.
    Ndjson,
    /// Parquet, compressed with zstd.
    Parquet,
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Written {
    /// How many rows.
    pub rows: u64,
    /// How many columns the table has.
    pub columns: u64,
    /// Columns whose values are of several types, where the format has one type for each column.
    pub mixed: Vec<Mixed>,
}

/// A column that became two: the values of its main type, and the others as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mixed {
    /// The column.
    pub column: String,
    /// The column of the others.
    pub raw_column: String,
    /// How many values have the main type.
    pub typed: u64,
    /// How many do not.
    pub raw: u64,
}

/// Why a table could not be exported. Values are not repeated.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The rows could not be read.
    #[error("the rows could not be read")]
    Read(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The output could not be written.
    #[error("the output could not be written")]
    Write(#[from] io::Error),
    /// The table changed between two readings.
    #[error("the table changed while it was read: it had {0} rows before and {1} after")]
    Changed(u64, u64),
    /// A table without columns.
    #[error("a table without columns cannot be written")]
    NoColumns,
    /// A name or number that Prometheus does not have.
    #[error("`{0}` is no valid {1}")]
    Metric(String, &'static str),
}

/// Writes all rows in `format`.
pub fn write(format: Format, rows: &mut dyn Rows, out: &mut dyn Write) -> Result<Written, ExportError> {
    if rows.columns().is_empty() {
        return Err(ExportError::NoColumns);
    }
    match format {
        Format::Csv => delimited::csv(rows, out),
        Format::Ndjson => delimited::ndjson(rows, out),
        Format::Parquet => parquet::write(rows, out),
    }
}

/// A file that is complete or not there, as a stream of bytes.
#[derive(Debug)]
pub struct FileOut(AtomicFile);

impl FileOut {
    /// Begins a file.
    pub fn create(path: &std::path::Path) -> Result<Self, FileError> {
        AtomicFile::create(path).map(Self)
    }

    /// Puts it in place.
    pub fn commit(self) -> Result<(), FileError> {
        self.0.commit()
    }
}

impl Write for FileOut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
