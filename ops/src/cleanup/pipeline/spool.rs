//! Cleaned rows on disk between cleaning and writing: only when all rows were seen is it known which of them are the
//! same.
//!
//! Each cell is kept once, though it is written twice: what is written here and read again is most of what a large
//! input costs the disk. Reading goes forward; single rows, asked for by their ordinals, are copied into a small spool
//! of their own first, because to look for them all over a large file takes longer. Memory: 24 bytes for 64 rows.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};

use super::render::Verdict;
use super::stage::Stage;
use crate::files::FileError;
use crate::long::{LongFile, LongRead, Passer};
use crate::os;

/// Rows between marks.
const MARK_ROWS: usize = 64;
/// Bytes of an entry on disk.
const ENTRY: usize = 19;
const BUFFER: usize = 1 << 18;

/// What is known of a row of the spool.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Entry {
    pub(super) ordinal: u64,
    /// Bytes of its cells.
    pub(super) cells: u32,
    /// Bytes of what a person needs to judge it, if it is a fragment.
    pub(super) fragment: u32,
    pub(super) verdict: Verdict,
}

impl Entry {
    /// Bytes of the row.
    pub(super) fn length(self) -> usize {
        self.cells as usize + self.fragment as usize
    }

    fn to_bytes(self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        bytes[..8].copy_from_slice(&self.ordinal.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.cells.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.fragment.to_le_bytes());
        bytes[16..18].copy_from_slice(&self.verdict.score.to_le_bytes());
        bytes[18] = u8::from(self.verdict.is_fragment);
        bytes
    }

    fn of(bytes: [u8; ENTRY]) -> Self {
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        Self {
            ordinal: u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")),
            cells: u32_at(8),
            fragment: u32_at(12),
            verdict: Verdict {
                score: u16::from_le_bytes([bytes[16], bytes[17]]),
                is_fragment: bytes[18] != 0,
            },
        }
    }
}

/// A row: its entry, its cells, and what a person needs to judge it, if it is a fragment.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowRef<'a> {
    pub(super) entry: Entry,
    pub(super) cells: &'a [u8],
    pub(super) fragment: &'a [u8],
}

impl<'a> RowRef<'a> {
    /// The row of an entry in its bytes.
    pub(super) fn new(entry: Entry, bytes: &'a [u8]) -> Self {
        let (cells, fragment) = bytes.split_at(entry.cells as usize);
        Self { entry, cells, fragment }
    }
}

/// Rows one behind the other, in the order of the entries.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) entries: Vec<Entry>,
    /// Of each row its cells, then what its entry says is behind them.
    pub(super) bytes: Vec<u8>,
}

impl Rows {
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.bytes.clear();
    }
}

/// What goes into the spool, in its own file each.
#[derive(Debug)]
struct Files<T> {
    entries: T,
    rows: T,
}

/// The spool while it is written.
#[derive(Debug)]
pub(super) struct Spool {
    files: Files<BufWriter<LongFile>>,
    marks: Vec<Mark>,
    rows: u64,
    bytes: u64,
}

/// Where a row is.
#[derive(Debug, Clone, Copy)]
struct Mark {
    ordinal: u64,
    /// Rows before it.
    rows: u64,
    /// Bytes before it.
    bytes: u64,
}

fn fail(error: io::Error) -> FileError {
    FileError::new("write", std::path::Path::new("the spool of cleaned rows"), error)
}

impl Spool {
    pub(super) fn new(stage: &Stage) -> Result<Self, FileError> {
        let file = || Ok::<_, FileError>(BufWriter::with_capacity(BUFFER, LongFile::new(stage.scratch()?)));
        let files = Files { entries: file()?, rows: file()? };
        Ok(Self { files, marks: Vec::new(), rows: 0, bytes: 0 })
    }

    /// Appends rows.
    pub(super) fn push(&mut self, rows: &Rows) -> Result<(), FileError> {
        for entry in &rows.entries {
            if self.rows.is_multiple_of(MARK_ROWS as u64) {
                self.marks.push(Mark { ordinal: entry.ordinal, rows: self.rows, bytes: self.bytes });
            }
            self.rows += 1;
            self.bytes += entry.length() as u64;
            self.files.entries.write_all(&entry.to_bytes()).map_err(fail)?;
        }
        self.files.rows.write_all(&rows.bytes).map_err(fail)
    }

    /// Ends writing.
    pub(super) fn finish(self) -> Result<Spooled, FileError> {
        let file = |writer: BufWriter<LongFile>| {
            writer.into_inner().map(LongFile::into_file).map_err(|e| fail(e.into_error()))
        };
        let files = Files { entries: file(self.files.entries)?, rows: file(self.files.rows)? };
        Ok(Spooled { files, marks: self.marks, rows: self.rows })
    }
}

/// The spool while it is read.
#[derive(Debug)]
pub(super) struct Spooled {
    files: Files<File>,
    marks: Vec<Mark>,
    rows: u64,
}

impl Spooled {
    /// Goes through all rows from the start, `N` times at once.
    pub(super) fn streams<const N: usize>(&self) -> Result<[Stream<'_>; N], FileError> {
        let open = |file| {
            let readers = Passer::all::<N>(file).map(LongRead::new).into_iter();
            let readers = readers.map(|reader| Ok(BufReader::with_capacity(BUFFER, reader?)));
            readers.collect::<io::Result<Vec<_>>>().map_err(fail)
        };
        let both = open(&self.files.entries)?.into_iter().zip(open(&self.files.rows)?);
        let streams = both.map(|(entries, rows)| Stream { entries, rows, left: self.rows, row: Vec::new() });
        Ok(streams.collect::<Vec<_>>().try_into().expect("as many as there are readers"))
    }

    /// The rows with these ordinals, in a spool of their own.
    pub(super) fn only(&self, stage: &Stage, is_wanted: impl Fn(u64) -> bool) -> Result<Self, FileError> {
        let ([mut stream], mut spool, mut rows) = (self.streams()?, Spool::new(stage)?, Rows::default());
        while let Some(entry) = stream.entry()? {
            if !is_wanted(entry.ordinal) {
                stream.skip(entry)?;
                continue;
            }
            rows.clear();
            rows.entries.push(entry);
            rows.bytes.extend_from_slice(stream.row(entry)?);
            spool.push(&rows)?;
        }
        spool.finish()
    }

    /// The bytes of a row, and its entry; `None` if there is no such row.
    pub(super) fn row(&self, ordinal: u64, out: &mut Vec<u8>) -> Result<Option<Entry>, FileError> {
        let Some(mark) = self.marks.partition_point(|mark| mark.ordinal <= ordinal).checked_sub(1) else {
            return Ok(None);
        };
        let mark = self.marks[mark];
        let count = usize::try_from(self.rows - mark.rows).unwrap_or(MARK_ROWS).min(MARK_ROWS);
        let mut bytes = [0; ENTRY * MARK_ROWS];
        let bytes = &mut bytes[..count * ENTRY];
        read_at(&self.files.entries, mark.rows * ENTRY as u64, bytes)?;
        let mut at = mark.bytes;
        for entry in bytes.as_chunks().0 {
            let entry = Entry::of(*entry);
            if entry.ordinal == ordinal {
                out.clear();
                out.resize(entry.length(), 0);
                read_at(&self.files.rows, at, out)?;
                return Ok(Some(entry));
            }
            at += entry.length() as u64;
        }
        Ok(None)
    }
}

/// Reads a whole piece of a file.
fn read_at(file: &File, at: u64, buffer: &mut [u8]) -> Result<(), FileError> {
    os::read_exact_at(file, buffer, at).map_err(fail)
}

/// All rows, in their order.
#[derive(Debug)]
pub(super) struct Stream<'f> {
    entries: BufReader<LongRead<'f>>,
    rows: BufReader<LongRead<'f>>,
    left: u64,
    /// The row at hand.
    row: Vec<u8>,
}

impl Stream<'_> {
    /// The next row.
    pub(super) fn next(&mut self) -> Result<Option<RowRef<'_>>, FileError> {
        let Some(entry) = self.entry()? else { return Ok(None) };
        Ok(Some(RowRef::new(entry, self.row(entry)?)))
    }

    /// The entry of the next row, whose bytes are next.
    fn entry(&mut self) -> Result<Option<Entry>, FileError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let mut entry = [0; ENTRY];
        self.entries.read_exact(&mut entry).map_err(fail)?;
        Ok(Some(Entry::of(entry)))
    }

    fn row(&mut self, entry: Entry) -> Result<&[u8], FileError> {
        self.row.resize(entry.length(), 0);
        self.rows.read_exact(&mut self.row).map_err(fail)?;
        Ok(&self.row)
    }

    fn skip(&mut self, entry: Entry) -> Result<(), FileError> {
        let mut left = entry.length();
        while left > 0 {
            let length = self.rows.fill_buf().map_err(fail)?.len().min(left);
            if length == 0 {
                return Err(fail(io::ErrorKind::UnexpectedEof.into()));
            }
            self.rows.consume(length);
            left -= length;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_in_order_and_by_their_ordinals() {
        let dir = tempfile::tempdir().unwrap();
        let stage = Stage::begin(dir.path()).unwrap();
        let mut spool = Spool::new(&stage).unwrap();
        // Every third ordinal, as if the others had been rejected; every fifth row is a fragment.
        let text = |n: u64| format!("row {n} {}", "x".repeat(usize::try_from(n % 7).unwrap())).into_bytes();
        let entry = |n: u64| Entry {
            ordinal: n * 3,
            cells: u32::try_from(text(n).len()).unwrap(),
            fragment: if n.is_multiple_of(5) { u32::try_from(n % 100).unwrap() } else { 0 },
            verdict: Verdict { score: u16::try_from(n).unwrap(), is_fragment: n.is_multiple_of(5) },
        };
        for start in (0..1000).step_by(10) {
            let mut rows = Rows::default();
            for n in start..start + 10 {
                rows.bytes.extend_from_slice(&text(n));
                rows.bytes.resize(rows.bytes.len() + entry(n).fragment as usize, b'f');
                rows.entries.push(entry(n));
            }
            spool.push(&rows).unwrap();
        }
        let spooled = spool.finish().unwrap();
        let mut bytes = Vec::new();
        for n in [999, 0, 63, 64, 65, 500] {
            assert_eq!(spooled.row(n * 3, &mut bytes).unwrap(), Some(entry(n)));
            assert!(bytes.starts_with(&text(n)) && bytes.len() == entry(n).length());
        }
        assert_eq!(spooled.row(1, &mut bytes).unwrap(), None);
        assert_eq!(spooled.row(5000, &mut bytes).unwrap(), None);
        let [mut stream] = spooled.streams().unwrap();
        for n in 0..1000 {
            let row = stream.next().unwrap().unwrap();
            assert_eq!((row.entry, row.cells), (entry(n), text(n).as_slice()));
            assert_eq!(row.fragment, vec![b'f'; row.entry.fragment as usize]);
        }
        assert!(stream.next().unwrap().is_none());
        let some = spooled.only(&stage, |ordinal| ordinal.is_multiple_of(9)).unwrap();
        for n in [0, 3, 999, 300] {
            assert_eq!(some.row(n * 3, &mut bytes).unwrap(), Some(entry(n)));
            assert!(bytes.starts_with(&text(n)) && bytes.len() == entry(n).length());
        }
        assert_eq!(some.row(3, &mut bytes).unwrap(), None);
    }
}
