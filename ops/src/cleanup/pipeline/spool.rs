//! Rows in their cleaned spelling, on disk between cleaning and writing: only when all rows were seen is it known
//! which of them are the same.
//!
//! Reading goes forward once, and to single rows by their ordinals. Memory: 24 bytes for 64 rows.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};

use tempfile::NamedTempFile;

use super::render::Verdict;
use super::stage::{Stage, StageFile};
use crate::files::FileError;
use crate::os;

/// Rows between marks.
const MARK_ROWS: usize = 64;
/// Bytes of an entry on disk.
const ENTRY: usize = 24;
/// What stands before each element of the array; the first one's is replaced when the array is written.
pub(super) const SEPARATOR: &[u8] = b",\n";
const BUFFER: usize = 1 << 18;

/// What is known of a row of the spool.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Entry {
    pub(super) ordinal: u64,
    /// Bytes of its element of the JSON array.
    pub(super) json: u32,
    /// Bytes of its line of the sheet.
    pub(super) csv: u32,
    /// Bytes of what a person needs to judge it, if it is a fragment.
    pub(super) fragment: u32,
    pub(super) verdict: Verdict,
}

impl Entry {
    fn bytes(self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        bytes[..8].copy_from_slice(&self.ordinal.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.json.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.csv.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.fragment.to_le_bytes());
        bytes[20..22].copy_from_slice(&self.verdict.score.to_le_bytes());
        bytes[22] = u8::from(self.verdict.is_fragment);
        bytes
    }

    fn of(bytes: [u8; ENTRY]) -> Self {
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        Self {
            ordinal: u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")),
            json: u32_at(8),
            csv: u32_at(12),
            fragment: u32_at(16),
            verdict: Verdict {
                score: u16::from_le_bytes([bytes[20], bytes[21]]),
                is_fragment: bytes[22] != 0,
            },
        }
    }
}

/// Spellings of rows, one behind the other, in the order of the entries. In the spool a [`SEPARATOR`] stands before each
/// element of the array.
#[derive(Debug, Default)]
pub(super) struct Rendered {
    pub(super) entries: Vec<Entry>,
    pub(super) json: Vec<u8>,
    pub(super) csv: Vec<u8>,
    pub(super) fragments: Vec<u8>,
}

impl Rendered {
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.json.clear();
        self.csv.clear();
        self.fragments.clear();
    }
}

/// What goes into the spool, in its own file each.
#[derive(Debug)]
struct Files<T> {
    entries: T,
    json: T,
    csv: T,
    fragments: T,
}

/// The spool while it is written.
#[derive(Debug)]
pub(super) struct Spool {
    files: Files<BufWriter<NamedTempFile>>,
    marks: Vec<Mark>,
    rows: u64,
    json_bytes: u64,
}

/// Where a row is.
#[derive(Debug, Clone, Copy)]
struct Mark {
    ordinal: u64,
    entry: u64,
    json: u64,
}

fn fail(error: std::io::Error) -> FileError {
    FileError::new("write", std::path::Path::new("the spool of cleaned rows"), error)
}

impl Spool {
    pub(super) fn new(stage: &Stage) -> Result<Self, FileError> {
        let file = || Ok::<_, FileError>(BufWriter::with_capacity(BUFFER, stage.scratch()?));
        let files = Files { entries: file()?, json: file()?, csv: file()?, fragments: file()? };
        Ok(Self { files, marks: Vec::new(), rows: 0, json_bytes: 0 })
    }

    /// Appends rows.
    pub(super) fn push(&mut self, rows: &Rendered) -> Result<(), FileError> {
        for entry in &rows.entries {
            if self.rows.is_multiple_of(MARK_ROWS as u64) {
                self.marks.push(Mark { ordinal: entry.ordinal, entry: self.rows, json: self.json_bytes });
            }
            self.rows += 1;
            self.json_bytes += SEPARATOR.len() as u64 + u64::from(entry.json);
            self.files.entries.write_all(&entry.bytes()).map_err(fail)?;
        }
        self.files.json.write_all(&rows.json).map_err(fail)?;
        self.files.csv.write_all(&rows.csv).map_err(fail)?;
        self.files.fragments.write_all(&rows.fragments).map_err(fail)
    }

    /// Ends writing.
    pub(super) fn finish(self) -> Result<Spooled, FileError> {
        let file = |writer: BufWriter<NamedTempFile>| writer.into_inner().map_err(|e| fail(e.into_error()));
        let Files { entries, json, csv, fragments } = self.files;
        let files = Files {
            entries: file(entries)?,
            json: file(json)?,
            csv: file(csv)?,
            fragments: file(fragments)?,
        };
        Ok(Spooled { files, marks: self.marks, rows: self.rows })
    }
}

/// What the spool holds of all rows, each part for somebody else; its file goes away with it.
#[derive(Debug)]
pub(super) struct Streams {
    pub(super) json: Stream,
    pub(super) csv: Stream,
    pub(super) fragments: Stream,
}

/// The spool while it is read.
#[derive(Debug)]
pub(super) struct Spooled {
    files: Files<NamedTempFile>,
    marks: Vec<Mark>,
    rows: u64,
}

impl Spooled {
    /// Goes through all rows from the start, and once only.
    pub(super) fn streams(self) -> Result<Streams, FileError> {
        let open = |file: &NamedTempFile| {
            file.reopen().map(|file| BufReader::with_capacity(BUFFER, file)).map_err(fail)
        };
        let Files { entries, json, csv, fragments } = &self.files;
        let stream =
            |part| Ok(Stream { entries: open(entries)?, part: open(part)?, left: self.rows, kept: 0 });
        Ok(Streams { json: stream(json)?, csv: stream(csv)?, fragments: stream(fragments)? })
    }

    /// The element of the JSON array of a row, and its entry; `None` if there is no such row.
    pub(super) fn json(&self, ordinal: u64, out: &mut Vec<u8>) -> Result<Option<Entry>, FileError> {
        let Some(mark) = self.marks.partition_point(|mark| mark.ordinal <= ordinal).checked_sub(1) else {
            return Ok(None);
        };
        let mark = self.marks[mark];
        let count = usize::try_from(self.rows - mark.entry).unwrap_or(MARK_ROWS).min(MARK_ROWS);
        let mut bytes = [0; ENTRY * MARK_ROWS];
        let bytes = &mut bytes[..count * ENTRY];
        read_at(self.files.entries.as_file(), mark.entry * ENTRY as u64, bytes)?;
        let mut at = mark.json;
        for entry in bytes.chunks_exact(ENTRY) {
            let entry = Entry::of(entry.try_into().expect("a whole entry"));
            at += SEPARATOR.len() as u64;
            if entry.ordinal == ordinal {
                out.clear();
                out.resize(entry.json as usize, 0);
                read_at(self.files.json.as_file(), at, out)?;
                return Ok(Some(entry));
            }
            at += u64::from(entry.json);
        }
        Ok(None)
    }
}

/// Reads a whole piece of a file.
fn read_at(file: &File, at: u64, buffer: &mut [u8]) -> Result<(), FileError> {
    os::read_exact_at(file, buffer, at).map_err(fail)
}

/// One part of all rows, in their order. What is kept is copied in long runs, whatever rows it is of.
#[derive(Debug)]
pub(super) struct Stream {
    entries: BufReader<File>,
    part: BufReader<File>,
    left: u64,
    /// Bytes that are to be copied.
    kept: u64,
}

impl Stream {
    /// The next row's entry. All bytes of the part that belong to it must be kept, left out or read.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, FileError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let mut entry = [0; ENTRY];
        self.entries.read_exact(&mut entry).map_err(fail)?;
        Ok(Some(Entry::of(entry)))
    }

    /// The next bytes go to the file as they are.
    pub(super) fn keep(&mut self, bytes: u64) {
        self.kept += bytes;
    }

    /// Copies what is kept so far.
    pub(super) fn copy(&mut self, to: &mut StageFile) -> Result<(), FileError> {
        while self.kept > 0 {
            let chunk = self.part.fill_buf().map_err(fail)?;
            let length = chunk.len().min(usize::try_from(self.kept).unwrap_or(usize::MAX));
            if length == 0 {
                return Err(fail(std::io::ErrorKind::UnexpectedEof.into()));
            }
            to.write(&chunk[..length])?;
            self.part.consume(length);
            self.kept -= length as u64;
        }
        Ok(())
    }

    /// Leaves the next bytes out. Everything before them was copied.
    pub(super) fn skip(&mut self, bytes: u64) -> Result<(), FileError> {
        self.part.seek_relative(bytes.cast_signed()).map_err(fail)
    }

    /// Reads the next bytes. Everything before them was copied.
    pub(super) fn read(&mut self, bytes: u32, out: &mut Vec<u8>) -> Result<(), FileError> {
        out.resize(bytes as usize, 0);
        self.part.read_exact(out).map_err(fail)
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
        // Every third ordinal, as if the others had been rejected.
        let text = |n: u64| format!("row {n} {}", "x".repeat(usize::try_from(n % 7).unwrap()));
        for start in (0..1000).step_by(10) {
            let mut rows = Rendered::default();
            for n in start..start + 10 {
                let json = text(n);
                rows.json.extend_from_slice(SEPARATOR);
                rows.json.extend_from_slice(json.as_bytes());
                rows.csv.extend_from_slice(b"line");
                let verdict = Verdict { score: u16::try_from(n).unwrap(), is_fragment: n % 2 == 0 };
                let json = u32::try_from(json.len()).unwrap();
                rows.entries.push(Entry { ordinal: n * 3, json, csv: 4, fragment: 0, verdict });
            }
            spool.push(&rows).unwrap();
        }
        let spooled = spool.finish().unwrap();
        let mut json = Vec::new();
        for n in [999, 0, 63, 64, 65, 500] {
            let entry = spooled.json(n * 3, &mut json).unwrap().unwrap();
            assert_eq!(
                (entry.verdict.score, json.as_slice()),
                (u16::try_from(n).unwrap(), text(n).as_bytes())
            );
        }
        assert_eq!(spooled.json(1, &mut json).unwrap(), None);
        assert_eq!(spooled.json(5000, &mut json).unwrap(), None);
        let mut stream = spooled.streams().unwrap().json;
        let (mut copy, mut expected) = (stage.file("copy").unwrap(), String::new());
        let mut bytes = Vec::new();
        for n in 0..1000 {
            let entry = stream.next().unwrap().unwrap();
            assert_eq!((entry.ordinal, entry.verdict.is_fragment), (n * 3, n % 2 == 0));
            let length = SEPARATOR.len() as u64 + u64::from(entry.json);
            match n % 5 {
                0 => {
                    stream.copy(&mut copy).unwrap();
                    stream.skip(SEPARATOR.len() as u64).unwrap();
                    stream.read(entry.json, &mut bytes).unwrap();
                    assert_eq!(bytes, text(n).as_bytes());
                }
                1 => {
                    stream.copy(&mut copy).unwrap();
                    stream.skip(length).unwrap();
                }
                _ => {
                    stream.keep(length);
                    expected += &format!(",\n{}", text(n));
                }
            }
        }
        assert!(stream.next().unwrap().is_none());
        stream.copy(&mut copy).unwrap();
        assert_eq!(copy.seal().unwrap().sha256, crate::ids::sha256(expected.as_bytes()));
    }
}
