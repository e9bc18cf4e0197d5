//! Rows of a backup: any one of them by its offset, or all in the order of the file.

use std::fmt;
use std::path::Path;

use super::frames::{Frame, FrameReader};
use super::line::Lines;
use super::{BackupError, Certificate, ROWS_FILE};
use crate::value::Row;

/// Frames that are kept uncompressed for random access.
const FRAMES_KEPT: usize = 4;

/// Lines by offset.
pub(in crate::change) struct RowReader {
    frames: FrameReader,
    /// Frames read last, the latest first.
    kept: Vec<(usize, Vec<u8>)>,
}

impl RowReader {
    pub(in crate::change) fn open(path: &Path, frames: Vec<Frame>) -> Result<Self, BackupError> {
        Ok(Self { frames: FrameReader::open(path, frames)?, kept: Vec::new() })
    }

    /// The line that starts at `at`, without its line feed. Cheap when offsets ascend.
    pub(in crate::change) fn line(&mut self, at: u64) -> Result<&str, BackupError> {
        let outside = || BackupError::Damaged(format!("there is no row at {at}"));
        let number = self.frames.frame_of(at).ok_or_else(outside)?;
        self.load(number)?;
        let from = usize::try_from(at - self.frames.frames()[number].start).map_err(|_| outside())?;
        let rest = &self.kept[0].1[from..];
        let end = memchr::memchr(b'\n', rest).ok_or_else(outside)?;
        std::str::from_utf8(&rest[..end]).map_err(|_| outside())
    }

    /// Brings a frame to the front of those that are kept.
    fn load(&mut self, number: usize) -> Result<(), BackupError> {
        if let Some(position) = self.kept.iter().position(|(kept, _)| *kept == number) {
            self.kept[..=position].rotate_right(1);
            return Ok(());
        }
        let mut lines = match self.kept.len() {
            FRAMES_KEPT => self.kept.pop().map(|(_, lines)| lines).unwrap_or_default(),
            _ => Vec::new(),
        };
        self.frames.read(number, &mut lines)?;
        self.kept.insert(0, (number, lines));
        Ok(())
    }
}

impl fmt::Debug for RowReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowReader").field("frames", &self.frames).finish_non_exhaustive()
    }
}

/// Reads a certified backup.
#[derive(Debug)]
pub struct BackupReader {
    certificate: Certificate,
    lines: Lines,
    rows: RowReader,
}

impl BackupReader {
    /// Opens the backup in a folder by its certificate and its index. The rows themselves are checked frame by
    /// frame as they are read; [`super::verify`] checks all of them.
    pub fn open(dir: &Path) -> Result<Self, BackupError> {
        let certificate = Certificate::read(dir)?;
        let frames = certificate.index(dir)?;
        let lines = Lines::whole(&certificate.table);
        Ok(Self { rows: RowReader::open(&dir.join(ROWS_FILE), frames)?, lines, certificate })
    }

    /// What the backup is.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The row at an offset that [`super::BackupWriter::push`] gave: all columns in the order of the table.
    pub fn row(&mut self, at: u64) -> Result<Row, BackupError> {
        let line = self.rows.line(at)?;
        self.lines.row(line).ok_or_else(|| BackupError::Damaged(format!("what is at {at} is no row")))
    }

    /// All rows in the order of the file, each with its offset.
    pub fn rows(&mut self) -> Rows<'_> {
        Rows { reader: self, next: 0 }
    }
}

/// The rows of a backup. Ends after the first error.
#[derive(Debug)]
pub struct Rows<'a> {
    reader: &'a mut BackupReader,
    next: u64,
}

impl Iterator for Rows<'_> {
    type Item = Result<(u64, Row), BackupError>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.next;
        if at >= self.reader.certificate.lines_bytes {
            return None;
        }
        let row = self.reader.row(at);
        self.next = match (&row, self.reader.rows.line(at)) {
            (Ok(_), Ok(line)) => at + line.len() as u64 + 1,
            _ => u64::MAX,
        };
        Some(row.map(|row| (at, row)))
    }
}
