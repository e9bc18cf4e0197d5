//! Why a file could not be read, with the place. Contents of rows are not part of it, names of fields are.

use std::io;
use std::path::{Path, PathBuf};

use super::Format;

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The operating system said no.
    #[error("failed to {action} `{path}`")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A compressed file is damaged or ends too early.
    #[error("failed to decompress `{path}`: it is damaged or cut off")]
    Unpack {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        #[source]
        source: io::Error,
    },
    /// The name says nothing about the format.
    #[error(
        "the name of `{path}` does not say what it holds: name it .json, .ndjson, .csv, .tsv or .sql (also with \
         .gz or .zst), or give the format"
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// There is nothing in it, not even the frame that says that there are no rows.
    #[error("`{path}` is empty: {}", no_rows(*format))]
    Empty {
        /// The file.
        path: PathBuf,
        /// What it was read as.
        format: Format,
    },
    /// Not UTF-8.
    #[error("`{path}`, line {line}: byte {at} is not UTF-8{}", if *is_utf16 { "; the file looks like UTF-16" } else { "" })]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The offset in the decompressed file, from 0.
        at: u64,
        /// Whether it starts as UTF-16 files do.
        is_utf16: bool,
    },
    /// Not what the format says it must be.
    #[error("`{path}`, line {line}, byte {at}: {what}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The offset in the decompressed file, from 0.
        at: u64,
        /// What is wrong.
        what: String,
    },
    /// The file is not the one that was read before.
    #[error("`{path}` was changed while it was in use: there is no row at byte {at} any more")]
    Moved {
        /// The file.
        path: PathBuf,
        /// The offset in the decompressed file, from 0.
        at: u64,
    },
    /// A dump with rows of several tables.
    #[error("`{path}` has rows of several tables: {}; say which of them to read", listed(tables))]
    SeveralTables {
        /// The file.
        path: PathBuf,
        /// The tables, in the order of the file.
        tables: Vec<String>,
    },
    /// A dump without rows of the table that was asked for.
    #[error("`{path}` has no rows of a table `{table}`; it has rows of {}", listed(tables))]
    NoSuchTable {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        table: String,
        /// The tables that have rows.
        tables: Vec<String>,
    },
    /// A compressed file that becomes far larger than files do.
    #[error(
        "`{path}` holds more than {ratio} times its size ({} so far): is it made to fill the disk? If not, allow a \
         larger ratio", crate::text::bytes(*unpacked)
    )]
    Bomb {
        /// The file.
        path: PathBuf,
        /// The largest ratio that is allowed.
        ratio: u64,
        /// Bytes that were unpacked when it was stopped.
        unpacked: u64,
    },
    /// A record that does not fit into memory, or what looks like one because its end is missing.
    #[error("`{path}`, line {line}: a record of more than {}; is its end missing?", crate::text::bytes(*limit))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The line where it starts, from 1.
        line: u64,
        /// The limit in bytes.
        limit: u64,
    },
}

impl ReadError {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_path_buf(), source }
    }
}

fn listed(tables: &[String]) -> String {
    if tables.is_empty() {
        return "none".to_owned();
    }
    tables.iter().map(|table| format!("`{table}`")).collect::<Vec<_>>().join(", ")
}

fn no_rows(format: Format) -> &'static str {
    match format {
        Format::Json => "an array without rows is `[]`",
        Format::Ndjson => "no rows at all are written as `[]` in a .json file",
        Format::Csv | Format::Tsv => "a table without rows still has its header",
        Format::Sql => "there is no INSERT … VALUES and no COPY … FROM stdin in it",
    }
}

/// Something wrong at an offset from where the parser began.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) what: String,
    /// Where what is wrong begins, or the blanks before it.
    pub(super) from: usize,
    /// Where the record ends all the same, if the format is sure of that.
    pub(super) end: Option<usize>,
}

impl Fault {
    pub(super) fn new(at: usize, what: impl Into<String>) -> Self {
        Self { at, what: what.into(), from: 0, end: None }
    }
}
