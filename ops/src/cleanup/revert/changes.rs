//! Reads the lists of a set line by line.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::cleanup::pipeline::CleanupError;
use crate::files::FileError;

/// A line about a row: a change, or a row that is not among the cleaned ones.
#[derive(Debug, Deserialize)]
pub(super) struct Line<'a> {
    pub(super) row: u64,
    #[serde(borrow, default)]
    pub(super) column: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) rule: Cow<'a, str>,
    /// The cell, or the whole row, before; nothing where there was no cell.
    #[serde(borrow, default, alias = "cleaned", deserialize_with = "value")]
    pub(super) before: Option<&'a RawValue>,
}

/// A value that may be `null`, which is not the same as no value.
fn value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// A list of lines, one ahead.
#[derive(Debug)]
pub(super) struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    left: u64,
    line: String,
    row: Option<u64>,
}

impl Lines {
    /// The part of a list between two offsets.
    pub(super) fn open(path: &Path, from: u64, to: Option<u64>) -> Result<Self, CleanupError> {
        let fail = |error| FileError::new("read", path, error);
        let mut file = File::open(path).map_err(fail)?;
        let end = file.metadata().map_err(fail)?.len().min(to.unwrap_or(u64::MAX));
        file.seek(SeekFrom::Start(from)).map_err(fail)?;
        let reader = BufReader::with_capacity(1 << 18, file);
        let left = end.saturating_sub(from);
        let mut lines = Self { path: path.to_path_buf(), reader, left, line: String::new(), row: None };
        lines.advance()?;
        Ok(lines)
    }

    /// The row that the next line is about; `None` at the end.
    pub(super) fn row(&self) -> Option<u64> {
        self.row
    }

    /// Takes the next line's text, and goes on.
    pub(super) fn take(&mut self) -> Result<String, CleanupError> {
        let line = std::mem::take(&mut self.line);
        self.advance()?;
        Ok(line)
    }

    fn advance(&mut self) -> Result<(), CleanupError> {
        self.line.clear();
        self.row = None;
        if self.left == 0 {
            return Ok(());
        }
        let read =
            self.reader.read_line(&mut self.line).map_err(|e| FileError::new("read", &self.path, e))?;
        self.left = self.left.saturating_sub(read as u64);
        if read > 0 {
            self.row = Some(parse(&self.path, &self.line)?.row);
        }
        Ok(())
    }
}

/// Reads a line.
pub(super) fn parse<'a>(path: &Path, line: &'a str) -> Result<Line<'a>, CleanupError> {
    serde_json::from_str(line).map_err(|error| FileError::new("read", path, error.into()).into())
}
