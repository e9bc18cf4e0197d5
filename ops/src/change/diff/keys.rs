//! The keys of live rows, one a line, where no backup keeps the rows themselves.
//!
//! A nameless file that nobody reads but this comparison and that does not outlive it: unlike a backup it is
//! neither compressed nor hashed nor waited for.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Bytes that are written or read at once.
const CHUNK: usize = 256 << 10;

/// Writes lines.
#[derive(Debug)]
pub(super) struct KeyWriter {
    file: File,
    lines: Vec<u8>,
    /// Bytes that are in the file already.
    written: u64,
}

impl KeyWriter {
    pub(super) fn create(dir: &Path) -> io::Result<Self> {
        Ok(Self { file: tempfile::tempfile_in(dir)?, lines: Vec::with_capacity(CHUNK), written: 0 })
    }

    /// Appends one line that `write` makes, with its line feed; gives back where it starts.
    pub(super) fn line(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> io::Result<u64> {
        if self.lines.len() >= CHUNK {
            self.flush()?;
        }
        let at = self.written + self.lines.len() as u64;
        write(&mut self.lines);
        Ok(at)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.lines)?;
        self.written += self.lines.len() as u64;
        self.lines.clear();
        Ok(())
    }

    /// The file, with everything in it.
    pub(super) fn finish(mut self) -> io::Result<File> {
        self.flush()?;
        Ok(self.file)
    }
}

/// Reads lines by their places.
#[derive(Debug)]
pub(super) struct KeyReader {
    file: File,
    /// A part of the file, and where it starts.
    part: Vec<u8>,
    start: u64,
}

impl KeyReader {
    pub(super) fn new(file: File) -> Self {
        Self { file, part: Vec::new(), start: 0 }
    }

    /// The line that starts at `at`, without its line feed; `None` when there is none. Cheap when places ascend.
    pub(super) fn line(&mut self, at: u64) -> io::Result<Option<&str>> {
        let mut size = CHUNK;
        let range = loop {
            if let Some(range) = self.found(at) {
                break range;
            }
            self.load(at, size)?;
            if self.part.len() < size && self.found(at).is_none() {
                return Ok(None);
            }
            size *= 2;
        };
        Ok(std::str::from_utf8(&self.part[range]).ok())
    }

    /// Where the line is in the part, if all of it is there.
    fn found(&self, at: u64) -> Option<std::ops::Range<usize>> {
        let from = usize::try_from(at.checked_sub(self.start)?).ok()?;
        let length = memchr::memchr(b'\n', self.part.get(from..)?)?;
        Some(from..from + length)
    }

    fn load(&mut self, at: u64, size: usize) -> io::Result<()> {
        self.part.clear();
        self.start = at;
        self.file.seek(SeekFrom::Start(at))?;
        (&mut self.file).take(size as u64).read_to_end(&mut self.part)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_found_again_by_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = KeyWriter::create(dir.path()).unwrap();
        let text = |n: usize| format!("{n}:{}", "é".repeat(if n == 700 { CHUNK } else { n }));
        let write =
            |n| writer.line(|out| out.extend_from_slice(format!("{}\n", text(n)).as_bytes())).unwrap();
        let places: Vec<u64> = (0..1000).map(write).collect();
        let mut reader = KeyReader::new(writer.finish().unwrap());
        for n in (0..1000).chain([3, 999, 700, 0]) {
            assert_eq!(reader.line(places[n]).unwrap(), Some(text(n).as_str()), "{n}");
        }
        assert_eq!(reader.line(places[999] + text(999).len() as u64 + 1).unwrap(), None);
        assert_eq!(reader.line(1 << 40).unwrap(), None);
    }
}
