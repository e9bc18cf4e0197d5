//! Rows from files, whatever the format: one record at a time, with the place it came from.
//!
//! A reader gives fields as they stand in the file and guesses no types; what a field means for a column is
//! decided where the column is known. Memory grows by a byte for each KiB of the file and no more. What is not
//! exactly the format is an error with its line: a row that was understood wrongly is worse than none.

mod ahead;
mod batch;
mod cells;
mod delimited;
mod error;
mod input;
mod json;
mod names;
mod parser;
mod reader;
mod resume;
mod scan;
mod sql;
#[cfg(test)]
mod tests;
mod words;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use ahead::Ahead;
pub use batch::{Batch, Entry, Reject};
pub use error::ReadError;
pub use input::Compression;
pub use names::Names;
pub use reader::{Encoding, ReadOptions, Records};

use cells::{Cells, Form, Span};

/// One field as it stands in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field<'a> {
    /// One JSON value as it is spelled, without blanks around it. What SQL writes without quotes is given as the
    /// JSON that says the same: numbers, `true`, `false`, `null`, arrays, and bytes as `{"$bytes":"00ff"}`.
    Json(&'a str),
    /// One CSV or TSV cell that stood without quotes.
    Cell(&'a str),
    /// One CSV or TSV cell that stood in quotes, without them: never a NULL. Texts of SQL are given so, without
    /// quotes and escapes and whatever they are cast to, and so are all cells of COPY but NULL.
    Quoted(&'a str),
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// An array of objects.
    Json,
    /// One object a line.
    Ndjson,
    /// Cells between commas, with a header.
    Csv,
    /// Cells between tabs, with a header; quoted as CSV is.
    Tsv,
    /// The rows of one table in a dump: `INSERT … VALUES` and `COPY … FROM stdin`.
    Sql,
}

impl Format {
    /// All formats, as [`Format::parse`] spells them.
    pub const NAMES: [&str; 5] = ["json", "ndjson", "csv", "tsv", "sql"];

    /// Reads one of [`Format::NAMES`], or `jsonl`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "json" => Some(Self::Json),
            "ndjson" | "jsonl" => Some(Self::Ndjson),
            "csv" => Some(Self::Csv),
            "tsv" => Some(Self::Tsv),
            "sql" => Some(Self::Sql),
            _ => None,
        }
    }

    /// By the ending of the name, before that of a compression.
    pub fn of_name(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let name = [".gz", ".zst", ".zstd"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
        Self::parse(name.rsplit_once('.')?.1)
    }
}

/// What a file was when it was read to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFacts {
    /// SHA-256 of the bytes on disk, as `sha256sum` prints it.
    pub sha256: String,
    /// Bytes on disk.
    pub bytes: u64,
    /// Records, without a header.
    pub rows: u64,
    /// What it was read as.
    pub format: Format,
    /// How it was compressed.
    pub compression: Option<Compression>,
}

/// Whether a file that was read again is the same. No seal: whoever wants to can make two files with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// xxh3-128 of the bytes on disk.
    digest: u128,
    /// Bytes on disk.
    bytes: u64,
    /// Records, without a header.
    rows: u64,
}

/// One record: its fields in the order of the file.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Offset in the decompressed file; [`Records::record_at`] finds the record again by it.
    pub at: u64,
    /// The line where it starts, from 1.
    pub line: u64,
    names: &'a Names,
    text: &'a str,
    spans: &'a [Span],
}

impl<'a> Record<'a> {
    /// The names of its fields, no name twice.
    pub fn names(&self) -> &'a Names {
        self.names
    }

    /// A field by its place among the names.
    pub fn field(&self, index: usize) -> Field<'a> {
        let span = self.spans[index];
        let text = &self.text[span.from as usize..span.to as usize];
        match span.form {
            Form::Json | Form::Plain | Form::MadeJson => Field::Json(text),
            Form::Cell | Form::Open => Field::Cell(text),
            Form::Quoted | Form::Doubled | Form::MadeText | Form::Absent => Field::Quoted(text),
        }
    }

    /// What stands between the quotes of a field that is a JSON text without escapes.
    pub(crate) fn plain(&self, index: usize) -> Option<&'a str> {
        let span = self.spans[index];
        let is_plain = span.form == Form::Plain;
        is_plain.then(|| &self.text[span.from as usize + 1..span.to as usize - 1])
    }

    /// Whether nothing shows that its last field is whole: a bare cell that ends where the file does.
    pub fn is_open(&self) -> bool {
        self.spans.last().is_some_and(|span| span.form == Form::Open)
    }

    /// All fields with their names.
    pub fn fields(self) -> impl Iterator<Item = (&'a str, Field<'a>)> {
        self.names.iter().enumerate().map(move |(index, name)| (name, self.field(index)))
    }
}

/// What a parser did with the bytes it was given.
#[derive(Debug)]
enum Step {
    /// It needs more than these; the first `consumed` are done with.
    More { consumed: usize },
    /// A record between two offsets; the next begins at `end`.
    Record { from: usize, to: usize, end: usize },
    /// The file is over.
    End,
}
