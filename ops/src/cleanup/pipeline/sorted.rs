//! Lines about rows that come in any order and are written in the order of the rows, by way of the disk.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::stage::{Stage, StageFile};
use crate::files::FileError;
use crate::os;

/// Lines that wait. Memory: 24 bytes a line.
#[derive(Debug)]
pub(super) struct Sorted {
    file: BufWriter<File>,
    lines: Vec<(u64, u64, u32)>,
    at: u64,
}

fn fail(error: std::io::Error) -> FileError {
    FileError::new("write", Path::new("a list about rows"), error)
}

impl Sorted {
    pub(super) fn new(stage: &Stage) -> Result<Self, FileError> {
        Ok(Self { file: BufWriter::new(stage.scratch()?), lines: Vec::new(), at: 0 })
    }

    /// Adds a line about a row; those about one row keep their order.
    pub(super) fn push(&mut self, ordinal: u64, line: &[u8]) -> Result<(), FileError> {
        let length = u32::try_from(line.len()).expect("a line is smaller than 4 GiB");
        self.lines.push((ordinal, self.at, length));
        self.at += line.len() as u64;
        self.file.write_all(line).map_err(fail)
    }

    /// Appends all of them to a file.
    pub(super) fn write(mut self, to: &mut StageFile) -> Result<(), FileError> {
        self.file.flush().map_err(fail)?;
        self.lines.sort_unstable();
        let file = self.file.get_ref();
        let mut bytes = Vec::new();
        for (_, at, length) in self.lines {
            bytes.resize(length as usize, 0);
            os::read_exact_at(file, &mut bytes, at).map_err(fail)?;
            to.write(&bytes)?;
        }
        Ok(())
    }
}
